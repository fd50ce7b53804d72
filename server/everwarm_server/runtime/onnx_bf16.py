"""Inputs and outputs in BF16 for a session of ONNX Runtime, whose own arrays have no such type (as of 1.32)."""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import onnxruntime

from everwarm_server.protocol.tensors import DTYPES, Array

_BF16: Final = DTYPES["BF16"]
_ELEMENT_TYPE: Final = 16  # onnx.TensorProto.BFLOAT16, which the package onnx alone would name


def run(session: Any, names: Sequence[str], feed: Mapping[str, Array], options: Any) -> list[Array]:
    """What session.run() does.

    Raises:
        Exception: whatever ONNX Runtime raises.
    """
    values = {name: _value(array) for name, array in feed.items()}
    return [_array(value) for value in session.run_with_ort_values(list(names), values, options)]


def _value(array: Array) -> Any:
    if array.dtype == _BF16:
        bits = np.ascontiguousarray(array).view(np.uint16)
        return onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _ELEMENT_TYPE)
    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


def _array(value: Any) -> Array:
    if value.element_type() != _ELEMENT_TYPE:
        return np.asarray(value.numpy())
    raw = ctypes.string_at(value.data_ptr(), value.tensor_size_in_bytes()) if value.tensor_size_in_bytes() else b""
    return np.frombuffer(raw, _BF16).reshape(value.shape())
