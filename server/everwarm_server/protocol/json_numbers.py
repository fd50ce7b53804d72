"""JSON whose lists of numbers become typed arrays at once, without a Python object for each number.

By simdjson (pysimdjson), which leaves a document on its tape until it is looked at: a request of 784 floats takes 18 us
and not the 41 us of orjson, its list and numpy, one of 150,528 floats 3.2 ms and not 7.4 (docs/decisions/0008). Both
hold the interpreter's lock, so this also halves the time for which nothing else of the process runs.

What is not plain (no numbers, ragged lists, integers beyond 64 bits, keys that come twice, errors) raises Unusual:
whoever asked parses again by orjson, which has a sentence for all of it.
"""

import math
import threading
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import simdjson

from everwarm_server.protocol.tensors import DTYPES, FLOATS, Array

_KEPT_BYTES: Final = 2**20  # a parser keeps room for the largest document that it has seen
_WIDE: Final[dict[str, tuple[Literal["d", "i", "u"], np.dtype[Any]]]] = {
    **dict.fromkeys(FLOATS, ("d", np.dtype("<f8"))),
    **{name: ("i", np.dtype("<i8")) for name in ("INT8", "INT16", "INT32", "INT64")},
    **{name: ("u", np.dtype("<u8")) for name in ("UINT8", "UINT16", "UINT32", "UINT64")},
}
_own: Final = threading.local()
Body: TypeAlias = bytes | bytearray | memoryview


class Unusual(Exception):
    """This way does not know what to do."""


class Document:
    """A JSON object. Its lists are `Numbers` where they are asked for as such, else Python's.

    Use it as a context: what it gave, but for arrays, must not outlive it.
    """

    def __init__(self, body: Body) -> None:
        self._body = body
        self._brackets = 0
        self._root: Any = None

    def __enter__(self) -> "Document":
        if not self._body or self._body[0] not in b"{ \t\r\n":  # a byte order mark, which simdjson takes
            raise Unusual
        try:
            self._root = _parser(len(self._body)).parse(self._body)
        except (ValueError, RuntimeError) as error:
            _own.__dict__.clear()  # it may still be known to somebody
            raise Unusual from error
        if type(self._root) is not simdjson.Object:
            raise Unusual
        return self

    def __exit__(self, *_: object) -> None:
        self._root = None

    def members(self, lazy: frozenset[str]) -> dict[str, Any]:
        """The members; those whose names are in `lazy` are left as they are, for `items` or `numbers`."""
        return self._members(self._root, lazy)

    def _members(self, value: Any, lazy: frozenset[str]) -> dict[str, Any]:
        keys = list(value.keys())
        if len(set(keys)) != len(keys) or any("\0" in key for key in keys):  # it looks up to the NUL only
            raise Unusual
        return {key: value[key] if key in lazy else _as_python(value[key]) for key in keys}

    def items(self, value: Any, lazy: frozenset[str]) -> list[dict[str, Any]]:
        """A list of objects, each as `members` gives it."""
        if type(value) is not simdjson.Array:
            raise Unusual
        self._brackets += 1
        found = []
        for item in value:
            if type(item) is not simdjson.Object:
                raise Unusual
            found.append(self._members(item, lazy))
        return found

    def shape(self, value: Any) -> tuple[int, ...]:
        """The shape of nested lists by their first elements; `numbers` looks at the others."""
        dimensions = []
        while type(value) is simdjson.Array:
            dimensions.append(len(value))
            if not dimensions[-1]:
                break
            value = value[0]
        return tuple(dimensions)

    def numbers(self, value: Any, datatype: str, shape: tuple[int, ...]) -> Array:
        """The array of `shape` that a list holds: flat, or nested as the shape says."""
        if type(value) is not simdjson.Array or datatype not in _WIDE:
            raise Unusual
        kind, wide = _WIDE[datatype]
        self._brackets += _nesting(value, shape)
        try:
            flat = np.frombuffer(value.as_buffer(of_type=kind), wide)
        except (TypeError, ValueError, RuntimeError) as error:
            raise Unusual from error
        if len(flat) != math.prod(shape):
            raise Unusual
        return _narrowed(flat, datatype).reshape(shape)

    def check(self, other_lists: int) -> None:
        """See that there are no more lists than those looked at, and `other_lists`.

        simdjson takes [1, [2]] for two numbers. There are at least as many brackets as lists: if there are not more
        in the whole body, none hides among numbers.
        """
        body = bytes(self._body) if isinstance(self._body, memoryview) else self._body
        if body.count(b"[") != self._brackets + other_lists:
            raise Unusual


def _parser(size_bytes: int) -> Any:
    if size_bytes > _KEPT_BYTES:
        return simdjson.Parser()
    parser = getattr(_own, "parser", None)
    if parser is None:
        parser = _own.parser = simdjson.Parser()
    return parser


def _as_python(value: Any) -> Any:
    if type(value) is simdjson.Array:
        return value.as_list()
    return value.as_dict() if type(value) is simdjson.Object else value


def _nesting(value: Any, shape: tuple[int, ...]) -> int:
    """How many lists there are, if they are nested as the shape says, or one if there is one."""
    if not len(value) or type(value[0]) is not simdjson.Array:
        return 1
    lists: Iterable[Any] = [value]
    count = 0
    for depth, wanted in enumerate(shape):
        level = list(lists)
        count += len(level)
        if any(type(each) is not simdjson.Array or len(each) != wanted for each in level):
            raise Unusual
        lists = () if depth == len(shape) - 1 else (item for each in level for item in each)
    return count


def _narrowed(flat: Array, datatype: str) -> Array:
    dtype = DTYPES[datatype]
    if datatype in FLOATS:
        with np.errstate(over="ignore"):
            array = flat.astype(dtype, copy=False)
        if not np.isfinite(array).all():
            raise Unusual
        return array
    limits = np.iinfo(dtype)
    if flat.size and not (limits.min <= flat.min() and flat.max() <= limits.max):
        raise Unusual
    return flat.astype(dtype, copy=False)
