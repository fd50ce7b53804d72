import json
from typing import Any

import numpy as np
import pytest

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import v2_json
from everwarm_server.protocol.tensors import DTYPES, InferRequest, ModelMetadata
from everwarm_server.protocol.v2_layouts import MAX_KEPT, Layouts

METADATA = ModelMetadata("m", "1", "fake", (), ())


def body(values: np.ndarray[Any, Any], datatype: str, **more: Any) -> tuple[bytes, int]:
    raw = values.tobytes()
    tensor = {"name": "x", "datatype": datatype, "shape": values.shape, "parameters": {"binary_data_size": len(raw)}}
    header = json.dumps({"inputs": [tensor], **more}).encode()
    return header + raw, len(header)


def told(request: InferRequest) -> Any:
    inputs = [(t.name, t.datatype, t.data.shape, t.data.tolist()) for t in request.inputs]
    return inputs, request.id, request.outputs, request.binary_outputs, dict(request.parameters)


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "FP16", "BF16", "BOOL", "BYTES"])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"id": "7"},
        {"parameters": {"a": 1, "binary_data_output": True}},
        {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
    ],
)
def test_what_came_before_is_decoded_as_it_was(datatype: str, more: dict[str, Any]) -> None:
    layouts = Layouts()
    for number in (1, 0, 1):
        if datatype == "BYTES":
            given, length = body(np.frombuffer(bytes([1, 0, 0, 0, 65 + number]), "S5"), "BYTES", **more)
        else:
            dtype = DTYPES[datatype]
            given, length = body(np.array([[number, 1]], dtype), datatype, **more)
        assert told(layouts.decode(given, length, METADATA)) == told(v2_json.decode_request(given, length))


@pytest.mark.parametrize(("datatype", "raw"), [("BOOL", b"\x01\x02"), ("FP32", b"\x00" * 7), ("FP32", b"\x00" * 9)])
def test_bytes_that_do_not_fit_are_refused_although_their_header_is_known(datatype: str, raw: bytes) -> None:
    layouts = Layouts()
    given, length = body(np.array([1, 0], DTYPES[datatype]), datatype)
    layouts.decode(given, length, METADATA)
    with pytest.raises(InvalidInput):
        layouts.decode(given[:length] + raw, length, METADATA)


def test_a_client_that_changes_its_header_each_time_fills_no_memory() -> None:
    layouts = Layouts()
    for number in range(3 * MAX_KEPT):
        given, length = body(np.zeros(2, np.float32), "FP32", parameters={"n": number})
        assert layouts.decode(given, length, METADATA).parameters == {"n": number}
    assert layouts.kept <= MAX_KEPT


def test_a_model_that_changes_its_parameters_changes_only_its_own() -> None:
    layouts = Layouts()
    given, length = body(np.zeros(2, np.float32), "FP32", parameters={"n": 1})
    for _ in range(3):
        parameters: Any = layouts.decode(given, length, METADATA).parameters
        assert parameters == {"n": 1}
        parameters["n"] = 2
