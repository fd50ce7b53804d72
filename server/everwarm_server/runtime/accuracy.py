"""Outputs at full precision and after quantisation in, how far they are apart and whether that is allowed out.

A limit counts for all outputs of floating point: the largest difference of two elements, alone and as a share of the
largest element; or the share of rows in which the largest element is at the same place, which labels alone also have.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from everwarm_server.errors import ModelError
from everwarm_server.protocol.tensors import Array

METHODS: Final = ("int8", "fp16", "bf16")
FULL: Final = "full"


@dataclass(frozen=True, slots=True)
class Quantization:
    """[quantization] of a model.toml.

    Attributes:
        method: int8 (weights of the linear layers, activations by their range in each request), fp16 or bf16.
        samples: file of inputs, and perhaps of the outputs at full precision.
        max_absolute_error: the largest difference that two elements may have.
        max_relative_error: the same, as a share of the largest absolute value of the output.
        min_label_agreement: the smallest share of rows with the same label.
        falls_back: whether full precision is served where a limit is broken; else the model is refused.
    """

    method: str
    samples: str
    max_absolute_error: float | None = None
    max_relative_error: float | None = None
    min_label_agreement: float | None = None
    falls_back: bool = False


@dataclass(frozen=True, slots=True)
class Difference:
    """How far outputs are apart; None: no output has such a measure."""

    absolute_error: float | None
    relative_error: float | None
    label_agreement: float | None

    def __str__(self) -> str:
        """As a sentence has it."""
        parts = []
        if self.absolute_error is not None:
            parts.append(f"absolute error {self.absolute_error:.3g}, relative error {self.relative_error:.3g}")
        if self.label_agreement is not None:
            parts.append(f"label agreement {self.label_agreement:.4g}")
        return ", ".join(parts) or "no output to compare"

    def broken(self, limits: Quantization) -> str | None:
        """The first limit that it breaks, or that can't be told; None: it keeps all."""
        for name, got, limit, sign in (
            ("max_absolute_error", self.absolute_error, limits.max_absolute_error, 1),
            ("max_relative_error", self.relative_error, limits.max_relative_error, 1),
            ("min_label_agreement", self.label_agreement, limits.min_label_agreement, -1),
        ):
            if limit is not None and (got is None or not got * sign <= limit * sign):  # `not`: NaN breaks every limit
                return f"{name} is {limit:g}, and the samples give {'no such measure' if got is None else f'{got:.4g}'}"
        return None


def compare(full: Mapping[str, Array], quantized: Mapping[str, Array]) -> Difference:
    """How far outputs are apart.

    Raises:
        ModelError: their names or shapes differ.
    """
    absolute: list[float] = []
    relative: list[float] = []
    agreement: list[float] = []
    for name, expected in full.items():
        got = quantized.get(name)
        if got is None or got.shape != expected.shape:
            raise ModelError(f"The output {name!r} has another shape after quantisation, or is missing.")
        if not expected.size:
            continue
        if _is_float(expected):
            wide, error = expected.astype(np.float64), 0.0
            error = float(np.abs(wide - got.astype(np.float64)).max())
            absolute.append(error)
            relative.append(error / max(float(np.abs(wide).max()), np.finfo(np.float64).tiny))
        labels = _labels(expected)
        if labels is not None:
            agreement.append(float(np.mean(labels == _labels(got))))
    return Difference(max(absolute, default=None), max(relative, default=None), min(agreement, default=None))


def _is_float(array: Array) -> bool:
    return array.dtype.kind == "f" or array.dtype.name == "bfloat16"


def _labels(array: Array) -> Array | None:
    if not _is_float(array):
        return array
    return array.argmax(axis=-1) if array.ndim > 1 and array.shape[-1] > 1 else None
