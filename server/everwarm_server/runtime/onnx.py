"""ONNX Runtime: model.onnx in, a Runtime out. 51 ms and 67 MB to import, against 2.6 s and 5 GB for torch."""

import logging
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import onnxruntime

from everwarm_server.errors import InferenceFailed, InvalidInput, ModelError
from everwarm_server.protocol.tensors import Array, ModelMetadata, Parameters, TensorSpec
from everwarm_server.runtime import accuracy, arrays, base, cpus, model_toml, onnx_bf16
from everwarm_server.runtime.load import LoadOptions

FILE: Final = "model.onnx"
PLATFORM: Final = "onnxruntime_onnx"
_CUDA: Final = "CUDAExecutionProvider"
_CPU: Final = "CPUExecutionProvider"
_DATATYPES: Final = {
    "tensor(bool)": "BOOL",
    "tensor(uint8)": "UINT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(int8)": "INT8",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(float16)": "FP16",
    "tensor(bfloat16)": "BF16",
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}
_errors: Any = onnxruntime.capi.onnxruntime_pybind11_state
_CPP: Final = re.compile(r"/onnxruntime_src/\S+:\d+ .*?\) ")
_LOG: Final = logging.getLogger(__name__)


def load(directory: Path, options: LoadOptions) -> "OnnxRuntime":
    """Load `model.onnx` of a directory.

    Raises:
        ModelError: ONNX Runtime refuses the file, or the device is not there.
    """
    toml = model_toml.read(directory)
    path = directory / FILE
    if not path.is_file():
        raise ModelError(f"{directory} has no {FILE}.")
    wanted = providers(options.device, onnxruntime.get_available_providers())
    if options.precision == accuracy.FULL:
        session, weights_bytes = _session(path, wanted, options), base.files_bytes(directory.glob("*"))
    else:
        session, weights_bytes = _quantized(path, wanted, options)
    # ONNX Runtime falls back to the CPU without an error when a library of CUDA is missing.
    if options.device.startswith("cuda") and session.get_providers()[0] != _CUDA:
        raise ModelError("The device cuda was asked for, but ONNX Runtime could not use it; see its log.")
    metadata = ModelMetadata(
        name=options.name,
        version=options.version,
        platform=toml.platform or PLATFORM,
        inputs=merged(tuple(_spec(node, "input") for node in session.get_inputs()), toml.inputs),
        outputs=merged(tuple(_spec(node, "output") for node in session.get_outputs()), toml.outputs),
    )
    return OnnxRuntime(session, metadata, weights_bytes)


def _session(path: Path, providers: Sequence[Any], options: LoadOptions) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads or cpus.threads_each(options.concurrency)
    settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    # Threads that spin for work use up the CPU limit of a container, and the next request is throttled.
    settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), settings, providers=providers)
    except Exception as error:
        raise ModelError(f"ONNX Runtime can't load {path}: {_reason(error)}") from error


def _quantized(path: Path, providers: Sequence[Any], options: LoadOptions) -> tuple[Any, int]:
    from everwarm_server.runtime.onnx_quantization import quantize

    if options.precision == "int8" and providers[0] != _CPU:
        raise ModelError("int8 is for the CPU; on a GPU use fp16, or the device cpu.")
    with tempfile.TemporaryDirectory(prefix="everwarm-") as directory:
        target = Path(directory) / FILE
        try:
            quantize(path, options.precision, target)
        except Exception as error:
            reason = str(error) if isinstance(error, ModelError) else _reason(error)
            raise ModelError(f"{path} can't be quantised to {options.precision}: {reason}") from error
        # What it maps of the files stays, though they go.
        return _session(target, providers, options), base.files_bytes(Path(directory).iterdir())


def providers(device: str, available: Sequence[str]) -> list[str | tuple[str, dict[str, int]]]:
    """The execution providers for a device, best first.

    Raises:
        ModelError: cuda is wanted, and this build of ONNX Runtime has none.
    """
    if device.startswith("cuda") and _CUDA not in available:
        raise ModelError(
            "The device cuda was asked for, but this ONNX Runtime has no CUDA: install onnxruntime-gpu in place of "
            "onnxruntime, or use the device cpu."
        )
    if device == "cpu" or _CUDA not in available:
        return [_CPU]
    return [(_CUDA, {"device_id": gpu_number(device)}), _CPU]


def gpu_number(device: str) -> int:
    """The number of a GPU: 1 of cuda:1, 0 where none is said."""
    return int(device.partition(":")[2] or 0)


