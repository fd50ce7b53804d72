"""A file of arrays by name beside a model in; what the model takes, and what it is said to answer, out."""

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from everwarm_server.errors import ModelError, ServingError
from everwarm_server.protocol.tensors import DATATYPES, Array, InferRequest, ModelMetadata, Tensor
from everwarm_server.protocol.validate import check_inputs
from everwarm_server.runtime import arrays, model_toml


class Samples(NamedTuple):
    """Inputs that fit the model, and arrays named after its outputs."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


def read(directory: Path, name: str, metadata: ModelMetadata) -> Samples:
    """The samples in the file `name` of a model's directory.

    Raises:
        ModelError: they can't be read, or are not what the model takes.
    """
    path = directory / name
    if Path(name).name != name:
        raise ModelError(f"The samples {name!r} of {directory / model_toml.FILE} must be a file beside it.")
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: arrays.to_protocol(file[key], f"the array {key!r}") for key in file.files}
        answers = {spec.name for spec in metadata.outputs} - {spec.name for spec in metadata.inputs}
        outputs = {key: found.pop(key) for key in answers & set(found)}
        tensors = tuple(Tensor(key, DATATYPES[array.dtype], array) for key, array in found.items())
        check_inputs(InferRequest(inputs=tensors), metadata)
    except ServingError as error:
        raise ModelError(f"The samples {path} do not fit the model: {error}") from error
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        # AttributeError: the file is a single .npy array, which has no names.
        raise ModelError(f"The samples {path} can't be read as arrays by name: {error}.") from error
    return Samples(found, outputs)
