import json
from pathlib import Path

import bench.__main__ as everything
import numpy as np
import pytest
from bench.peers import models
from bench.rig import report
from bench.rig.contenders import LIMIT, OURS
from bench.rig.load import Figures
from bench.rig.report import Measure
from bench.rig.workloads import WORKLOADS, is_right, prepare
from bench.serving import Result, arguments, chosen, measures, shown

from everwarm_server.protocol.grpc_messages import message_class


def result(workload, server, cpu_us):
    rounds = [Figures(1000, 0.001, 0.002, cpu_us * factor / 1e6) for factor in (1.5, 1, 3)]
    return Result(workload, server, rounds, 50 * 2**20, 0.25)


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
    assert lines[2].split() == ["json-c1,", "everwarm", "1000", "1.00", "2.00", "200", "300", "0.50", "50", "0.25"]
    assert len(lines) == 3


def test_the_json_says_what_holds(tmp_path):
    measures = [Measure("a", 2.0, 1.0, "times"), Measure("b", 0.5, 1.0, "times"), Measure("c", 2.0, 8.0, "MiB", True)]
    report.write_json(measures, tmp_path / "x.json")
    assert json.loads((tmp_path / "x.json").read_text()) == [
        {"name": "a", "got": 2.0, "goal": 1.0, "unit": "times", "holds": True},
        {"name": "b", "got": 0.5, "goal": 1.0, "unit": "times", "holds": False},
        {"name": "c", "got": 2.0, "goal": 8.0, "unit": "MiB", "holds": True},
    ]


def test_the_goals_of_several_benches_are_collected_in_one_file(tmp_path):
    report.write_json([Measure("a", 2.0, 1.0, "times")], tmp_path / "serving.json")
    files = {name: tmp_path / f"{name}.json" for name in ("serving", "missing")}
    report.collect(files, tmp_path / "all.json")
    assert json.loads((tmp_path / "all.json").read_text()) == [
        {"bench": "serving", "name": "a", "got": 2.0, "goal": 1.0, "unit": "times", "holds": True}
    ]


def test_the_runner_knows_all_benches_and_no_other(capsys):
    folder = Path(everything.__file__).parent
    assert set(everything.BENCHES) == {file.stem for file in folder.glob("*.py")} - {"__main__", "__init__"}
    with pytest.raises(SystemExit):
        everything.arguments(["--only", "serving,other"])
    assert "unknown: other" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("only", "count"), [(set(), 28), ({"json-c1"}, 5), ({LIMIT, OURS}, 12), ({"json-c1", LIMIT}, 1), ({"grpc-c32"}, 4)]
)
def test_only_chooses_by_workload_and_by_server(only, count):
    assert len(chosen(only)) == count


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        arguments(["--only", "json-c32,other"])
    assert "unknown: other" in capsys.readouterr().err


@pytest.mark.parametrize("workload", [w for w in WORKLOADS if not w.grpc], ids=lambda workload: workload.name)
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


@pytest.mark.parametrize("workload", [w for w in WORKLOADS if w.grpc], ids=lambda workload: workload.name)
@pytest.mark.parametrize("raw", [True, False])
def test_a_call_and_its_right_answer_are_of_the_protocol(workload, raw, tmp_path):
    request = prepare(workload, tmp_path)
    asked = message_class("inference.ModelInferRequest").FromString(request.body.read_bytes())
    x = np.frombuffer(asked.raw_input_contents[0], np.float32).reshape(asked.inputs[0].shape)
    y = models.MODELS[workload.model](x)

    def answered(numbers):
        contents = {} if raw else {"contents": {"fp32_contents": numbers.reshape(-1).tolist()}}
        made = message_class("inference.ModelInferResponse")(outputs=[{"name": "y", **contents}])
        made.raw_output_contents.extend([numbers.tobytes()] if raw else [])
        return made.SerializeToString()

    assert is_right(workload, {}, answered(y))
    assert not is_right(workload, {}, answered(y + 1))
