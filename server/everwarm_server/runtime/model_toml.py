"""`model.toml` beside a model: what its file can't say itself.

format = "torch"                  # optional: which runtime
platform = "pytorch_torchscript"  # optional: shown in the metadata
devices = "cuda:0,cuda:1"         # optional: where, in place of EVERWARM_DEVICE
replicas = 2                      # optional: instances on each device
[[inputs]]                        # needed for torch, in the order of forward()'s arguments
name = "image"
datatype = "FP32"
shape = [-1, 64]
[[outputs]]                       # needed for torch, in the order of its answer
name = "label"
datatype = "INT64"
shape = [-1]
[warm_up]                         # optional
samples = "warm_up.npz"           # an array for each input; without it, zeros
runs = 3                          # inferences before the model is ready
[quantization]                    # optional, of onnx and torch; see accuracy.py
method = "int8"                   # or fp16 or bf16
samples = "samples.npz"           # an array for each input, and perhaps for each output at full precision
max_relative_error = 0.05         # at least one of max_absolute_error, max_relative_error, min_label_agreement
otherwise = "refuse"              # or "full": serve at full precision where a limit is broken
[batching]                        # optional, in place of EVERWARM_BATCHING and the like; see batching/options.py
mode = "on"                       # auto, on or off
max_rows = 32
max_delay_seconds = 0.002
slo_seconds = 0.1
retry = false                     # the model must not be asked again for rows of a batch that failed
[skops]                           # optional, of sklearn
trusted = ["mypackage.Scaler"]    # types that the model may make besides those that skops trusts itself
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from everwarm_server.errors import ModelError
from everwarm_server.protocol.tensors import DTYPES, TensorSpec
from everwarm_server.runtime import accuracy, devices
from everwarm_server.runtime.toml_table import Table

FILE: Final = "model.toml"
MAX_REPLICAS: Final = 64
_MAX_RUNS: Final = 100
_LIMITS: Final = ("max_absolute_error", "max_relative_error", "min_label_agreement")
_KEYS: Final = (
    "format", "platform", "devices", "replicas", "inputs", "outputs", "warm_up", "quantization", "batching", "skops",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelToml:
    """The file's content; everything may be missing."""

    format: str | None = None
    platform: str | None = None
    devices: str | None = None
    replicas: int = 1
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    samples: str | None = None
    runs: int = 1
    quantization: accuracy.Quantization | None = None
    batching: Mapping[str, Any] = field(default_factory=dict)
    trusted: tuple[str, ...] = ()


def read(directory: Path) -> ModelToml:
    """The content of the directory's model.toml, or an empty one where there is no such file.

    Raises:
        ModelError: it is not TOML, or something in it is unknown or wrong.
    """
    path = directory / FILE
    if not path.is_file():
        return ModelToml()
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path} is not valid TOML: {error}.") from error
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def parse(text: str) -> ModelToml:
    """The content of a model.toml.

    Raises:
        ModelError: something in it is unknown or wrong.
        tomllib.TOMLDecodeError: it is not TOML.
    """
    document = Table(tomllib.loads(text), _KEYS)
    warm_up = document.table("warm_up", ("samples", "runs"))
    return ModelToml(
        format=document.text("format"),
        platform=document.text("platform"),
        devices=_devices(document),
        replicas=document.whole("replicas", 1, MAX_REPLICAS, 1),
        inputs=specs(document.get("inputs", []), "inputs"),
        outputs=specs(document.get("outputs", []), "outputs"),
        samples=warm_up.text("samples"),
        runs=warm_up.whole("runs", 1, _MAX_RUNS, 1),
        quantization=_quantization(document),
        batching=_batching(document),
        trusted=document.table("skops", ("trusted",)).texts("trusted"),
    )


def _devices(document: Table) -> str | None:
    wanted = document.text("devices")
    if wanted is not None and re.fullmatch(devices.PATTERN, wanted) is None:
        raise ModelError(f"devices is {wanted!r}; it must be {devices.FORMS}.")
    return wanted


def _batching(document: Table) -> dict[str, Any]:
    """What it says of the options, by their names."""
    table = document.table("batching", ("mode", "max_rows", "max_delay_seconds", "slo_seconds", "retry"))
    said: dict[str, Any] = {
        "mode": table.choice("mode", ("auto", "on", "off"), "auto"),
        "max_rows": table.whole("max_rows", 1, 2**20, 1),
        "max_delay_seconds": table.number("max_delay_seconds", 0, 10),
        "slo_seconds": table.number("slo_seconds", 1e-3),
        "retry": table.flag("retry", default=True),
    }
    return {key: value for key, value in said.items() if table.get(key) is not None}


def _quantization(document: Table) -> accuracy.Quantization | None:
    if document.get("quantization") is None:
        return None
    table = document.table("quantization", ("method", "samples", "otherwise", *_LIMITS))
    limits = {
        "max_absolute_error": table.number("max_absolute_error", 0),
        "max_relative_error": table.number("max_relative_error", 0),
        "min_label_agreement": table.number("min_label_agreement", 0, 1),
    }
    if not any(limit is not None for limit in limits.values()):
        raise ModelError(f"[quantization] must say what accuracy it must keep: one of {', '.join(_LIMITS)}.")
    method = table.text("method")
    if method not in accuracy.METHODS:
        raise ModelError(f"method in [quantization] is {method!r}; it must be one of {', '.join(accuracy.METHODS)}.")
    return accuracy.Quantization(
        method=method,
        samples=table.text("samples") or "samples.npz",
        falls_back=table.choice("otherwise", ("refuse", "full"), "refuse") == "full",
        **limits,
    )


def specs(tables: Any, kind: str) -> tuple[TensorSpec, ...]:
    """Tensors from tables of name, datatype and shape; `kind` is inputs or outputs.

    Raises:
        ModelError: something in them is unknown or wrong.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ModelError(f"{kind} must be tables: [[{kind}]].")
    found = tuple(_spec(table, f"[[{kind}]]") for table in tables)
    names = [spec.name for spec in found]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"[[{kind}]] has the name {name!r} twice.")
    return found


def _spec(value: dict[str, Any], where: str) -> TensorSpec:
    table = Table(value, ("name", "datatype", "shape"), where)
    name, datatype, shape = table.text("name"), table.text("datatype"), table.get("shape")
    if name is None:
        raise ModelError(f"An entry of {where} has no name.")
    if datatype not in DTYPES:
        raise ModelError(f"{name!r} in {where} has the datatype {datatype!r}; it must be one of {', '.join(DTYPES)}.")
    if not isinstance(shape, list) or not all(type(d) is int and d >= -1 for d in shape):
        raise ModelError(f"{name!r} in {where} has the shape {shape!r}; it must be a list of sizes, -1 for any size.")
    return TensorSpec(name, datatype, tuple(shape))
