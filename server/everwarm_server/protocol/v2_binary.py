"""The binary tensor extension of V2: bytes after the JSON to arrays that are views of the body, and back.

Source: Triton, docs/protocol/extension_binary_data.md. Little-endian, row-major, no padding; BOOL one byte of 0 or 1;
BYTES each as a 4-byte length and that many bytes.
"""

import math
import struct
from typing import Final

import numpy as np

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import json_data, shapes
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.tensors import DTYPES, Array, InferRequest, ModelMetadata, Tensor

HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_COPIED_BYTES: Final = 4096  # a copy of less is quicker than the views
_LENGTH: Final = struct.Struct("<I")


def parse_header_length(value: str) -> int:
    """The header's value in bytes.

    Raises:
        InvalidInput: it is not a decimal number of at most 18 digits.
    """
    if not (value.isascii() and value.isdecimal() and len(value) <= 18):
        raise InvalidInput(f"{HEADER_LENGTH} is {shown(value)}; it must be the JSON's length in bytes.")
    return int(value)


def split(body: memoryview, header_length: int | None) -> "tuple[memoryview, Tail]":
    """The JSON part, and the binary part behind it.

    Raises:
        InvalidInput: the body is shorter than its JSON is said to be.
    """
    if header_length is None:
        return body, Tail(body[len(body) :], has_header=False)
    if not 0 <= header_length <= len(body):
        raise InvalidInput(f"{HEADER_LENGTH} says {header_length} bytes of JSON, but the body has {len(body)} bytes.")
    return body[:header_length], Tail(body[header_length:], has_header=True)


class Tail:
    """The bytes behind the JSON, taken tensor by tensor in the order of the inputs."""

    def __init__(self, body: memoryview, *, has_header: bool) -> None:
        self._left = body
        self._has_header = has_header

    def take(self, size_bytes: int, owner: str) -> memoryview:
        """The next `size_bytes` bytes.

        Raises:
            InvalidInput: there are not so many.
        """
        if not self._has_header:
            raise InvalidInput(
                f"The {owner} has binary_data_size, but the request has no header {HEADER_LENGTH}; "
                "send that header with the JSON's length in bytes."
            )
        if size_bytes > len(self._left):
            raise InvalidInput(f"The {owner} says binary_data_size {size_bytes}, but {len(self._left)} bytes are left.")
        taken, self._left = self._left[:size_bytes], self._left[size_bytes:]
        return taken

    def check_empty(self) -> None:
        """Raise InvalidInput when bytes are left that no input claims."""
        if self._left:
            raise InvalidInput(
                f"The body has {len(self._left)} bytes behind the JSON that no input claims by binary_data_size."
            )


def to_array(raw: memoryview, datatype: str, shape: tuple[int, ...], owner: str) -> Array:
    """An array of `shape`; not a copy but a view of `raw` (BYTES: a copy), perhaps unaligned, read-only if `raw` is.

    Raises:
        InvalidInput: the bytes are not those of such a tensor.
    """
    size = math.prod(shape)
    if datatype == "BYTES":
        return json_data.to_bytes_array(_split_bytes(raw, size, owner), shape)
    dtype = DTYPES[datatype]
    if len(raw) != size * dtype.itemsize:
        raise InvalidInput(
            f"The {owner} is {datatype} of shape {shapes.text(shape)}, which takes {size * dtype.itemsize} bytes, "
            f"but {len(raw)} bytes came."
        )
    # A byte of 2 would make an array of booleans that compares wrongly with everything.
    if datatype == "BOOL" and size and np.frombuffer(raw, np.uint8).max() > 1:
        raise InvalidInput(f"The {owner} is BOOL, so each byte must be 0 or 1, but there are others.")
    return np.frombuffer(raw, dtype).reshape(shape)


def _split_bytes(raw: memoryview, count: int, owner: str) -> list[bytes]:
    elements: list[bytes] = []
    offset = 0
    while offset < len(raw) and len(elements) < count:
        start = offset + _LENGTH.size
        if start > len(raw):
            raise InvalidInput(f"The {owner} ends within the 4-byte length of its element {len(elements)}.")
        end = start + int(_LENGTH.unpack_from(raw, offset)[0])
        if end > len(raw):
            raise InvalidInput(
                f"The {owner} says that its element {len(elements)} has {end - start} bytes, "
                f"but {len(raw) - start} are left."
            )
        elements.append(bytes(raw[start:end]))
        offset = end
    if len(elements) != count or offset != len(raw):
        raise InvalidInput(
            f"The {owner} should hold {count} elements as its shape says; its bytes hold "
            f"{len(elements)}, with {len(raw) - offset} bytes to spare."
        )
    return elements


def from_tensor(tensor: Tensor) -> bytes | memoryview:
    """The bytes of a tensor: a view of its array where that is large, contiguous and little-endian, else a copy."""
    if tensor.datatype == "BYTES":
        flat = (e.encode() if isinstance(e, str) else bytes(e) for e in tensor.data.reshape(-1).tolist())
        return b"".join(part for element in flat for part in (_LENGTH.pack(len(element)), element))
    array = np.ascontiguousarray(tensor.data, DTYPES[tensor.datatype])
    if array.nbytes <= _COPIED_BYTES:
        return array.tobytes()
    return array.reshape(-1).view(np.uint8).data


def decode_raw(body: memoryview, metadata: ModelMetadata | None) -> InferRequest:
    """A raw binary request: the body is the one input of the model and nothing else; all outputs come back binary.

    A BYTES input is one element, the whole body, without a length before it.

    Raises:
        InvalidInput: the model does not have exactly one input, or the body is not a whole number of its rows.
    """
    if metadata is None or len(metadata.inputs) != 1:
        raise InvalidInput(
            f"{HEADER_LENGTH}: 0 means that the body is the model's one input, but this model does not declare "
            "exactly one; send the JSON with names and shapes first."
        )
    spec = metadata.inputs[0]
    owner = f"input {shown(spec.name)}"
    if spec.datatype == "BYTES":
        array = json_data.to_bytes_array([bytes(body)], tuple(1 for _ in spec.shape))
    else:
        array = to_array(body, spec.datatype, _raw_shape(spec.shape, spec.datatype, len(body), owner), owner)
    return InferRequest(inputs=(Tensor(spec.name, spec.datatype, array),), binary_outputs=True)


def _raw_shape(declared: tuple[int, ...], datatype: str, size_bytes: int, owner: str) -> tuple[int, ...]:
    free = declared.count(-1)
    if free == 2 and declared[0] == -1:
        declared = (1, *declared[1:])  # with two open dimensions the first is the batch, and this is a batch of one
        free = 1
    if free > 1:
        raise InvalidInput(f"The {owner} has shape {shapes.text(declared)}, too open for a raw body; send its shape.")
    row_bytes = math.prod(d for d in declared if d != -1) * DTYPES[datatype].itemsize
    size = size_bytes // row_bytes if row_bytes else 0
    return tuple(size if d == -1 else d for d in declared)
