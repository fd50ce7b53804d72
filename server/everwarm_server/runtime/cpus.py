"""How many CPUs this process may use: what the kernel schedules it on, and what its cgroup lets it spend."""

import os
from pathlib import Path

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def cpus(affinity: int, cpu_max: str) -> int:
    """Whole CPUs, at least one.

    A container with a limit of 2 CPUs on a node of 64 sees 64 of them; 64 threads would then use up in 3 ms what it
    may spend in 100 ms, and stand still for the rest.

    Args:
        affinity: CPUs that the process may be scheduled on.
        cpu_max: the text of cgroup v2's cpu.max: quota and period in microseconds, quota `max` for none; or empty.
    """
    quota, _, period = cpu_max.strip().partition(" ")
    if not (quota.isdecimal() and period.isdecimal()) or int(period) == 0:
        return max(1, affinity)
    return max(1, min(affinity, -(-int(quota) // int(period))))


def available_cpus() -> int:
    """Whole CPUs of this process now."""
    try:
        cpu_max = CPU_MAX.read_text()
    except OSError:
        cpu_max = ""
    return cpus(len(os.sched_getaffinity(0)), cpu_max)


def threads_each(concurrency: int) -> int:
    """Threads for one of `concurrency` inferences that run at once."""
    return max(1, available_cpus() // concurrency)
