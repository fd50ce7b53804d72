import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from everwarm_server.errors import ModelError
from everwarm_server.runtime.accuracy import Difference, Quantization, compare

F32 = np.float32
SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.9, 0.1]], F32)
FLIPPED = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.4], [0.9, 0.1]], F32)


@pytest.mark.parametrize(
    ("full", "quantized", "difference"),
    [
        ({"y": SCORES}, {"y": SCORES}, (0.0, 0.0, 1.0)),
        ({"y": SCORES}, {"y": FLIPPED}, (0.2, 0.2 / 0.9, 0.75)),
        ({"y": np.array([2.0, -4.0])}, {"y": np.array([2.0, -3.0])}, (1.0, 0.25, None)),
        ({"y": np.array([1, 2])}, {"y": np.array([1, 3])}, (None, None, 0.5)),
        ({"y": np.array([b"a", b"b"], object)}, {"y": np.array([b"a", b"b"], object)}, (None, None, 1.0)),
        (
            {"y": SCORES, "label": np.array([1, 0, 1, 0])},
            {"y": FLIPPED, "label": np.array([1, 0, 0, 1])},
            (0.2, 0.2 / 0.9, 0.5),
        ),
        ({"y": np.array([1.0], ml_dtypes.bfloat16)}, {"y": np.array([1.5], ml_dtypes.bfloat16)}, (0.5, 0.5, None)),
        ({"y": np.zeros((0, 2))}, {"y": np.zeros((0, 2))}, (None, None, None)),
        ({"y": np.zeros(2)}, {"y": np.zeros(2)}, (0.0, 0.0, None)),
    ],
)
def test_differences_are_measured_over_all_outputs(full, quantized, difference):
    got = compare(full, quantized)
    assert (got.absolute_error, got.relative_error, got.label_agreement) == pytest.approx(difference)


@pytest.mark.parametrize("quantized", [{}, {"y": SCORES[:1]}])
def test_outputs_of_another_shape_cannot_be_compared(quantized):
    with pytest.raises(ModelError, match="The output 'y' has another shape after quantisation, or is missing"):
        compare({"y": SCORES}, quantized)


@pytest.mark.parametrize(
    ("limits", "broken"),
    [
        ({"max_absolute_error": 0.2}, None),
        ({"max_absolute_error": 0.1}, "max_absolute_error is 0.1, and the samples give 0.2"),
        ({"max_relative_error": 0.05}, "max_relative_error is 0.05, and the samples give 0.1"),
        ({"min_label_agreement": 0.9}, None),
        ({"min_label_agreement": 0.95}, "min_label_agreement is 0.95, and the samples give 0.9"),
        ({"max_absolute_error": 1, "min_label_agreement": 1}, "min_label_agreement is 1, and the samples give 0.9"),
    ],
)
def test_a_limit_that_is_broken_is_named_with_what_was_measured(limits, broken):
    assert Difference(0.2, 0.1, 0.9).broken(Quantization("int8", "s.npz", **limits)) == broken


def test_what_cannot_be_measured_breaks_its_limit():
    limits = Quantization("int8", "s.npz", min_label_agreement=0.5)
    assert (
        Difference(0.0, 0.0, None).broken(limits) == "min_label_agreement is 0.5, and the samples give no such measure"
    )
    assert Difference(float("nan"), 0.0, None).broken(Quantization("int8", "s", max_absolute_error=9)) is not None


@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-100, 100, width=32)), st.floats(0, 1))
def test_a_shift_is_found_as_large_as_it_is(scores, shift):
    got = compare({"y": scores.astype(np.float64)}, {"y": scores.astype(np.float64) + shift})
    assert got.absolute_error == pytest.approx(shift, abs=1e-9)
    assert str(got).startswith("absolute error ")
