"""Which kernel: the compiled one (extra `fast`) where it is there and pays, else the pure one. Numbers are equal."""

import importlib
import importlib.util
from functools import cache

from everwarm_simulator.kernel.base import Kernel
from everwarm_simulator.kernel.pure import PureKernel

_WORTH_REQUESTS = 100_000  # with fewer a run is over before numba, which takes a second or two, would be loaded


def choose(requests: int) -> Kernel:
    """The kernel for a run with so many requests."""
    return fastest() if requests >= _WORTH_REQUESTS else PureKernel()


@cache
def fastest() -> Kernel:
    """The fastest kernel that this installation has."""
    if importlib.util.find_spec("numba") is None:
        return PureKernel()
    kernel: Kernel = importlib.import_module("everwarm_simulator.kernel.compiled").CompiledKernel()
    return kernel