def _spec(node: Any, kind: str) -> TensorSpec:
    datatype = _DATATYPES.get(node.type)
    if datatype is None:
        raise ModelError(
            f"The {kind} {node.name!r} is of type {node.type}, which is not a tensor of the protocol; "
            "export the model with tensors only (skl2onnx: zipmap=False)."
        )
    # A dimension is a number, or a name, or None for one without a name.
    return TensorSpec(node.name, datatype, tuple(d if isinstance(d, int) and d >= 0 else -1 for d in node.shape))


def merged(found: tuple[TensorSpec, ...], declared: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    """What the file says, with the shapes of model.toml for the tensors named there.

    A file may leave a shape out; ONNX Runtime then says the shape of a scalar, and only model.toml can tell.

    Raises:
        ModelError: model.toml names a tensor that the file does not have, or gives it another datatype.
    """
    by_name = {spec.name: spec for spec in found}
    for spec in declared:
        if spec.name not in by_name or spec.datatype != by_name[spec.name].datatype:
            have = ", ".join(f"{s.name!r} {s.datatype}" for s in found)
            raise ModelError(f"{model_toml.FILE} names {spec.name!r} {spec.datatype}; {FILE} has {have}.")
    by_name |= {spec.name: spec for spec in declared}
    return tuple(by_name.values())


def _reason(error: Exception) -> str:
    """The first line of ONNX Runtime's message without its codes and C++: those are for its own developers."""
    line = _CPP.sub("", str(error).strip().partition("\n")[0])
    return line.rsplit("] : ", 1)[-1].split(" : ", 2)[-1][:300]


class OnnxRuntime(base.AnswersOnce):
    """A session of ONNX Runtime."""

    def __init__(self, session: Any, metadata: ModelMetadata, weights_bytes: int) -> None:
        self._session = session
        self._metadata = metadata
        self._weights_bytes = weights_bytes
        self._text = frozenset(spec.name for spec in metadata.inputs if spec.datatype == "BYTES")
        self._names = [spec.name for spec in metadata.outputs]
        self._quiet = onnxruntime.RunOptions()
        self._quiet.log_severity_level = 4  # what fails is logged here, once
        # By the name of a dimension, such as `batch`: the inputs that have it, and at which axis.
        self._shared: dict[str, list[tuple[str, int]]] = {}
        for node in session.get_inputs():
            for axis, dimension in enumerate(node.shape):
                if isinstance(dimension, str):
                    self._shared.setdefault(dimension, []).append((node.name, axis))
        self._device = "cpu"
        if session.get_providers()[0] == _CUDA:
            self._device = f"cuda:{session.get_provider_options()[_CUDA]['device_id']}"
        self._has_bf16 = any(spec.datatype == "BF16" for spec in (*metadata.inputs, *metadata.outputs))

    @property
    def metadata(self) -> ModelMetadata:
        """What the model takes and gives."""
        return self._metadata

    @property
    def device(self) -> str:
        """`cpu`, or a GPU such as `cuda:0`."""
        return self._device

    @property
    def only_computes(self) -> bool:
        """A graph has nobody to wait for."""
        return True

    @property
    def weights_bytes(self) -> int:
        """The size of the file and of what lies beside it; after quantisation, of what that wrote."""
        return self._weights_bytes

    def infer(self, inputs: Mapping[str, Array], parameters: Parameters) -> Mapping[str, Array]:
        """All outputs; see Runtime.infer."""
        del parameters  # tensors are all that a graph takes
        feed = {
            name: arrays.to_text(array, name) if name in self._text else arrays.aligned(array)
            for name, array in inputs.items()
        }
        try:
            if self._has_bf16:
                outputs = onnx_bf16.run(self._session, self._names, feed, self._quiet)
            else:
                outputs = self._session.run(self._names, feed, self._quiet)
        except _errors.InvalidArgument as error:
            # The inputs fit the metadata, so this is what it can't say: an index out of range, two unequal batches.
            raise InvalidInput(f"The model refuses these inputs: {_reason(error)}") from error
        except Exception as error:
            self._blame_unequal(inputs, error)
            _LOG.exception("ONNX Runtime failed")
            raise InferenceFailed(f"The model failed: {_reason(error)}") from error
        return {
            name: arrays.to_protocol(array, f"the output {name!r}")
            for name, array in zip(self._names, outputs, strict=True)
        }

    def _blame_unequal(self, inputs: Mapping[str, Array], error: Exception) -> None:
        """Raise InvalidInput if sizes differ that have one name in the file; only after a failure: names may lie."""
        for dimension, places in self._shared.items():
            sizes = {inputs[name].shape[axis] for name, axis in places}
            if len(sizes) > 1:
                given = ", ".join(f"{inputs[name].shape[axis]} in {name!r}" for name, axis in places)
                raise InvalidInput(f"The inputs must have one size of {dimension!r}, but it is {given}.") from error

    def close(self) -> None:
        """Free the session."""
        self._session = None
