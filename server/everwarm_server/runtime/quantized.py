"""A way to load a model at some precision in; it, quantised where that keeps its accuracy, out."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from everwarm_server.errors import ModelError, ServingError
from everwarm_server.protocol.tensors import Array
from everwarm_server.runtime import accuracy, samples
from everwarm_server.runtime.base import Runtime

_LOG: Final = logging.getLogger(__name__)


def load_checked(
    load_at: Callable[[str], Runtime], directory: Path, wanted: accuracy.Quantization
) -> tuple[Runtime, str]:
    """Load a model quantised, and see on its samples that this did it no harm.

    Outputs at full precision are those in the samples; where they are not there, the model is loaded whole first.

    Args:
        load_at: loads it at a precision.
        directory: where its samples lie.
        wanted: what its model.toml says.

    Returns:
        The runtime, and its precision.

    Raises:
        ModelError: it can't be loaded or quantised, or breaks a limit and must not be served whole.
    """
    expected: Mapping[str, Array] = {}
    quantized = load_at(wanted.method)
    try:
        given = samples.read(directory, wanted.samples, quantized.metadata)
        expected = given.outputs or _answers(load_at(accuracy.FULL), given.inputs)
        difference = accuracy.compare(expected, _infer(quantized, given.inputs))
    except BaseException:
        quantized.close()
        raise
    broken = difference.broken(wanted)
    extra = {"model": quantized.metadata.name, "method": wanted.method}
    if broken is None:
        _LOG.info("Quantised: %s", difference, extra=extra)
        return quantized, wanted.method
    quantized.close()
    if not wanted.falls_back:
        raise ModelError(
            f"Quantised to {wanted.method}, the model is not accurate enough: {broken} ({difference}). Allow more in "
            '[quantization], leave that out, or say otherwise = "full" there.'
        )
    _LOG.warning("Served at full precision, since quantised it is not accurate enough: %s", broken, extra=extra)
    return load_at(accuracy.FULL), accuracy.FULL


def _answers(runtime: Runtime, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    try:
        return _infer(runtime, inputs)
    finally:
        runtime.close()


def _infer(runtime: Runtime, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    try:
        return runtime.infer(inputs, {})
    except ServingError as error:
        raise ModelError(f"The model failed on the samples for its quantisation: {error}") from error
