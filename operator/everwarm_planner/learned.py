"""What a policy knows of the past of one service: it lives in the process, for it is too long for a Kubernetes status.

After a restart it is empty until `Planner.learn` fills it; a policy is more careful without, never wrong.
"""

from dataclasses import dataclass

from everwarm_planner.forecast.experts import Experts
from everwarm_planner.measures import Measures
from everwarm_planner.release import Asked


@dataclass(frozen=True, slots=True)
class Learned:
    """The past of one service.

    Attributes:
        experts: the forecasters and what they know; `None` before the first minute.
        measures: what the traffic is like, smoothed.
        asked: replicas that were needed lately.
        level: requests per second, without their noise.
    """

    experts: Experts | None = None
    measures: Measures | None = None
    asked: Asked = ()
    level: float | None = None
