"""The JSON of binary V2 requests, remembered: what came before is not parsed again.

A client sends the same JSON with each request as long as its shapes and parameters stay the same, so the JSON's bytes
are looked up whole: 12 us less for a small request. What is kept was decoded, thus checked, by v2_json; whatever is not
found goes there.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from everwarm_server.protocol import v2_json
from everwarm_server.protocol.tensors import (
    DTYPES,
    InferRequest,
    ModelMetadata,
    Parameters,
    RequestedOutput,
    Tensor,
)
from everwarm_server.protocol.v2_json import Body

MAX_HEADER_BYTES: Final = 4096
MAX_KEPT: Final = 256  # then all are forgotten, so that a client can't fill the memory with headers
_Place: TypeAlias = tuple[str, str, np.dtype[Any], int, int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """A header's meaning: for each input name, datatype, dtype, count, offset in the body, shape; and the rest."""

    places: tuple[_Place, ...]
    body_bytes: int
    outputs: tuple[RequestedOutput, ...]
    binary_outputs: bool
    parameters: Parameters


class Layouts:
    """Decodes the requests to one model. From any thread: what it remembers is never changed, only dropped."""

    def __init__(self) -> None:
        self._layouts: dict[bytes, _Layout] = {}

    @property
    def kept(self) -> int:
        """How many headers are remembered."""
        return len(self._layouts)

    def decode(self, body: Body, header_length: int | None, metadata: ModelMetadata) -> InferRequest:
        """See v2_json.decode_request."""
        if not header_length or header_length > MAX_HEADER_BYTES:
            return v2_json.decode_request(body, header_length, metadata)
        header = bytes(memoryview(body)[:header_length])
        layout = self._layouts.get(header)
        if layout is None or layout.body_bytes != len(body):
            request = v2_json.decode_request(body, header_length, metadata)
            self._keep(header, request, len(body))
            return request
        inputs = tuple(
            [
                Tensor(name, datatype, np.frombuffer(body, dtype, count, offset).reshape(shape))
                for name, datatype, dtype, count, offset, shape in layout.places
            ]
        )
        own = dict(layout.parameters)  # a model may change what it gets
        return InferRequest(inputs, None, layout.outputs, layout.binary_outputs, own)

    def _keep(self, header: bytes, request: InferRequest, body_bytes: int) -> None:
        # Ids differ; BYTES and BOOL have to be looked at each time; frombuffer() makes no empty arrays.
        if request.id is not None or any(t.datatype in {"BYTES", "BOOL"} or not t.data.size for t in request.inputs):
            return
        places: list[_Place] = []
        offset = len(header)
        for tensor in request.inputs:
            data = tensor.data
            places.append((tensor.name, tensor.datatype, DTYPES[tensor.datatype], data.size, offset, data.shape))
            offset += data.nbytes
        if offset != body_bytes:  # an input came as JSON
            return
        if len(self._layouts) >= MAX_KEPT:
            self._layouts.clear()
        self._layouts[header] = _Layout(
            tuple(places), body_bytes, request.outputs, request.binary_outputs, dict(request.parameters)
        )
