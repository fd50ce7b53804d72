from typing import Any

import ml_dtypes
import numpy as np
import pytest

from everwarm_server.batching import rows
from everwarm_server.protocol.tensors import Array


def array(*shape: int, dtype: Any = np.float32) -> Array:
    return np.arange(np.prod(shape), dtype=np.float64).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        ({"x": array(3, 2)}, 3),
        ({"x": array(3, 2), "y": array(3)}, 3),
        ({"x": array(3, 2), "y": array(2)}, 0),
        ({"x": array(0, 2)}, 0),
        ({"x": np.float32(1).reshape(())}, 0),
        ({}, 0),
    ],
)
def test_rows_are_what_all_inputs_have(inputs: dict[str, Array], count: int) -> None:
    assert rows.count(inputs) == count


def test_only_alike_requests_are_in_one_bucket() -> None:
    def key(inputs: dict[str, Array], **parameters: Any) -> Any:
        return rows.bucket(inputs, parameters)

    plain = key({"x": array(1, 2)})
    assert plain == key({"x": array(7, 2)}), "whatever the number of rows"
    different = [
        key({"x": array(1, 3)}),
        key({"x": array(1, 2, 1)}),
        key({"x": array(1, 2, dtype=np.float64)}),
        key({"y": array(1, 2)}),
        key({"x": array(1, 2), "y": array(1)}),
        key({"x": array(1, 2)}, top=1),
        key({"x": array(1, 2)}, top=1.0),
        key({"x": array(1, 2)}, top=True),
        key({"x": array(1, 2)}, top="1"),
        key({"x": array(1, 2)}, top=1, bottom=1),
    ]
    assert len({plain, *different}) == 1 + len(different)
    both = {"x": array(1, 2), "y": array(1)}
    assert key(both) == key(dict(reversed(both.items()))), "whatever the order of the inputs"
    assert key(both, a=1, b=2) == key(both, b=2, a=1)


@pytest.mark.parametrize(
    ("parameters", "stream"),
    [({}, None), ({"sequence_id": 0}, None), ({"sequence_id": ""}, None), ({"sequence_id": 7}, 7),
     ({"sequence_id": "cam"}, "cam"), ({"top": 1}, None)],
)  # fmt: skip
def test_a_stream_is_named_by_tritons_sequence_id(parameters: dict[str, Any], stream: Any) -> None:
    assert rows.stream(parameters) == stream


def test_what_is_joined_is_cut_again_into_views() -> None:
    one, other = {"x": array(2, 3), "t": array(2, dtype=np.int64)}, {"t": array(1, dtype=np.int64), "x": -array(1, 3)}
    joined = rows.joined([one, other])
    parts = rows.cut(joined, [2, 1])
    for part, given in zip(parts, (one, other), strict=True):
        for name, values in given.items():
            assert part[name].dtype == values.dtype
            assert part[name].tolist() == values.tolist()
            assert part[name].base is joined[name]


def test_bytes_are_joined_as_they_are() -> None:
    texts = [np.array([b"a", b"bcd"], object), np.array([b""], object)]
    assert rows.joined([{"t": text} for text in texts])["t"].tolist() == [b"a", b"bcd", b""]


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ({"y": array(2, 1)}, r"'y' has the shape \[2, 1\] for a batch of 3 rows"),
        ({"y": np.float32(1).reshape(())}, r"'y' has the shape \[\]"),
        ({"x": array(3), "y": array(1)}, "'y'"),
    ],
)
def test_an_answer_without_a_row_for_each_is_no_answer_to_a_batch(outputs: dict[str, Array], sentence: str) -> None:
    with pytest.raises(rows.NotRows, match=sentence):
        rows.cut(outputs, [2, 1])


def test_a_large_request_is_cut_into_views_of_full_parts_and_a_rest() -> None:
    x = array(7, 2)
    pieces = rows.slices({"x": x}, 7, 3)
    assert [(place.start, place.stop) for place, _ in pieces] == [(0, 3), (3, 6), (6, 7)]
    assert np.concatenate([part["x"] for _, part in pieces]).tolist() == x.tolist()
    assert all(part["x"].base is not None for _, part in pieces)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (array(3), array(3), True),
        (array(3), array(3) + np.float32(1e-4), True),
        (array(3), array(3) + np.float32(0.1), False),
        (array(3), array(3, dtype=np.float64), False),
        (array(3), array(3, 1), False),
        (array(3, dtype=np.int64), array(3, dtype=np.int64) + 1, False),
        (np.array([np.nan, np.inf, 1], np.float32), np.array([np.nan, np.inf, 1], np.float32), True),
        (np.array([np.nan, 1], np.float32), np.array([1, np.nan], np.float32), False),
        (np.array([np.inf], np.float32), np.array([1], np.float32), False),
        (array(3, dtype=np.float16), array(3, dtype=np.float16) + np.float16(0.01), True),
        (array(3, dtype=ml_dtypes.bfloat16), array(3, dtype=ml_dtypes.bfloat16), True),
        (array(0, 2), array(0, 2), True),
        (np.array([b"a"], object), np.array([b"a"], object), True),
        (np.array([b"a"], object), np.array([b"b"], object), False),
    ],
)
def test_answers_are_alike_but_for_how_sums_round(one: Array, other: Array, same: bool) -> None:
    assert rows.alike({"y": one}, {"y": other}) == same
    assert not rows.alike({"y": one}, {"z": one})
