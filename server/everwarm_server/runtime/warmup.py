"""A loaded model in; its first inference is done on made-up or given samples, so that no client waits for it."""

import math

import numpy as np

from everwarm_server.errors import ModelError, ServingError
from everwarm_server.protocol.tensors import DTYPES, Array, ModelMetadata
from everwarm_server.runtime.base import Runtime

MAX_SAMPLE_BYTES = 2**30


def warm_up(runtime: Runtime) -> None:
    """Run one inference on zeros of the declared shapes (-1 becomes 1), or do nothing for a model that declares none.

    Raises:
        ModelError: the model failed.
    """
    inputs = zeros(runtime.metadata)
    if not inputs:
        return
    try:
        runtime.infer(inputs, {})
    except ServingError as error:
        raise ModelError(f"The model {runtime.metadata.name!r} failed its warm-up: {error}") from error


def zeros(metadata: ModelMetadata) -> dict[str, Array]:
    """Inputs of zeros (BYTES: of empty bytes) for a model."""
    inputs: dict[str, Array] = {}
    for spec in metadata.inputs:
        shape = tuple(1 if d == -1 else d for d in spec.shape)
        if math.prod(shape) * DTYPES[spec.datatype].itemsize > MAX_SAMPLE_BYTES:
            raise ModelError(f"The input {spec.name!r} is too large for a warm-up of zeros.")
        inputs[spec.name] = (
            np.full(shape, b"", object) if spec.datatype == "BYTES" else np.zeros(shape, DTYPES[spec.datatype])
        )
    return inputs
