"""Requests for a model that wants more of them than their tensors: V1 bodies as they came, and what V2 leaves out.

Such a model (metadata.takes_documents) finds a note among the parameters: the headers, and whether text came as text.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol.tensors import InferRequest, InferResponse, Parameters, Tensor
from everwarm_server.protocol.v2_json import Body, Chunks, Headers, json_headers

DOCUMENT: Final = "document"  # the one tensor of a V1 request and of its response
_NOTE: Final = "everwarm.note"


class Note(NamedTuple):
    """What is told besides tensors and parameters.

    Attributes:
        headers: of HTTP, by their lower-case names; those that this server reads.
        is_document: the request is a V1 body.
        is_text: BYTES came as strings of JSON.
    """

    headers: dict[str, str]
    is_document: bool
    is_text: bool


def from_v1(body: Body, head: Mapping[bytes, bytes]) -> InferRequest:
    """A V1 request, whatever its body holds."""
    document = np.empty(1, object)
    document[0] = bytes(body)
    return InferRequest((Tensor(DOCUMENT, "BYTES", document),), parameters=_noted({}, head, (True, True)))


def to_v1(response: InferResponse) -> tuple[Chunks, Headers]:
    """The body that the model made."""
    body = bytes(response.outputs[0].data[0])
    return [body], json_headers(body)


def with_note(request: InferRequest, head: Mapping[bytes, bytes]) -> InferRequest:
    """A V2 request, with its headers."""
    is_text = b"inference-header-content-length" not in head
    return request._replace(parameters=_noted(request.parameters, head, (False, is_text)))


def note(parameters: Parameters) -> tuple[Note, dict[str, Any]]:
    """What was noted of a request, and its own parameters.

    Raises:
        InvalidInput: the client made a note itself.
    """
    own = dict(parameters)
    noted = own.pop(_NOTE, None)
    if noted is None:
        return Note({}, is_document=False, is_text=False), own
    try:
        return Note(*orjson.loads(str(noted))), own
    except (orjson.JSONDecodeError, TypeError):  # by gRPC, where we note nothing
        raise InvalidInput(f"The parameter {_NOTE} is this server's own; leave it out.") from None


def _noted(parameters: Parameters, head: Mapping[bytes, bytes], flags: tuple[bool, bool]) -> Parameters:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.items()}
    return {**parameters, _NOTE: orjson.dumps((headers, *flags)).decode()}
