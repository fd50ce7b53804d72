"""The kernel's record of this process in, the unix time of its start out."""

import os
import time
from pathlib import Path
from typing import Final

_STARTTIME_FIELD: Final = 19  # of /proc/self/stat, counted after the command's name (proc(5): field 22)
_OLDEST_SECONDS: Final = 300.0


def age_seconds(stat: str, boot_seconds: float, ticks_per_second: int) -> float:
    """Age of a process.

    Args:
        stat: the text of /proc/self/stat.
        boot_seconds: time since boot.
        ticks_per_second: of the kernel's clock.
    """
    fields = stat.rpartition(")")[2].split()
    return boot_seconds - int(fields[_STARTTIME_FIELD]) / ticks_per_second


def start_seconds() -> float:
    """Unix time at which this process started, to 10 ms; now, where the kernel does not say."""
    now = time.time()
    try:
        stat = Path("/proc/self/stat").read_text()
        age = age_seconds(stat, time.clock_gettime(time.CLOCK_BOOTTIME), os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    # Called at the start: a larger age means that the kernel's clocks are not those of this container.
    return now - age if 0.0 <= age <= _OLDEST_SECONDS else now
