"""A directory and options in, a loaded Runtime out; a framework is imported only when a model needs it."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from everwarm_server.errors import ModelError
from everwarm_server.runtime import model_toml
from everwarm_server.runtime.base import Runtime

_FILES: Final = {"model.onnx": "onnx", "model.pt2": "torch", "model.pt": "torch", "model.py": "python"}
_EXTRAS: Final = {"onnx": "onnxruntime", "torch": "torch"}
FORMATS: Final = ("onnx", "torch", "python")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        name: the model's name, as clients call it.
        version: its version.
        format: onnx, torch or python; None: by the files that are there.
        device: auto (an accelerator if there is one), cpu or cuda.
        concurrency: inferences at once.
        threads: threads of the framework for one inference; None: the CPUs of this process shared by `concurrency`.
    """

    name: str
    version: str = "1"
    format: str | None = None
    device: str = "auto"
    concurrency: int = 1
    threads: int | None = None


def detect_format(directory: Path) -> str:
    """The format of the model in a directory, by model.toml or by the files found.

    Raises:
        ModelError: there is no such directory, or no model in it, or models of two formats.
    """
    if not directory.is_dir():
        raise ModelError(f"There is no model directory {directory}.")
    named = model_toml.read(directory).format
    if named is not None:
        return named
    found = {format_ for name, format_ in _FILES.items() if (directory / name).is_file()}
    if len(found) == 1:
        return found.pop()
    if found:
        raise ModelError(
            f"{directory} holds models of several formats ({', '.join(sorted(found))}); name the format in model.toml."
        )
    raise ModelError(f"{directory} holds no model; it needs one of {', '.join(_FILES)}.")


def load(directory: Path, options: LoadOptions) -> Runtime:
    """Load the model that lies in `directory`.

    Raises:
        ModelError: it can't be served: bad files, an unknown format, or a package that is not installed.
    """
    format_ = options.format or detect_format(directory)
    if format_ not in FORMATS:
        raise ModelError(f"There is no model format {format_!r}; it must be one of {', '.join(FORMATS)}.")
    if not directory.is_dir():
        raise ModelError(f"There is no model directory {directory}.")
    try:
        module = importlib.import_module(f"everwarm_server.runtime.{format_}")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != _EXTRAS.get(format_):
            raise
        raise ModelError(
            f"A model of format {format_} needs the package {error.name}, which is not installed: "
            f"pip install 'everwarm[{format_}]'."
        ) from error
    return cast("Runtime", module.load(directory, options))
