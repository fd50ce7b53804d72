"""PyTorch: a module from one of the files of torch_files.py and its model.toml in, a Runtime out."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from everwarm_server.errors import InferenceFailed, ModelError
from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.runtime import accuracy, arrays, base, cpus, model_toml, source, torch_files, torch_quantization
from everwarm_server.runtime.load import LoadOptions

_LOG: Final = logging.getLogger(__name__)


def choose_device(wanted: str, gpus: int) -> str:
    """`cpu` or `cuda:0` for auto, cpu or cuda; a GPU with a number as it is.

    Args:
        wanted: what is asked for.
        gpus: how many PyTorch finds.

    Raises:
        ModelError: a GPU is wanted that is not there.
    """
    if wanted == "cpu" or (wanted == "auto" and not gpus):
        return "cpu"
    number = int(wanted.partition(":")[2] or 0)
    if number >= gpus:
        raise ModelError(
            f"The device {wanted} was asked for, but PyTorch finds {gpus or 'no'} GPU{'s' if gpus > 1 else ''}; "
            "use the device cpu or auto."
        )
    return f"cuda:{number}"


def load(directory: Path, options: LoadOptions) -> "TorchRuntime":
    """Load the model of a directory that has a model.toml with inputs and outputs.

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
    device = choose_device(options.device, torch.cuda.device_count())
    torch.set_num_threads(options.threads or cpus.threads_each(options.concurrency))
    file = torch_files.find(directory)
    path = directory / file.name
    try:
        module = file.read(path, device)
        if options.precision != accuracy.FULL:
            module = torch_quantization.quantized(module, options.precision, device)
    except (Exception, SystemExit) as error:
        source.forget(directory)
        if not isinstance(error, ModelError):
            _LOG.info("PyTorch can't load a model", exc_info=error)
        raise ModelError(f"PyTorch can't load {path}: {_reason(error)}") from error
    metadata = ModelMetadata(options.name, options.version, toml.platform or file.platform, toml.inputs, toml.outputs)
    return TorchRuntime(module, metadata, device, directory)


def _reason(error: BaseException) -> str:
    """The last line that says something: TorchScript puts its own traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


class TorchRuntime(base.AnswersOnce):
    """A module of PyTorch under inference mode."""

    def __init__(self, module: Any, metadata: ModelMetadata, device: str, directory: Path) -> None:
        self._module = module
        self._metadata = metadata
        self._device = device
        self._directory = directory
        self._weights_bytes = torch_quantization.weights_bytes(module)
        self._dtype = _half(module)

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
        tensor = torch.from_numpy(np.array(array, order="C")).to(self._device)
        return tensor.to(self._dtype) if self._dtype is not None and tensor.is_floating_point() else tensor

    def close(self) -> None:
        """Free the module, and what PyTorch keeps on the GPU for it."""
        self._module = None
        source.forget(self._directory)
        if self._device != "cpu":
            torch.cuda.empty_cache()


def _half(module: Any) -> Any:
    """The dtype of all weights of floating point, if it is shorter than 32 bits: its inputs must have it, too."""
    dtypes = {parameter.dtype for parameter in module.parameters() if parameter.is_floating_point()}
    return dtypes.pop() if len(dtypes) == 1 and dtypes <= set(torch_quantization.HALVES.values()) else None


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
