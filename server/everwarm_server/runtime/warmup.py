"""A loaded model in; its first inferences are done on zeros or on given samples, so that no client waits for them."""

import math
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np

from everwarm_server.errors import ModelError, ServingError
from everwarm_server.protocol.tensors import DTYPES, Array, ModelMetadata
from everwarm_server.runtime import model_toml, samples
from everwarm_server.runtime.base import Runtime
from everwarm_server.runtime.instances import Instances

MAX_ZEROS_BYTES: Final = 2**30


def warm_up(runtime: Runtime, directory: Path | None = None) -> None:
    """Infer once or as often as model.toml says, on its samples or on zeros of the declared shapes (-1 becomes 1).

    Each of the model's instances has its turn.

    A model that declares no inputs or takes documents, and has no samples, is left alone: nobody knows what it takes.

    Args:
        runtime: the model.
        directory: where its model.toml and samples lie; None: there are none.

    Raises:
        ModelError: the model failed, or the samples are not what it takes.
    """
    toml = model_toml.ModelToml() if directory is None else model_toml.read(directory)
    if directory is not None and toml.samples is not None:
        inputs = samples.read(directory, toml.samples, runtime.metadata).inputs
    else:
        inputs = {} if runtime.metadata.takes_documents else zeros(runtime.metadata)
    if not inputs:
        return
    try:
        for instance in runtime.each if isinstance(runtime, Instances) else (runtime,):
            for _ in range(toml.runs):
                with closing(instance.stream(inputs, {})) as answers:
                    next(answers, None)  # of a stream that may have no end, the first
    except ServingError as error:
        raise ModelError(f"The model {runtime.metadata.name!r} failed its warm-up: {error}") from error


def zeros(metadata: ModelMetadata) -> dict[str, Array]:
    """Inputs of zeros (BYTES: of empty bytes) for a model.

    Raises:
        ModelError: they would take more than 1 GiB.
    """
    inputs: dict[str, Array] = {}
    for spec in metadata.inputs:
        shape = tuple(1 if d == -1 else d for d in spec.shape)
        if math.prod(shape) * DTYPES[spec.datatype].itemsize > MAX_ZEROS_BYTES:
            raise ModelError(
                f"The input {spec.name!r} is too large for a warm-up of zeros; name samples in model.toml."
            )
        filler = b"" if spec.datatype == "BYTES" else 0
        inputs[spec.name] = np.full(shape, filler, DTYPES[spec.datatype])
    return inputs
