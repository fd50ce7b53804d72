"""What `everwarm up` was asked to do: one frozen value, made by the command line and read by all that runs."""

import enum
from dataclasses import dataclass


class PolicyKind(enum.StrEnum):
    """Who moves the floor; as in a ModelService."""

    HYBRID = "hybrid"
    PAPER = "paper"
    FIXED = "fixed"


class LoadKind(enum.StrEnum):
    """What sends requests: nothing, or bursts from this process."""

    NONE = "none"
    BURSTS = "bursts"


@dataclass(frozen=True, slots=True)
class UpSettings:
    """The options of `everwarm up`.

    Attributes:
        model_uri: a path (absolute) or a URI that the server understands.
        model_name: the name it is served under.
        model_format: `onnx`, `torch`, `python`; `None`: the server finds out.
        port: of the gateway, on loopback; 0 for any that is free.
        min_replicas: fewest replicas, 0 for scale to zero.
        max_replicas: most replicas.
        concurrency: requests that one replica gets at once.
        cpus: of each replica, 0 for all of this machine.
        target_p95_seconds: the latency objective.
        policy: who moves the floor.
        interval_seconds: how often the planner observes and decides.
        window_seconds: the span that one observation looks back on.
        stable_window_seconds: the autoscaler's averaging window, Knative's `window`.
        low_utilization_seconds: policy paper: how long utilisation must be low before the floor goes
            one down.
        timeout_seconds: how long the gateway holds a request that finds no free replica.
        queue_size: requests that the gateway holds at once.
        load: what sends requests.
        duration_seconds: when to stop; `None`: at a signal.
        plain: lines instead of a live view.
        seed: of the load's random pattern.
    """

    model_uri: str
    model_name: str
    model_format: str | None = None
    port: int = 8080
    min_replicas: int = 1
    max_replicas: int = 4
    concurrency: int = 1
    cpus: int = 1
    target_p95_seconds: float = 0.3
    policy: PolicyKind = PolicyKind.HYBRID
    interval_seconds: float = 2.0
    window_seconds: float = 15.0
    stable_window_seconds: float = 60.0
    low_utilization_seconds: float = 60.0
    timeout_seconds: float = 60.0
    queue_size: int = 1000
    load: LoadKind = LoadKind.NONE
    duration_seconds: float | None = None
    plain: bool = False
    seed: int = 1
