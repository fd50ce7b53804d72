"""numba behind a typed door: a function over arrays -> the same function, compiled at its first call.

Without numba (extra `fast`) the function stays as it is, and is some hundred times slower.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

njit: Any
try:
    from numba import njit
except ModuleNotFoundError:
    njit = None

_Function = TypeVar("_Function", bound=Callable[..., object])


def jit(function: _Function) -> _Function:
    """Compile without changing a result: no fast-math, so sums are added in the order that is written.

    The machine code is kept where numba finds a place to write; without one each process compiles anew.
    """
    if njit is None:
        return function
    try:
        compiled = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the module's folder nor the user's cache can be written
        compiled = njit(nogil=True)(function)
    return cast("_Function", compiled)
