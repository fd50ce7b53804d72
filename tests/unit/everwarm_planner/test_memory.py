"""The memory survives JSON, and whatever else a status may hold by the time it is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner.memory import Memory

TIMES = st.none() | st.floats(allow_nan=False, allow_infinity=False)


@given(st.builds(Memory, st.integers(0, 10_000), *[TIMES] * 7))
def test_the_small_part_comes_back_whole_from_json(memory: Memory) -> None:
    assert Memory.from_dict(json.loads(json.dumps(memory.to_dict())), floor=77) == memory


def test_whole_numbers_may_come_back_as_integers() -> None:
    content = {"floor": 3, "lowSinceSeconds": 700, "observedAtSeconds": 990, "fromANewerVersion": [1]}
    assert Memory.from_dict(content, floor=1) == Memory(3, 700.0, 990.0)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "floor",
        [],
        {},
        {"floor": "3"},
        {"floor": -1},
        {"floor": True},
        {"floor": 2.5},
        {"floor": 3, "lowSinceSeconds": "yesterday"},
        {"floor": 3, "lowSinceSeconds": True},
        {"floor": 3, "lowSinceSeconds": float("nan")},
        {"floor": 3, "observedAtSeconds": float("inf")},
        {"floor": 3, "observedAtSeconds": 10**400},
        {"floor": 3, "observedAtSeconds": {}},
    ],
    ids=str,
)
def test_what_cannot_be_read_starts_again_from_the_floor_that_stands(content: object) -> None:
    assert Memory.from_dict(content, floor=2) == Memory.start(2)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["floor", "lowSinceSeconds", "observedAtSeconds", "spentUsd"]), inner)
    ),
    max_leaves=6,
)


@given(JSON)
def test_no_content_breaks_it(content: object) -> None:
    memory = Memory.from_dict(content, floor=2)
    assert memory.floor >= 0
    assert Memory.from_dict(memory.to_dict(), floor=9) == memory
