"""JSON tensor data (nested or flat lists) to typed arrays and back, strictly: nothing is wrapped or guessed."""

import marshal
import math
from itertools import chain
from typing import Any, Final

import numpy as np

from everwarm_server.errors import InferenceFailed, InvalidInput
from everwarm_server.protocol import shapes
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.tensors import DTYPES, FLOATS, Array, Tensor

_WANTED: Final = {"BOOL": "true or false", "BYTES": "strings"}
_NATIVE: Final = {name: dtype.newbyteorder("=") for name, dtype in DTYPES.items()} | {"BF16": np.dtype(np.float32)}
_BF16_MAX: Final = (2 - 2**-7) * 2.0**127  # numpy does not know
# Of values for a model that declares no inputs, by the kinds among them.
UNDECLARED_DATATYPES: Final[dict[frozenset[type], str]] = {
    frozenset({int}): "INT64",
    frozenset({float}): "FP64",
    frozenset({int, float}): "FP64",
    frozenset({bool}): "BOOL",
    frozenset({str}): "BYTES",
}
_LIST_BYTES: Final = 5
_FLOAT_TAG: Final = b"g"
_FLOAT_ITEM: Final = np.dtype([("tag", "S1"), ("value", "<f8")])
_INT: Final = frozenset({int})
_FLOAT: Final = frozenset({int, float})
_TYPES: Final[dict[str, frozenset[type]]] = {
    name: frozenset({bool}) if name == "BOOL" else frozenset({str}) if name == "BYTES" else _INT for name in DTYPES
} | dict.fromkeys(FLOATS, _FLOAT)


def flatten(data: list[Any], shape: tuple[int, ...], owner: str) -> list[Any]:
    """The elements of `data`, row-major: it is either flat already, or nested exactly as `shape` says.

    Raises:
        InvalidInput: `data` is ragged, or does not hold what `shape` says.
    """
    if not data or type(data[0]) is not list:
        size = math.prod(shape)
        if len(data) != size:
            raise InvalidInput(
                f"The {owner} has shape {shapes.text(shape)}, which means {size} elements, "
                f"but its data has {len(data)}."
            )
        return data
    level: list[Any] = [data]
    for depth, wanted in enumerate(shape):
        for part in level:
            if type(part) is not list or len(part) != wanted:
                given = f"a list of {len(part)}" if type(part) is list else shown(part)
                raise InvalidInput(
                    f"The {owner} has shape {shapes.text(shape)}, so its data at depth {depth + 1} must be lists of "
                    f"{wanted}, but there is {given}; nest the data as the shape says, or send it flat."
                )
        level = level[0] if len(level) == 1 else list(chain.from_iterable(level))
    return level


def shape_of(data: Any, owner: str) -> tuple[int, ...]:
    """The shape that nested lists have by their first elements; `flatten` then checks all the others.

    Raises:
        InvalidInput: they are nested too deep.
    """
    dimensions: list[int] = []
    while type(data) is list:
        dimensions.append(len(data))
        if not data:
            break
        data = data[0]
    return shapes.parse(dimensions, owner)


def to_array(elements: list[Any], datatype: str, shape: tuple[int, ...], owner: str) -> Array:
    """A typed array of `shape` from as many JSON elements.

    Raises:
        InvalidInput: an element is of the wrong kind, or out of the range of `datatype`.
    """
    dtype = DTYPES[datatype]
    is_float = datatype in FLOATS
    if is_float and (floats := _all_floats(elements)) is not None:
        array = _narrowed(floats, dtype)
    else:
        # numpy alone would take true for 1, "1" for 1.0, null for NaN and 1.5 for 1.
        wrong = set(map(type, elements)) - _TYPES[datatype]
        if wrong:
            _refuse_kind(elements, wrong, datatype, owner)
        if datatype == "BYTES":
            return to_bytes_array([element.encode() for element in elements], shape)
        try:
            array = _narrowed(elements, dtype)
        except OverflowError:
            _refuse_range(elements, datatype, owner)
    if is_float and not np.isfinite(array).all():
        _refuse_range(elements, datatype, owner)
    return array.reshape(shape)


