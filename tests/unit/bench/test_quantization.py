import numpy as np
import pytest
from bench.quantization import Result, Subject, digits, measure, measures, shown
from bench.rig.report import Measure

from everwarm_server.runtime.accuracy import Difference

SAME = Difference(0.0, 0.0, 1.0)


def result(name, precision, weights_bytes, seconds):
    return Result(name, precision, 0.5, weights_bytes, seconds, SAME)


def test_goals_compare_int8_with_full_precision_where_matrices_are_large():
    results = [
        result("digits (ONNX)", "full", 10, 1.0),
        result("digits (ONNX)", "int8", 10, 2.0),
        result("perceptron (ONNX)", "full", 100, 1.0),
        result("perceptron (ONNX)", "int8", 25, 0.2),
    ]
    assert measures(results) == [
        Measure("perceptron (ONNX): int8 as fast", pytest.approx(5.0), 2.0, "times"),
        Measure("perceptron (ONNX): int8 as small", pytest.approx(4.0), 3.5, "times"),
    ]
    assert "0.50" in shown(results).splitlines()[1]


def test_a_model_is_measured_at_full_precision_and_by_each_method():
    subject = Subject("digits (ONNX)", digits, {"image": np.zeros((2, 64), np.float32)}, ("int8",))
    full, int8 = measure(subject, runs=1)
    assert (full.precision, full.difference, int8.precision) == ("full", SAME, "int8")
    assert int8.weights_bytes < full.weights_bytes
