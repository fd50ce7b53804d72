"""PyTorch: model.pt (TorchScript) or model.pt2 (torch.export) and its model.toml in, a Runtime out.

Both files describe a program, which may call operators that read and write files, so a model file is treated as code:
it is served because the owner of this server named its URI, never because of a request. What is not accepted is pickle
inside torch.export's archive: torch.load is held to weights_only, and opaque objects are refused before the archive is
opened (torch/export/pt2_archive/_package.py would give both to pickle). TorchScript's own reader is C++ and makes none
but its own types; its documentation warns of hostile files all the same.
"""

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from everwarm_server.errors import InferenceFailed, ModelError
from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.runtime import arrays, base, cpus, model_toml
from everwarm_server.runtime.load import LoadOptions

TORCHSCRIPT_FILE: Final = "model.pt"
EXPORT_FILE: Final = "model.pt2"
_LOG: Final = logging.getLogger(__name__)


def choose_device(wanted: str, *, cuda_available: bool) -> str:
    """`cpu` or `cuda:0` for auto, cpu or cuda.

    Raises:
        ModelError: cuda is wanted and not there.
    """
    if wanted == "cuda" and not cuda_available:
        raise ModelError("The device cuda was asked for, but PyTorch finds no GPU; use the device cpu or auto.")
    return "cuda:0" if wanted != "cpu" and cuda_available else "cpu"


def load(directory: Path, options: LoadOptions) -> "TorchRuntime":
    """Load `model.pt2`, or else `model.pt`, of a directory that has a model.toml with inputs and outputs.

    Raises:
        ModelError: PyTorch refuses the file, model.toml lacks the inputs or outputs, or the device is not there.
    """
    toml = model_toml.read(directory)
    if not toml.inputs or not toml.outputs:
        raise ModelError(
            f"{directory / model_toml.FILE} must name the model's [[inputs]] and [[outputs]]: "
            "a file of PyTorch does not say them."
        )
    if any(spec.datatype == "BYTES" for spec in (*toml.inputs, *toml.outputs)):
        raise ModelError("PyTorch has no tensors of BYTES; model.toml must name numbers only.")
    device = choose_device(options.device, cuda_available=torch.cuda.is_available())
    torch.set_num_threads(options.threads or cpus.threads_each(options.concurrency))
    exported = (directory / EXPORT_FILE).is_file()
    path = directory / (EXPORT_FILE if exported else TORCHSCRIPT_FILE)
    if not path.is_file():
        raise ModelError(f"{directory} has neither {EXPORT_FILE} nor {TORCHSCRIPT_FILE}.")
    try:
        module = _load_exported(path, device) if exported else _load_torchscript(path, device)
    except Exception as error:
        raise ModelError(f"PyTorch can't load {path}: {_reason(error)}") from error
    platform = toml.platform or ("pytorch_export" if exported else "pytorch_torchscript")
    metadata = ModelMetadata(options.name, options.version, platform, toml.inputs, toml.outputs)
    return TorchRuntime(module, metadata, device)


def _load_torchscript(path: Path, device: str) -> Any:
    with warnings.catch_warnings():
        # It is deprecated in favour of torch.export, and the files are still there.
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(str(path), map_location=device).eval()


def _load_exported(path: Path, device: str) -> Any:
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


def _reason(error: Exception) -> str:
    """The last line that says something: TorchScript puts its own traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


class TorchRuntime(base.AnswersOnce):
    """A module of PyTorch under inference mode."""

    def __init__(self, module: Any, metadata: ModelMetadata, device: str) -> None:
        self._module = module
        self._metadata = metadata
        self._device = device
        tensors = [*module.parameters(), *module.buffers()]
        self._weights_bytes = sum(int(tensor.nbytes) for tensor in tensors)

    @property
    def metadata(self) -> ModelMetadata:
        """What model.toml says."""
        return self._metadata

    @property
    def device(self) -> str:
        """`cpu` or `cuda:0`."""
        return self._device

    @property
    def only_computes(self) -> bool:
        """A graph has nobody to wait for."""
        return True

    @property
    def weights_bytes(self) -> int:
        """The size of the parameters and buffers."""
        return self._weights_bytes

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """All outputs; see Runtime.infer."""
        del parameters  # tensors are all that a graph takes
        tensors = [self._tensor(inputs[spec.name]) for spec in self._metadata.inputs]
        try:
            with torch.inference_mode():
                answer = self._module(*tensors)
                return outputs_of(answer, self._metadata.outputs)
        except ModelError as error:
            raise InferenceFailed(str(error)) from error
        except Exception as error:
            _LOG.exception("PyTorch failed")
            raise InferenceFailed(f"The model failed: {type(error).__name__}: {_reason(error)}") from error

    def _tensor(self, array: Array) -> Any:
        # from_numpy shares the memory. That of a request is read-only, and a model that works in place would write
        # into the body, so this copies: 60 us for an image of 600 KB.
        return torch.from_numpy(np.array(array, order="C")).to(self._device)

    def close(self) -> None:
        """Free the module, and what PyTorch keeps on the GPU for it."""
        self._module = None
        if self._device != "cpu":
            torch.cuda.empty_cache()


def outputs_of(answer: Any, declared: tuple[TensorSpec, ...]) -> dict[str, Array]:
    """A module's answer (a tensor, a tuple or list by order, or a dict by name) by the names that model.toml declares.

    Raises:
        ModelError: they do not fit.
    """
    if isinstance(answer, Mapping):
        missing = [spec.name for spec in declared if spec.name not in answer]
        if missing:
            raise ModelError(f"The model answered without the output {missing[0]!r} that model.toml names.")
        parts = [answer[spec.name] for spec in declared]
    else:
        parts = list(answer) if isinstance(answer, tuple | list) else [answer]
        if len(parts) != len(declared):
            raise ModelError(f"The model answered {len(parts)} outputs, but model.toml names {len(declared)}.")
    return {spec.name: _array(part, spec) for spec, part in zip(declared, parts, strict=True)}


def _array(part: Any, spec: TensorSpec) -> Array:
    if not isinstance(part, torch.Tensor):
        raise ModelError(f"The model's output {spec.name!r} is a {type(part).__name__}, not a tensor.")
    # numpy has no bfloat16.
    part = part.float() if part.dtype is torch.bfloat16 else part
    return arrays.to_protocol(part.detach().cpu().numpy(), f"the output {spec.name!r}", spec.datatype)
