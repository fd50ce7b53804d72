"""Protocol buffers' wire format, as far as it takes to have large `bytes` fields neither copied in nor out.

Source: protobuf.dev/programming-guides/encoding. Python's protobuf copies a `bytes` field when it parses and again at
each look at it, and a third time when it serializes: a fifth of a millisecond for an image of 600 kB.
"""

from typing import Final

_VARINT: Final = 0
_FIXED64: Final = 1
_LENGTH_DELIMITED: Final = 2
_FIXED32: Final = 5
_MAX_VARINT_BYTES: Final = 10


class _Malformed(Exception):
    """protobuf's parser will say what is wrong."""


def take_out(message: bytes, field: int) -> tuple[bytes, list[memoryview]]:
    """A serialized message without one of its repeated `bytes` fields, and that field's values as views of the message.

    A message that is malformed, or has groups, comes back whole with no values: whoever parses it then sees that.
    """
    view = memoryview(message)
    kept: list[memoryview] = []
    values: list[memoryview] = []
    offset = 0
    try:
        while offset < len(view):
            start = offset
            tag, offset = _varint(view, offset)
            begin, offset = _skip(view, offset, tag & 7)
            if tag >> 3 != field:
                kept.append(view[start:offset])
            elif tag & 7 == _LENGTH_DELIMITED:
                values.append(view[begin:offset])
            else:
                return message, []
    except _Malformed:
        return message, []
    return b"".join(kept), values


def _varint(view: memoryview, offset: int) -> tuple[int, int]:
    value = 0
    for index, byte in enumerate(view[offset : offset + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return value, offset + index + 1
    raise _Malformed


def _skip(view: memoryview, offset: int, wire_type: int) -> tuple[int, int]:
    """Where a value begins and ends."""
    end = offset
    if wire_type == _LENGTH_DELIMITED:
        length, offset = _varint(view, offset)
        end = offset + length
    elif wire_type == _VARINT:
        _, end = _varint(view, offset)
    elif wire_type == _FIXED64:
        end = offset + 8
    elif wire_type == _FIXED32:
        end = offset + 4
    else:
        raise _Malformed
    if end > len(view):
        raise _Malformed
    return offset, end


def prefix(field: int, length: int) -> bytes:
    """What stands before a length-delimited value of `length` bytes."""
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(length)


def varint(value: int) -> bytes:
    """An unsigned integer."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
