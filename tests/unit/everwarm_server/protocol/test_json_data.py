import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import json_data

FINITE = st.floats(allow_nan=False, allow_infinity=False)
OTHERS = st.sampled_from([True, None, "1", [1.0], {"a": 1}, 10**30])


@given(st.lists(FINITE, max_size=20))
def test_floats_are_converted_as_numpy_does(elements):
    array = json_data.to_array(elements, "FP64", (len(elements),), "input 'x'")
    np.testing.assert_array_equal(array, np.array(elements, np.float64), strict=True)
    assert array.flags.writeable


@given(st.lists(FINITE, max_size=9), OTHERS, st.lists(FINITE, max_size=9))
def test_whatever_hides_among_floats_is_found(before, other, after):
    elements = [*before, other, *after]
    if type(other) is int:
        assert json_data.to_array(elements, "FP64", (len(elements),), "input 'x'")[len(before)] == 1e30
        return
    with pytest.raises(InvalidInput, match=f"must be numbers, but element {len(before)} is"):
        json_data.to_array(elements, "FP64", (len(elements),), "input 'x'")


@pytest.mark.parametrize(("datatype", "element"), [("FP32", 3.5e38), ("FP32", -4e38), ("BF16", 3.4e38), ("FP64", None)])
def test_what_a_datatype_does_not_hold_is_refused(datatype, element):
    with pytest.raises(InvalidInput):
        json_data.to_array([1.0, element], datatype, (2,), "input 'x'")


def test_this_interpreter_writes_lists_of_floats_as_the_short_way_needs(monkeypatch):
    elements = json.loads("[0.5, -1e300, 2.0]")
    monkeypatch.setattr(json_data, "_TYPES", {})  # the long way would fail
    assert json_data.to_array(elements, "FP64", (3,), "input 'x'").tolist() == elements