def _narrowed(values: Any, dtype: np.dtype[Any]) -> Array:
    with np.errstate(over="ignore"):
        return np.array(values, dtype)


def _all_floats(elements: list[Any]) -> Array | None:
    """The elements as an array, if each of them is a float; None if any is not.

    By way of marshal, whose version 2 writes a list as its tag and length (5 bytes), and a float as its tag and 8
    bytes: 11 us for 784 floats, against 30 us for a look at each type and numpy's conversion of the list.
    """
    packed = marshal.dumps(elements, 2)
    count = len(elements)
    if len(packed) != _LIST_BYTES + _FLOAT_ITEM.itemsize * count:
        return None
    if packed[_LIST_BYTES :: _FLOAT_ITEM.itemsize].count(_FLOAT_TAG) != count:
        return None
    return np.frombuffer(packed, _FLOAT_ITEM, offset=_LIST_BYTES)["value"]


def to_bytes_array(elements: list[bytes], shape: tuple[int, ...]) -> Array:
    """An object array of Python `bytes`."""
    array = np.empty(len(elements), object)
    array[:] = elements
    return array.reshape(shape)


def _refuse_kind(elements: list[Any], wrong: set[type], datatype: str, owner: str) -> None:
    index, element = next((i, e) for i, e in enumerate(elements) if type(e) in wrong)
    wanted = _WANTED.get(datatype, "numbers" if datatype in FLOATS else "integers")
    raise InvalidInput(
        f"The {owner} is {datatype}, so its data must be {wanted}, but element {index} is {shown(element)}."
    )


def _refuse_range(elements: list[Any], datatype: str, owner: str) -> None:
    dtype = DTYPES[datatype]
    low: float
    if datatype in FLOATS:
        high = _BF16_MAX if datatype == "BF16" else float(np.finfo(dtype).max)
        low = -high
    else:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    index, element = next((i, e) for i, e in enumerate(elements) if not low <= e <= high)
    raise InvalidInput(
        f"The {owner} is {datatype}, which holds {low} to {high}, but element {index} is {shown(element)}."
    )


def from_tensor(tensor: Tensor, *, flat: bool = False) -> Any:
    """What orjson (with OPT_SERIALIZE_NUMPY) writes for a tensor: an array, or for BYTES nested lists of strings.

    `flat` leaves the shape out.

    JSON has no NaN and no infinity. orjson would write null for both, which a client reads as a missing value or
    fails on, so this refuses and names the way out.

    Raises:
        InferenceFailed: it holds NaN or infinity, or bytes that are not UTF-8.
    """
    data = tensor.data.reshape(-1) if flat else tensor.data
    if tensor.datatype == "BYTES":
        return _strings(tensor.name, data)
    array = np.asarray(data, _NATIVE[tensor.datatype], order="C")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        count = int(array.size - np.isfinite(array).sum())
        raise InferenceFailed(
            f"The output {shown(tensor.name)} holds NaN or infinity in {count} of {array.size} elements, which JSON "
            "can't carry; ask for binary outputs of the V2 protocol to get them as they are."
        )
    return array if array.ndim else array.item()  # orjson takes no array without dimensions


def _strings(name: str, data: Array) -> Any:
    try:
        flat = [e if isinstance(e, str) else bytes(e).decode() for e in data.reshape(-1).tolist()]
    except UnicodeDecodeError:
        raise InferenceFailed(
            f"The output {shown(name)} holds bytes that are not UTF-8, which JSON can't carry; "
            "ask for binary outputs of the V2 protocol to get them as they are."
        ) from None
    strings = np.empty(len(flat), object)
    strings[:] = flat
    return strings.reshape(data.shape).tolist()
