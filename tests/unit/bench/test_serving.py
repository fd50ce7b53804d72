import json

import numpy as np
import pytest
from bench.peers import models
from bench.rig import report
from bench.rig.contenders import LIMIT, OURS
from bench.rig.load import Figures
from bench.rig.report import Measure
from bench.rig.workloads import WORKLOADS, is_right, prepare
from bench.serving import Result, arguments, chosen, measures, shown


def result(workload, server, cpu_us):
    return Result(workload, server, Figures(1000, 0.001, 0.002, cpu_us / 1e6), 50 * 2**20)


def answer(y, *, binary):
    output = {"name": "y"} if binary else {"name": "y", "data": y.reshape(-1).tolist()}
    header = json.dumps({"outputs": [output]}).encode()
    if not binary:
        return {}, header
    return {"inference-header-content-length": str(len(header))}, header + y.tobytes()


def test_goals_compare_the_cpu_of_a_request_with_the_limit_and_the_best_peer():
    results = [
        result("json-c32", LIMIT, 120),
        result("json-c32", OURS, 150),
        result("json-c32", f"{OURS} (ONNX)", 10),
        result("json-c32", "KServe", 900),
        result("json-c32", "MLServer", 450),
        result("binary-c32", OURS, 100),
    ]
    assert measures(results) == [
        Measure("json-c32: requests per CPU second against bare ASGI", pytest.approx(0.8), 0.8, "times"),
        Measure("json-c32: requests per CPU second against the best peer", pytest.approx(3.0), 4.0, "times"),
    ]


def test_the_table_has_a_row_for_each_result():
    lines = shown([result("json-c1", LIMIT, 100), result("json-c1", OURS, 200)]).splitlines()
    assert lines[2].split() == ["json-c1,", "everwarm", "1000", "1.00", "2.00", "200", "0.50", "50"]
    assert len(lines) == 3


def test_the_json_says_what_holds(tmp_path):
    report.write_json([Measure("a", 2.0, 1.0, "times"), Measure("b", 0.5, 1.0, "times")], tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == [
        {"name": "a", "got": 2.0, "goal": 1.0, "unit": "times", "holds": True},
        {"name": "b", "got": 0.5, "goal": 1.0, "unit": "times", "holds": False},
    ]


@pytest.mark.parametrize(
    ("only", "count"), [(set(), 21), ({"json-c1"}, 5), ({LIMIT, OURS}, 10), ({"json-c1", LIMIT}, 1)]
)
def test_only_chooses_by_workload_and_by_server(only, count):
    assert len(chosen(only)) == count


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        arguments(["--only", "json-c32,other"])
    assert "unknown: other" in capsys.readouterr().err


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_a_request_and_its_right_answer_are_of_the_protocol(workload, tmp_path):
    request = prepare(workload, tmp_path)
    content = request.body.read_bytes()
    length = request.headers.get("Inference-Header-Content-Length")
    given = json.loads(content[: None if length is None else int(length)])["inputs"][0]
    data = np.frombuffer(content[int(length) :], np.float32) if workload.binary else np.array(given["data"], np.float32)
    y = models.MODELS[workload.model](data.reshape(given["shape"]))
    assert is_right(workload, *answer(y, binary=workload.binary))
    assert not is_right(workload, *answer(y + 1, binary=workload.binary))
    assert not is_right(workload, *answer(y, binary=not workload.binary))
