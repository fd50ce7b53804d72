import numpy as np
import pytest

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import documents
from everwarm_server.protocol.documents import Note
from everwarm_server.protocol.tensors import InferRequest, InferResponse, ModelMetadata, Tensor, TensorSpec
from everwarm_server.protocol.validate import check_inputs
from everwarm_server.transport.inference import v1, v2

METADATA = ModelMetadata("m", "1", "kserve", (TensorSpec("x", "FP32", (1,)),), (), takes_documents=True)
HEAD = {b"x-request-id": b"7", b"authorization": b"Bearer \xe9"}
HEADERS = {"x-request-id": "7", "authorization": "Bearer é"}


def test_a_v1_body_goes_to_the_model_as_it_came_and_its_answer_to_the_client() -> None:
    request, encode = v1().decode(HEAD, b'{"instances": [{"a": [1, {"b": null}]}]}', METADATA)
    assert documents.note(request.parameters) == (Note(HEADERS, is_document=True, is_text=True), {})
    assert [tensor.data.tolist() for tensor in request.inputs] == [[b'{"instances": [{"a": [1, {"b": null}]}]}']]
    body = np.array([b'{"predictions": {}}'], object)
    chunks, headers = encode(InferResponse("m", "1", (Tensor(documents.DOCUMENT, "BYTES", body),)))
    assert (chunks, dict(headers)[b"content-type"]) == ([b'{"predictions": {}}'], b"application/json")


@pytest.mark.parametrize(
    ("head", "is_text"), [(HEAD, True), (HEAD | {b"inference-header-content-length": b"%d"}, False)]
)
def test_a_v2_request_keeps_its_tensors_and_parameters(head: dict[bytes, bytes], is_text: bool) -> None:
    body = (
        b'{"parameters": {"p": 1, "everwarm.note": "mine"}, '
        b'"inputs": [{"name": "z", "shape": [1], "datatype": "INT64", "data": [3]}]}'
    )
    head = {name: value % len(body) if value == b"%d" else value for name, value in head.items()}
    request, _ = v2().decode(head, body, METADATA)
    check_inputs(request, METADATA)  # which declares another input, and holds nobody to it
    note, parameters = documents.note(request.parameters)
    assert (note.headers["x-request-id"], note.is_document, note.is_text) == ("7", False, is_text)
    assert parameters == {"p": 1}
    assert request.inputs[0].data.tolist() == [3]


def test_without_a_note_there_is_none() -> None:
    assert documents.note({"p": 1}) == (Note({}, is_document=False, is_text=False), {"p": 1})


@pytest.mark.parametrize("noted", ["mine", "[1]", "3"])
def test_a_note_of_a_client_is_refused(noted: str) -> None:
    with pytest.raises(InvalidInput, match=r"everwarm\.note is this server's own; leave it out"):
        documents.note({"everwarm.note": noted})


def test_other_models_get_no_note() -> None:
    plain = ModelMetadata("m", "1", "python", (), ())
    request, _ = v2().decode(
        HEAD, b'{"inputs": [{"name": "z", "shape": [1], "datatype": "INT64", "data": [3]}]}', plain
    )
    assert isinstance(request, InferRequest)
    assert dict(request.parameters) == {}
