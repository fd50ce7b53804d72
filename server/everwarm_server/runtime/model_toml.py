"""`model.toml` beside a model: what its file can't say itself.

format = "torch"                  # optional: which runtime
platform = "pytorch_torchscript"  # optional: shown in the metadata
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
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from everwarm_server.errors import ModelError
from everwarm_server.protocol.tensors import DTYPES, TensorSpec

FILE: Final = "model.toml"
_MAX_RUNS: Final = 100


@dataclass(frozen=True, slots=True)
class ModelToml:
    """The file's content; everything may be missing."""

    format: str | None = None
    platform: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    samples: str | None = None
    runs: int = 1


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
    document = tomllib.loads(text)
    _check_keys(document, {"format", "platform", "inputs", "outputs", "warm_up"}, "the file")
    warm_up = document.get("warm_up", {})
    if not isinstance(warm_up, dict):
        raise ModelError("warm_up must be a table: [warm_up].")
    _check_keys(warm_up, {"samples", "runs"}, "[warm_up]")
    runs = warm_up.get("runs", 1)
    if type(runs) is not int or not 1 <= runs <= _MAX_RUNS:
        raise ModelError(f"runs in [warm_up] is {runs!r}; it must be a whole number from 1 to {_MAX_RUNS}.")
    return ModelToml(
        format=_text(document, "format"),
        platform=_text(document, "platform"),
        inputs=specs(document.get("inputs", []), "inputs"),
        outputs=specs(document.get("outputs", []), "outputs"),
        samples=_text(warm_up, "samples"),
        runs=runs,
    )


def _check_keys(table: dict[str, Any], known: set[str], where: str) -> None:
    unknown = sorted(set(table) - known)
    if unknown:
        raise ModelError(f"{unknown[0]!r} in {where} is unknown; known are {', '.join(sorted(known))}.")


def _text(table: dict[str, Any], key: str) -> str | None:
    value = table.get(key)
    if value is not None and (type(value) is not str or not value):
        raise ModelError(f"{key} is {value!r}; it must be a string.")
    return value


def specs(tables: Any, kind: str) -> tuple[TensorSpec, ...]:
    """Tensors from tables of name, datatype and shape; `kind` is inputs or outputs.

    Raises:
        ModelError: something in them is unknown or wrong.
    """
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ModelError(f"{kind} must be tables: [[{kind}]].")
    found = tuple(_spec(table, kind) for table in tables)
    names = [spec.name for spec in found]
    for name in names:
        if names.count(name) > 1:
            raise ModelError(f"[[{kind}]] has the name {name!r} twice.")
    return found


def _spec(table: dict[str, Any], kind: str) -> TensorSpec:
    where = f"[[{kind}]]"
    _check_keys(table, {"name", "datatype", "shape"}, where)
    name, datatype, shape = _text(table, "name"), _text(table, "datatype"), table.get("shape")
    if name is None:
        raise ModelError(f"An entry of {where} has no name.")
    if datatype not in DTYPES:
        raise ModelError(f"{name!r} in {where} has the datatype {datatype!r}; it must be one of {', '.join(DTYPES)}.")
    if not isinstance(shape, list) or not all(type(d) is int and d >= -1 for d in shape):
        raise ModelError(f"{name!r} in {where} has the shape {shape!r}; it must be a list of sizes, -1 for any size.")
    return TensorSpec(name, datatype, tuple(shape))
