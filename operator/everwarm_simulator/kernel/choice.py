"""Which kernel: the compiled one where numba is installed (extra `fast`), the pure one elsewhere. Same results."""

import importlib
import importlib.util
from functools import cache

from everwarm_simulator.kernel.base import Kernel
from everwarm_simulator.kernel.pure import PureKernel


@cache
def fastest() -> Kernel:
    """The fastest kernel that this installation has."""
    if importlib.util.find_spec("numba") is None:
        return PureKernel()
    kernel: Kernel = importlib.import_module("everwarm_simulator.kernel.compiled").CompiledKernel()
    return kernel
