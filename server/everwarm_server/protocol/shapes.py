"""Shapes from a client in, checked tuples of Python ints out. No numpy: its products wrap round at 64 bits."""

import math
from collections.abc import Sequence
from typing import Any, Final

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol.sentences import shown

MAX_RANK: Final = 32
MAX_ELEMENTS: Final = 2**40  # more than any body can hold, and far below where sizes in bytes would overflow


def text(shape: Sequence[int]) -> str:
    """`[-1, 64]`, as the protocol writes it; a monstrous rank is cut."""
    dimensions = ", ".join(str(d)[:24] for d in shape[:MAX_RANK])
    return f"[{dimensions}, ...]" if len(shape) > MAX_RANK else f"[{dimensions}]"


def parse(value: Any, owner: str) -> tuple[int, ...]:
    """The shape of `owner` (such as "input 'x'") from JSON.

    Raises:
        InvalidInput: not a list of at most 32 integers >= 0, or it means more than 2**40 elements.
    """
    if type(value) is not list:
        given = "has no shape" if value is None else f"has {shown(value)} as shape"
        raise InvalidInput(f"The {owner} {given}; it needs a list of integers, such as [1, 64].")
    if len(value) > MAX_RANK:
        raise InvalidInput(f"The {owner} has {len(value)} dimensions; at most {MAX_RANK} are accepted.")
    for dimension in value:
        if type(dimension) is not int or dimension < 0:
            raise InvalidInput(
                f"The {owner} has {shown(dimension)} in its shape; each dimension must be an integer of 0 or more."
            )
    # Zeros are left out: [0, 2**62] has no elements, but numpy refuses it all the same.
    if math.prod(dimension or 1 for dimension in value) > MAX_ELEMENTS:
        raise InvalidInput(f"The {owner} has shape {text(value)}, which means more than 2**40 elements.")
    return tuple(value)


def fits(shape: Sequence[int], declared: Sequence[int]) -> bool:
    """Whether a shape is one that a model declares, where -1 stands for any size."""
    if len(shape) != len(declared):
        return False
    for have, want in zip(shape, declared, strict=True):  # noqa: SIM110 - all() makes a generator: 3 times as long
        if want != have and want != -1:
            return False
    return True
