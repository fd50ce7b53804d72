"""numba behind a typed door: a function over arrays -> the same function, compiled at its first call."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def jit(function: _Function) -> _Function:
    """Compile without changing a result: no fast-math, so sums are added in the order that is written.

    The machine code is kept where numba finds a place to write; without one each process compiles anew.
    """
    try:
        compiled = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the module's folder nor the user's cache can be written
        compiled = numba.njit(nogil=True)(function)
    return cast("_Function", compiled)
