"""The files that PyTorch models come in, in; modules that are ready to compute out.

- model.pt: TorchScript. model.pt2: torch.export.
- model.py and model.safetensors (or model-00001-of-00002.safetensors and so on): `build()`, or `build(directory)`,
  makes the module, whose weights are mapped from the files: it is built on the meta device, so that memory for weights
  is neither taken nor filled before theirs is put in its place.

All describe a program, which may call operators that read and write files, so a model file is treated as code: it is
served because the owner of this server named its URI, never because of a request. What is not accepted is pickle inside
torch.export's archive: torch.load is held to weights_only, and opaque objects are refused before the archive is opened
(torch/export/pt2_archive/_package.py would give both to pickle). TorchScript's own reader is C++ and makes none but its
own types; its documentation warns of hostile files all the same.
"""

import inspect
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from everwarm_server.errors import ModelError
from everwarm_server.runtime import source

SCRIPT: Final = "model.pt"
EXPORT: Final = "model.pt2"
SOURCE: Final = "model.py"
WEIGHTS: Final = "model.safetensors"
BUILD: Final = "build"


class File(NamedTuple):
    """A file, how it is read, and what the metadata calls its kind."""

    name: str
    read: Callable[[Path, str], Any]
    platform: str


def find(directory: Path) -> File:
    """The model of a directory.

    Raises:
        ModelError: it has none.
    """
    if (directory / EXPORT).is_file():
        return File(EXPORT, _exported, "pytorch_export")
    if (directory / SCRIPT).is_file():
        return File(SCRIPT, _script, "pytorch_torchscript")
    if _weights(directory):
        return File(SOURCE, _eager, "pytorch_eager")
    raise ModelError(f"{directory} has neither {EXPORT} nor {SCRIPT} nor {SOURCE} with {WEIGHTS}.")


def _script(path: Path, device: str) -> Any:
    with warnings.catch_warnings():
        # It is deprecated in favour of torch.export, and the files are still there.
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(str(path), map_location=device).eval()


def _exported(path: Path, device: str) -> Any:
    # The very reader that torch.export uses, so that both see the same names in a hostile archive.
    refuse_opaque_objects(torch._C.PyTorchFileReader(str(path)).get_all_records())
    with _weights_only():
        program = torch.export.load(str(path))
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return program.module()


def refuse_opaque_objects(records: list[str]) -> None:
    """Raise ModelError when an archive, given by the names in it, holds an object that torch.export would unpickle."""
    # The reader finds names whatever their case.
    opaque = [record for record in records if "opaque_obj" in record.lower()]
    if opaque:
        raise ModelError(f"it holds {opaque[0]}, a pickled object, which may run anything; export it without")


@contextmanager
def _weights_only() -> Iterator[None]:
    """Hold every torch.load to weights_only, the calls within torch.export that ask for the opposite included."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _weights(directory: Path) -> list[Path]:
    return sorted([*directory.glob(WEIGHTS), *directory.glob("model-*-of-*.safetensors")])


def _eager(path: Path, device: str) -> Any:
    if not path.is_file():
        raise ModelError(f"{WEIGHTS} holds weights alone; {SOURCE} beside it must have a function {BUILD}()")
    try:
        from safetensors.torch import load_file
    except ModuleNotFoundError as error:
        raise ModelError("safetensors is not installed: pip install 'everwarm[torch]'") from error
    with source.importable(path.parent):
        build = _builder(path)
        tensors: dict[str, torch.Tensor] = {}
        for weights in _weights(path.parent):
            tensors |= load_file(weights, device=device)
        module = _on_meta(build)
        if module is None or not _assigned(module, tensors):
            module = build()
            _assigned(module, tensors)
    return module.to(device).requires_grad_(False).eval()


def _builder(path: Path) -> Callable[[], torch.nn.Module]:
    build = getattr(source.import_file(path), BUILD, None)
    if not callable(build):
        raise ModelError(
            f"it has no function {BUILD}() that makes the module for {WEIGHTS}; if it has a class Model that loads its "
            'weights itself, say format = "python" in model.toml'
        )
    arguments = [path.parent] if inspect.signature(build).parameters else []

    def checked() -> torch.nn.Module:
        module = build(*arguments)
        if not isinstance(module, torch.nn.Module):
            raise ModelError(f"{BUILD}() made a {type(module).__name__}, not a torch.nn.Module")
        return module

    return checked


def _on_meta(build: Callable[[], torch.nn.Module]) -> torch.nn.Module | None:
    """The module without memory; None where its code needs the values of its weights."""
    try:
        with torch.device("meta"):
            return build()
    except (NotImplementedError, RuntimeError):
        return None


def _assigned(module: torch.nn.Module, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Put tensors in the place of the module's own; false where some of its own are not among them, but have no values.

    Raises:
        ModelError: there are too few or too many.
    """
    given = dict(tensors)
    state = module.state_dict(keep_vars=True)
    # Files leave out all but one of the names of a weight that has several.
    by_identity = {id(state[name]): tensor for name, tensor in tensors.items() if name in state}
    for name, own in state.items():
        if name not in given and id(own) in by_identity:
            given[name] = by_identity[id(own)]
    missing, unexpected = module.load_state_dict(given, strict=False, assign=True)
    for what, names in (("lack", missing), ("hold what the module does not have:", unexpected)):
        if names:
            raise ModelError(f"the weights {what} {', '.join(names[:5])}" + (" and others" if names[5:] else ""))
    return not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
