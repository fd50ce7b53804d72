"""Subclasses of kserve.Model as their authors wrote them, served by a real process in an environment that has KServe.

The environment is made once, as those of the bench are: KServe would bring its pins into ours.
"""

import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from bench.rig import environments

pytestmark = pytest.mark.timeout(600)  # the first run installs KServe
ROOT = Path(__file__).resolve().parents[3]
TOML = 'format = "kserve"\n'
# The example of KServe's documentation, but for its model: everything by both protocols.
PLAIN = """
from typing import Dict, Union

import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.errors import InvalidInput


class Doubler(Model):
    def __init__(self, name: str):
        super().__init__(name)
        self.factor = None
        self.load()

    def load(self):
        self.factor = 2
        self.ready = True
        return self.ready

    def predict(self, payload: Union[Dict, InferRequest], headers: Dict[str, str] = None):
        if isinstance(payload, dict):
            if "instances" not in payload:
                raise InvalidInput('Expected "instances"')
            rows = payload["instances"]
            return {"predictions": [row["x"] * self.factor for row in rows], "who": headers.get("x-request-id")}
        tensor = payload.inputs[0]
        if tensor.datatype == "BYTES":
            assert tensor.data == tensor.as_numpy().tolist()
            output = InferOutput("y", [len(tensor.data)], "BYTES", [str(word).upper() for word in tensor.data])
        else:
            y = tensor.as_numpy() * self.factor
            output = InferOutput("y", list(y.shape), tensor.datatype)
            output.set_data_from_numpy(y, binary_data=False)
        return InferResponse(payload.id, self.name, [output], parameters={"p": payload.parameters.get("p", 0)})


if __name__ == "__main__":
    ModelServer().start([Doubler("doubler")])
"""
ASYNC = """
import asyncio

import kserve
import numpy as np


class Helper(kserve.Model):
    pass


class Model(kserve.Model):
    def get_input_types(self):
        return [{"name": "x", "datatype": "INT64", "shape": [-1]}]

    def load(self):
        self.loop = None
        return super().load()

    async def preprocess(self, payload, headers=None):
        await asyncio.sleep(0)
        return {"instances": [value + 1 for value in payload["instances"]]} if isinstance(payload, dict) else payload

    async def predict(self, payload, headers=None):
        if self.loop not in (None, asyncio.get_running_loop()):
            raise RuntimeError("another loop")
        self.loop = asyncio.get_running_loop()
        if isinstance(payload, kserve.InferRequest):
            x = payload.inputs[0]
            output = {"name": "y", "shape": x.shape, "datatype": "INT64", "data": x.data}
            return {"model_name": self.name, "outputs": [output]}
        if payload["instances"] == [1]:
            raise ValueError("zero")
        return payload["instances"]

    async def postprocess(self, result, headers=None):
        return result if isinstance(result, dict) else {"predictions": np.array(result) * 10}
"""
V2 = "/v2/models/{}/infer"
V1 = "/v1/models/{}:predict"


@pytest.fixture(scope="session")
def kserve_python() -> Path:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return environments.python_of("everwarm-kserve", [*extras["server"], *extras["kserve"]])


@pytest.fixture(scope="session")
def environment(environment: dict[str, str]) -> dict[str, str]:
    return environment | {"PYTHONPATH": str(ROOT / "server")}


def served(start: Any, python: Path, directory: Path, code: str, **settings: Any) -> Any:
    directory.mkdir()
    (directory / "model.py").write_text(code)
    (directory / "model.toml").write_text(TOML)
    return start(directory, python=python, **settings)


@pytest.fixture(scope="module")
def plain(start_shared: Any, kserve_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return served(start_shared, kserve_python, tmp_path_factory.mktemp("plain") / "doubler", PLAIN)


@pytest.fixture(scope="module")
def asynchronous(start_shared: Any, kserve_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return served(start_shared, kserve_python, tmp_path_factory.mktemp("async") / "async", ASYNC, concurrency=2)


def tensor(datatype: str, *data: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [len(data)], "datatype": datatype, "data": list(data)}]}


