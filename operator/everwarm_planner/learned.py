"""What a policy knows of the past of one service: it lives in the process, for it is too long for a Kubernetes status.

After a restart it is empty until `Planner.learn` fills it; a policy is more careful without, never wrong.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Learned:
    """The past of one service.

    Attributes:
        asked: (unix time, replicas) that were wanted lately, oldest first, each less than all before it: the highest
            of a window is its first.
    """

    asked: tuple[tuple[float, int], ...] = ()
