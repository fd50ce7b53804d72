"""Which devices a model is put on: what is wanted and how many GPUs there are in, their names out."""

import os
import re
from pathlib import Path
from typing import Final

from everwarm_server.errors import ModelError

PATTERN: Final = r"auto|cpu|cuda(:(\d{1,3}|\*))?(,cuda:\d{1,3})*"
FORMS: Final = "auto, cpu, cuda, cuda:1, a list such as cuda:0,cuda:1, or cuda:* for all GPUs"
_NODES: Final = Path("/dev")


def gpus(visible: str | None, nodes: int) -> int:
    """GPUs of this process.

    Args:
        visible: CUDA_VISIBLE_DEVICES; None: not set, an empty one hides all.
        nodes: device files of GPUs; a container has those of its own.
    """
    return nodes if visible is None else min(nodes, len([each for each in visible.split(",") if each.strip()]))


def gpus_here() -> int:
    """GPUs of this process, without a framework: to ask one would cost its import."""
    nodes = sum(re.fullmatch(r"nvidia\d+", path.name) is not None for path in _NODES.iterdir())
    return gpus(os.environ.get("CUDA_VISIBLE_DEVICES"), nodes)


def chosen(wanted: str, gpu_count: int) -> tuple[str, ...]:
    """The devices that are meant; `auto`, `cpu` and `cuda` as they are, since only a framework knows what it can use.

    Args:
        wanted: auto (a GPU if there is one), cpu, cuda (the first GPU), cuda:1, cuda:0,cuda:1 or cuda:* (all GPUs).
        gpu_count: GPUs of this process.

    Raises:
        ModelError: it is none of these, or there are fewer GPUs.
    """
    if re.fullmatch(PATTERN, wanted) is None:
        raise ModelError(f"There is no device {wanted!r}; it must be {FORMS}.")
    if wanted in {"auto", "cpu", "cuda"}:
        return (wanted,)
    names = [f"cuda:{index}" for index in range(gpu_count)] if wanted == "cuda:*" else wanted.split(",")
    numbers = [0 if name == "cuda" else int(name.removeprefix("cuda:")) for name in names]
    if not numbers or max(numbers) >= gpu_count:
        raise ModelError(f"The device {wanted} was asked for, but there are {gpu_count} GPUs here.")
    return tuple(dict.fromkeys(f"cuda:{number}" for number in numbers))
