import json

import pytest
from bench.batching import OURS, SERVERS, Result, measures, request, shown
from bench.peers import device
from bench.rig.load import Figures
from bench.rig.report import Measure


def result(server, requests_per_second, p99_seconds, idle_cores=0.0):
    return Result(server, Figures(requests_per_second, 0.010, p99_seconds, 1e-4), idle_cores)


def test_goals_compare_with_the_ideal_batch_and_with_each_peer():
    results = [result(OURS, 5500.0, 0.020, 0.01), result("LitServe", 1300.0, 0.100), result("MLServer", 1200.0, 0.010)]
    assert measures(results, ideal=6000.0) == [
        Measure("throughput of the ideal batch", pytest.approx(0.9167, rel=1e-3), 0.9, "times"),
        Measure("share of a core that is free while idle", pytest.approx(0.99), 0.99, "cores"),
        Measure("p99 of LitServe over ours", pytest.approx(5.0), 1.0, "times"),
        Measure("p99 of MLServer over ours", pytest.approx(0.5), 1.0, "times"),
    ]


def test_the_table_has_a_row_for_each_server():
    lines = shown([result(OURS, 5400.0, 0.020), result("LitServe", 1350.0, 0.1, 0.125)], ideal=5400.0).splitlines()
    assert lines[1].split() == [OURS, "5400", "1.00", "10.0", "20.0", "100", "0.000"]
    assert lines[2].split() == ["LitServe", "1350", "0.25", "10.0", "100.0", "100", "0.125"]


def test_a_request_is_one_row_of_the_device(tmp_path):
    (tensor,) = json.loads(request(tmp_path).body.read_text())["inputs"]
    assert (tensor["shape"], len(tensor["data"])) == ([1, device.COLUMNS], device.COLUMNS)


def test_each_server_is_told_its_port_and_where_the_models_are():
    (ours,) = (server for server in SERVERS if server.name == OURS)
    command, environment = ours.command(8123)
    assert command[command.index("--port") + 1] == "8123"
    assert environment["PYTHONPATH"].endswith("peers")


@pytest.mark.parametrize(("rows", "calls"), [(1, 1), (32, 1), (33, 2)])
def test_the_device_takes_as_long_for_a_row_as_for_a_full_batch(rows, calls, monkeypatch):
    slept = []
    monkeypatch.setattr(device.time, "sleep", slept.append)
    x = device.np.ones((rows, device.COLUMNS), "float32")
    assert (device.device(x) == 2).all()
    assert slept == [calls * device.SECONDS]