def test_v1_bodies_are_dicts_and_headers_come_with_them(plain: Any) -> None:
    reply = plain.ask("POST", V1.format("doubler"), {"instances": [{"x": 2}, {"x": "a"}]}, {"X-Request-Id": "7"})
    assert (reply.code, reply.json) == (200, {"predictions": [4, "aa"], "who": "7"})


@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        ({"rows": []}, 400, 'Expected "instances"'),
        (b"{", 400, "The body is not valid JSON"),
        ({"instances": [{}]}, 500, "The model failed: KeyError: 'x'"),
    ],
)
def test_errors_are_those_of_kserve(plain: Any, body: Any, code: int, error: str) -> None:
    reply = plain.ask("POST", V1.format("doubler"), body)
    assert reply.code == code
    assert reply.json["error"].startswith(error)


def test_v2_requests_are_infer_requests(plain: Any) -> None:
    reply = plain.ask("POST", V2.format("doubler"), tensor("FP32", 1.5, 2) | {"id": "9"})
    assert reply.json == {
        "model_name": "doubler",
        "model_version": "1",
        "id": "9",
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [3.0, 4.0]}],
    }
    reply = plain.ask("POST", V2.format("doubler"), tensor("BYTES", "a", "é"))
    assert reply.json["outputs"] == [{"name": "y", "datatype": "BYTES", "shape": [2], "data": ["A", "É"]}]


def test_binary_tensors_need_no_list(plain: Any) -> None:
    head = b'{"inputs":[{"name":"x","shape":[2],"datatype":"INT32","parameters":{"binary_data_size":8}}]}'
    headers = {"Inference-Header-Content-Length": str(len(head))}
    reply = plain.ask("POST", V2.format("doubler"), head + b"\x01\0\0\0\x02\0\0\0", headers)
    assert reply.json["outputs"][0]["data"] == [2, 4]


def test_coroutines_run_on_one_loop(asynchronous: Any) -> None:
    for _ in range(3):
        assert asynchronous.ask("POST", V1.format("async"), {"instances": [1, 2]}).json == {"predictions": [20, 30]}
    reply = asynchronous.ask("POST", V1.format("async"), {"instances": [0]})
    assert (reply.code, reply.json["error"]) == (500, "The model failed: ValueError: zero")


def test_a_v2_answer_may_be_a_dict(asynchronous: Any) -> None:
    reply = asynchronous.ask("POST", V2.format("async"), tensor("INT64", 5, 6))
    assert reply.json["outputs"] == [{"name": "y", "datatype": "INT64", "shape": [2], "data": [5, 6]}]
    metadata = asynchronous.ask("GET", "/v2/models/async").json
    assert (metadata["platform"], metadata["inputs"]) == ("kserve", [{"name": "x", "datatype": "INT64", "shape": [-1]}])


LOADS = """
import sys
from pathlib import Path

from everwarm_server.errors import ModelError
from everwarm_server.runtime.load import LoadOptions, load

for directory in sys.argv[1:]:
    try:
        load(Path(directory), LoadOptions("m"))
    except ModelError as error:
        print(error)
"""


def test_what_cannot_be_served_is_named(kserve_python: Path, environment: dict[str, str], tmp_path: Path) -> None:
    one = "import kserve\nclass M(kserve.Model):\n    def load(self):\n        {}"
    codes = [
        "import kserve",
        PLAIN + ASYNC.replace("class Model(", "class Other("),
        one.format("0"),
        one.format("1 / 0"),
    ]
    directories = [tmp_path / str(index) for index in range(len(codes))]
    for directory, code in zip(directories, codes, strict=True):
        directory.mkdir()
        (directory / "model.py").write_text(code)
        (directory / "model.toml").write_text(TOML)
    command = [kserve_python, "-c", LOADS, *directories]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert [sentence.partition("model.py")[2] for sentence in done.stdout.splitlines()] == [
        " must have one subclass of kserve.Model, or one called Model; it has none.",
        " must have one subclass of kserve.Model, or one called Model; it has Doubler, Helper, Other.",
        ": load() came back, but the model says that it is not ready.",
        " failed to load: ZeroDivisionError: division by zero",
    ]
