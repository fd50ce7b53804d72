"""A module and a method in, the module with smaller weights out."""

import warnings
from typing import Any

import torch

from everwarm_server.errors import ModelError

HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}


def quantized(module: Any, method: str, device: str) -> Any:
    """The module with int8 weights in its linear layers, or with all weights in fp16 or bf16.

    int8 is dynamic: the range of what comes into a layer is taken in each request.

    Raises:
        ModelError: it can't be done with this module, or on this device.
    """
    if method in HALVES:
        return module.to(HALVES[method])
    if device != "cpu":
        raise ModelError("int8 is for the CPU; on a GPU use fp16 or bf16")
    if isinstance(module, torch.jit.ScriptModule | torch.fx.GraphModule):
        raise ModelError(
            "int8 needs model.py with model.safetensors; TorchScript and torch.export are quantised before"
        )
    with warnings.catch_warnings():
        # PyTorch wants to give it up (issue 184982) for torchao, another package. While it is there, it is 3 to 7 times
        # as fast as FP32 on a CPU, and needs nothing else.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        made = torch.ao.quantization.quantize_dynamic(module, {torch.nn.Linear}, dtype=torch.qint8)
    for child in made.modules():
        if isinstance(child, torch.nn.TransformerEncoderLayer):
            child.training = True  # its own flag alone: in eval() it hands its weights to one kernel that knows no int8
    return made


def weights_bytes(module: Any) -> int:
    """What its parameters and buffers take; those of dynamic layers are neither, and asked for by a method."""
    # By its address: one weight may have several names.
    found = {tensor.data_ptr(): tensor for tensor in (*module.parameters(), *module.buffers())}
    packed = [child.weight() for child in module.modules() if callable(getattr(child, "weight", None))]
    return sum(tensor.numel() * tensor.element_size() for tensor in (*found.values(), *packed))
