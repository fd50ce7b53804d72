"""A directory and options in, a loaded Runtime out; a framework is imported only when a model needs it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, cast

from everwarm_server.errors import ModelError
from everwarm_server.runtime import accuracy, devices, model_toml, quantized
from everwarm_server.runtime.base import Runtime
from everwarm_server.runtime.instances import Instances

# More than one file may be there for one format; model.py alone is a Python model, beside weights it builds a module.
_FILES: Final = {
    "model.onnx": "onnx",
    "model.pt2": "torch",
    "model.pt": "torch",
    "model.safetensors": "torch",
    "model.skops": "sklearn",
    "model.py": "python",
}
_BESIDE: Final = frozenset({"torch", "python"})
# What pip calls the packages that a format needs, by the name they are imported by.
_PACKAGES: Final = {
    "onnx": {"onnxruntime"},
    "torch": {"torch", "safetensors"},
    "sklearn": {"sklearn", "skops"},
    "kserve": {"kserve"},
}
FORMATS: Final = ("onnx", "torch", "sklearn", "python", "kserve")
_Load: TypeAlias = "Callable[[Path, LoadOptions], Runtime]"


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to load a model.

    Attributes:
        name: the model's name, as clients call it.
        version: its version.
        format: one of FORMATS; None: by the files that are there.
        device: auto (an accelerator if there is one), cpu, or GPUs; see devices.py. A runtime gets one device.
        concurrency: inferences at once.
        threads: threads of the framework for one inference; None: the CPUs of this process shared by `concurrency`.
        precision: full, or int8, fp16 or bf16; model.toml says it.
    """

    name: str
    version: str = "1"
    format: str | None = None
    device: str = "auto"
    concurrency: int = 1
    threads: int | None = None
    precision: str = accuracy.FULL


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
    if found == _BESIDE and (directory / "model.safetensors").is_file():
        return "torch"
    if len(found) == 1:
        return found.pop()
    if found:
        raise ModelError(
            f"{directory} holds models of several formats ({', '.join(sorted(found))}); name the format in model.toml."
        )
    raise ModelError(f"{directory} holds no model; it needs one of {', '.join(_FILES)}.")


def load(directory: Path, options: LoadOptions) -> Runtime:
    """Load the model that lies in `directory`: as many instances as its model.toml says, as one runtime.

    Raises:
        ModelError: it can't be served: bad files, an unknown format, or a package that is not installed.
    """
    format_ = options.format or detect_format(directory)
    if format_ not in FORMATS:
        raise ModelError(f"There is no model format {format_!r}; it must be one of {', '.join(FORMATS)}.")
    if not directory.is_dir():
        raise ModelError(f"There is no model directory {directory}.")
    load_one = _loader(format_)
    toml = model_toml.read(directory)
    places = [
        device
        for device in devices.chosen(toml.devices or options.device, devices.gpus_here())
        for _ in range(toml.replicas)
    ]

    def load_at(place: str, precision: str) -> Runtime:
        return load_one(directory, replace(options, device=place, precision=precision))

    if toml.quantization is None:
        loaded, precision = [load_at(places[0], options.precision)], options.precision
    else:
        first, precision = quantized.load_checked(partial(load_at, places[0]), directory, toml.quantization)
        loaded = [first]
    try:
        for place in places[1:]:
            loaded.append(load_at(place, precision))
    except BaseException:
        for runtime in loaded:
            runtime.close()
        raise
    return loaded[0] if len(loaded) == 1 else Instances(loaded)


def _loader(format_: str) -> _Load:
    try:
        module = importlib.import_module(f"everwarm_server.runtime.{format_}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _PACKAGES.get(format_, ()):
            raise
        raise ModelError(
            f"A model of format {format_} needs the package {package}, which is not installed: "
            f"pip install 'everwarm[{format_}]'."
        ) from error
    return cast("_Load", module.load)
