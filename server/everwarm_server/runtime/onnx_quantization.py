"""model.onnx and a method in, the same model with smaller weights out; what it takes and gives stays as it is."""

import logging
from pathlib import Path
from typing import Any, Final

from everwarm_server.errors import ModelError

_LARGE_BYTES: Final = 1 << 30  # protobuf ends at 2 GiB: from here on, weights lie in a file of their own
_SLOW: Final = frozenset(
    {"Conv"}
)  # on a CPU ConvInteger takes 14 times as long as Conv, in the model of examples/digits


def quantize(path: Path, method: str, target: Path) -> None:
    """Write the model at `path` to `target`, with int8 or fp16 weights.

    int8 is dynamic: weights by the channel, and the range of what comes into a layer is taken in each request.

    Raises:
        ModelError: the package onnx is missing, the method is not for ONNX, or the model can't be converted.
    """
    if method == "bf16":
        raise ModelError("ONNX Runtime computes little in bf16; for model.onnx use int8 or fp16")
    try:
        import onnx  # noqa: F401 - onnxruntime.quantization needs it, and would say so less clearly
    except ModuleNotFoundError as error:
        raise ModelError("it needs the package onnx: pip install 'everwarm[quantization]'") from error
    large = sum(each.stat().st_size for each in path.parent.glob("model*")) > _LARGE_BYTES
    (_to_int8 if method == "int8" else _to_fp16)(path, target, large=large)


def _to_int8(path: Path, target: Path, *, large: bool) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    operators = [name for name in IntegerOpsRegistry if name not in _SLOW]
    root = logging.getLogger()
    root.addFilter(_no_advice)
    try:
        quantize_dynamic(
            path,
            target,
            op_types_to_quantize=operators,
            per_channel=True,
            weight_type=QuantType.QInt8,
            use_external_data_format=large,
        )
    finally:
        root.removeFilter(_no_advice)


def _no_advice(record: logging.LogRecord) -> bool:
    """It says by the root logger, in each call, that the model could be pre-processed; that is for static ranges."""
    return "pre-processing" not in record.getMessage()


def _to_fp16(path: Path, target: Path, *, large: bool) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model: Any = convert_float_to_float16(onnx.load(path), keep_io_types=True)
    onnx.save(model, target, save_as_external_data=large)
