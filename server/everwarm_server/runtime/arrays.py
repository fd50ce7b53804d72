"""Arrays between the protocol and the frameworks: aligned memory, text for bytes, and the datatypes that both know."""

from typing import Any

import numpy as np

from everwarm_server.errors import InvalidInput, ModelError
from everwarm_server.protocol.tensors import DATATYPES, DTYPES, Array


def aligned(array: Array) -> Array:
    """The same values at an address that C code may read; a copy only where the JSON before them had an odd length."""
    return np.require(array, requirements=["C", "A"])


def to_text(array: Array, name: str) -> Array:
    """BYTES as an array of `str`.

    Raises:
        InvalidInput: an element is not UTF-8.
    """
    try:
        return _objects([bytes(element).decode() for element in array.reshape(-1).tolist()], array.shape)
    except UnicodeDecodeError:
        raise InvalidInput(f"The input {name!r} is text to this model, but an element is not UTF-8.") from None


def to_protocol(value: Any, owner: str, datatype: str | None = None) -> Array:
    """An array of a datatype of the protocol; text becomes BYTES, and `datatype` is converted to if it is of that kind.

    Raises:
        ModelError: `owner` (such as "the output 'y'") has no such datatype, or another kind than `datatype`.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ModelError(f"{owner.capitalize()} is no array: {error}") from error
    if array.dtype.kind in "USO":
        flat = [e.encode() if isinstance(e, str) else e for e in array.reshape(-1).tolist()]
        if not all(isinstance(element, bytes) for element in flat):
            raise ModelError(f"{owner.capitalize()} holds Python objects; it must hold numbers or text.")
        array = _objects(flat, array.shape)
    if datatype is not None and array.dtype != DTYPES[datatype]:
        if "O" in array.dtype.kind + DTYPES[datatype].kind or not np.can_cast(
            array.dtype, DTYPES[datatype], "same_kind"
        ):
            raise ModelError(f"{owner.capitalize()} is declared {datatype}, but it came as {array.dtype}.")
        array = array.astype(DTYPES[datatype])
    if array.dtype not in DATATYPES:
        raise ModelError(f"{owner.capitalize()} is an array of {array.dtype}, which the protocol does not have.")
    return array


def _objects(flat: list[Any], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(flat), object)
    array[:] = flat
    return array.reshape(shape)
