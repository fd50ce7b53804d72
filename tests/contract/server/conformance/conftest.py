"""One server with small models, for clients that nobody here wrote."""

from pathlib import Path
from typing import Any

import pytest

# Its first use of each name is what Triton's own examples call it.
MODELS = {
    "simple": """
class Model:
    metadata = {
        "inputs": [{"name": f"INPUT{i}", "datatype": "INT32", "shape": [-1, 16]} for i in (0, 1)],
        "outputs": [{"name": f"OUTPUT{i}", "datatype": "INT32", "shape": [-1, 16]} for i in (0, 1)],
    }

    def predict(self, inputs):
        a, b = inputs["INPUT0"], inputs["INPUT1"]
        return {"OUTPUT0": a + b, "OUTPUT1": a - b}
""",
    "echo": """
import time


class Model:
    def predict(self, inputs, parameters):
        time.sleep(parameters.get("sleep_seconds", 0))
        return dict(inputs)
""",
    "repeat_int32": """
class Model:
    metadata = {
        "inputs": [{"name": "IN", "datatype": "INT32", "shape": [-1]}],
        "outputs": [{"name": "OUT", "datatype": "INT32", "shape": [1]}],
    }

    def predict(self, inputs):
        for index, number in enumerate(inputs["IN"]):
            if number < 0:
                raise ValueError(number)
            yield {"OUT": inputs["IN"][index : index + 1]}
""",
    "image": """
import numpy as np


class Model:
    metadata = {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 224, 224]}],
        "outputs": [{"name": "mean", "datatype": "FP32", "shape": [-1, 3]}],
    }

    def predict(self, inputs):
        return {"mean": inputs["x"].mean((2, 3), dtype=np.float32)}
""",
}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of models."""
    directory = tmp_path_factory.mktemp("toys")
    for name, code in MODELS.items():
        (directory / name).mkdir()
        (directory / name / "model.py").write_text(code)
    return directory


@pytest.fixture(scope="module")
def server(start_shared: Any, toys: Path) -> Any:
    """The server, by HTTP and gRPC."""
    return start_shared("", grpc=True, models=toys, max_body_bytes=4 * 2**20, concurrency=4)
