"""Requests' arrays in, those of one batch out, and back: joined with one copy, cut into views.

Only arrays of one bucket are joined: the same names, datatypes and shapes but for the first dimension.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final

import numpy as np

from everwarm_server.protocol.tensors import DATATYPES, Array, Parameters

SEQUENCE: Final = "sequence_id"
# How much of an answer's largest value the order of a sum may change: that order depends on the size of a batch. FP32
# is what TF32 on a GPU leaves; FP64 what a model that computes in FP32 does.
_ROUNDING: Final = {"FP16": 0.05, "BF16": 0.05, "FP32": 2e-3, "FP64": 2e-3}


class NotRows(Exception):
    """A model's answer to a batch has not one row for each of the batch's; the text says what it has instead."""


def count(inputs: Mapping[str, Array]) -> int:
    """The rows that all inputs have; 0 where they have none, or differ."""
    rows = 0
    for array in inputs.values():
        if not array.ndim or (rows and array.shape[0] != rows):
            return 0
        rows = array.shape[0]
    return rows


def bucket(inputs: Mapping[str, Array], parameters: Parameters) -> Hashable:
    """What requests must have alike to be computed together.

    Args:
        inputs: with as many rows each.
        parameters: those that the model is given. They are never merged: requests that differ in one are in
            different buckets.
    """
    shapes: tuple[Hashable, ...] = tuple([(name, array.dtype, array.shape[1:]) for name, array in inputs.items()])
    if len(shapes) > 1:
        shapes = tuple(sorted(shapes, key=str))
    if not parameters:
        return shapes
    # 1, 1.0 and True are equal in Python and not the same to a model.
    return shapes, frozenset([(name, type(value), value) for name, value in parameters.items()])


def stream(parameters: Parameters) -> Hashable | None:
    """The stream whose order a request keeps; None: none.

    By the parameter `sequence_id` of Triton's extension (docs/protocol/extension_sequence.md): a number or a text; 0
    and the empty one are no stream.
    """
    return (parameters.get(SEQUENCE) or None) if parameters else None


def joined(parts: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """The rows of all parts, in their order: each copied once, into memory for all of them."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def cut(outputs: Mapping[str, Array], rows: Iterable[int]) -> list[dict[str, Array]]:
    """The outputs of each part of a batch, as views.

    Raises:
        NotRows: an output has not as many rows as the batch.
    """
    counts = list(rows)
    total = sum(counts)
    for name, array in outputs.items():
        if array.ndim == 0 or array.shape[0] != total:
            raise NotRows(f"the output {name!r} has the shape {list(array.shape)} for a batch of {total} rows")
    found: list[dict[str, Array]] = [{} for _ in counts]
    for name, array in outputs.items():
        start = 0
        for part, number in zip(found, counts, strict=True):
            part[name] = array[start : start + number]
            start += number
    return found


def slices(inputs: Mapping[str, Array], rows: int, max_rows: int) -> list[tuple[slice, dict[str, Array]]]:
    """A request in parts of at most `max_rows` rows, each a view; all but the last are full."""
    found = []
    for start in range(0, rows, max_rows):
        part = slice(start, min(start + max_rows, rows))
        found.append((part, {name: array[part] for name, array in inputs.items()}))
    return found


def alike(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    """Whether two answers are the same but for how sums round, which depends on the size of a batch."""
    return one.keys() == other.keys() and all(_alike(array, other[name]) for name, array in one.items())


def _alike(one: Array, other: Array) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    tolerance = _ROUNDING.get(DATATYPES.get(one.dtype, ""))
    if tolerance is None:
        return bool(np.array_equal(one, other))
    one, other = one.astype(np.float64), other.astype(np.float64)
    finite = np.abs(one[np.isfinite(one)])
    largest = float(finite.max()) if finite.size else 0.0
    return bool(np.allclose(one, other, rtol=0.0, atol=tolerance * largest, equal_nan=True))
