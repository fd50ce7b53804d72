"""The parts of a ModelService's spec that say what is promised and how the floor of warm replicas follows."""

from pydantic import ConfigDict, Field

from everwarm_operator.api.rules import SpecPart, rule, rules


class Slo(SpecPart):
    """What the service promises its callers."""

    p95_milliseconds: int = Field(
        default=500,
        description="95 % of the requests are answered within this time, waiting for a replica included (ms).",
        json_schema_extra=rules(rule("self > 0", "spec.slo.p95Milliseconds must be over 0: it is a time to answer in")),
    )
    p99_milliseconds: int | None = Field(
        default=None,
        description="99 % of the requests are answered within this time (ms); where it is given, the hybrid policy "
        "plans for it, and not for p95Milliseconds.",
        json_schema_extra=rules(rule("self > 0", "spec.slo.p99Milliseconds must be over 0: it is a time to answer in")),
    )


class Window(SpecPart):
    """A time that comes again, at which more replicas are kept warm."""

    name: str = Field(default="", description="What it is called in decisions.", max_length=63)
    cron: str = Field(
        description="When it begins: minute, hour, day of month, month, day of week; for example 30 7 * * mon-fri.",
        max_length=256,
        json_schema_extra=rules(
            rule(
                "self.matches('^[^ ]+( +[^ ]+){4}$')",
                "spec.scaling.schedule.cron needs five fields: minute, hour, day of month, month, day of week",
            )
        ),
    )
    time_zone: str = Field(
        default="UTC",
        description="Where the cron expression is read: an IANA name such as Europe/Berlin.",
        max_length=64,
    )
    duration_seconds: int = Field(
        description="How long it lasts (s), at most 31 days.",
        json_schema_extra=rules(
            rule(
                "self > 0 && self <= 2678400",
                "spec.scaling.schedule.durationSeconds must be over 0 and at most 2678400 (31 days)",
            )
        ),
    )
    replicas: int = Field(
        description="Replicas that are kept warm in it, at least; they are started a cold start before it begins.",
        json_schema_extra=rules(rule("self >= 0", "spec.scaling.schedule.replicas can't be negative: use 0 for none")),
    )


class Budget(SpecPart):
    """What the warm replicas may cost."""

    usd_per_month: float = Field(
        description="In a calendar month (USD). The floor is lowered, under minReplicas too, before it costs more.",
        json_schema_extra=rules(
            rule("self > 0.0", "spec.scaling.budget.usdPerMonth must be over 0: leave budget out for no limit")
        ),
    )
    usd_per_replica_hour: float = Field(
        description="What one replica costs for an hour (USD): its part of a node's price.",
        json_schema_extra=rules(
            rule("self > 0.0", "spec.scaling.budget.usdPerReplicaHour must be over 0: it is a price")
        ),
    )


class Fallback(SpecPart):
    """What is kept warm when nothing is measured any more."""

    after_seconds: int = Field(
        description="So long after the last measurement (s).",
        json_schema_extra=rules(
            rule("self > 0", "spec.scaling.fallback.afterSeconds must be over 0: it is a time of silence")
        ),
    )
    replicas: int = Field(
        description="Replicas that are kept warm from then on, at least; a floor that is higher stays.",
        json_schema_extra=rules(rule("self >= 0", "spec.scaling.fallback.replicas can't be negative: use 0 for none")),
    )


class Pace(SpecPart):
    """How fast the floor may move, whatever the policy says."""

    max_step_up: int | None = Field(
        default=None,
        description="Replicas that one decision may add at most; default: as many as the policy says.",
        json_schema_extra=rules(rule("self >= 1", "spec.scaling.pace.maxStepUp must be at least 1")),
    )
    max_step_down: int | None = Field(
        default=None,
        description="Replicas that one decision may take at most; default: as many as the policy says.",
        json_schema_extra=rules(rule("self >= 1", "spec.scaling.pace.maxStepDown must be at least 1")),
    )
    cool_down_seconds: int = Field(
        default=0,
        description="For so long after a move the floor is not lowered (s).",
        json_schema_extra=rules(
            rule("self >= 0", "spec.scaling.pace.coolDownSeconds can't be negative: use 0 for none")
        ),
    )


class Scaling(SpecPart):
    """Between which limits, and how, the floor of warm replicas moves."""

    mode: str = Field(
        default="Active",
        description="Active: decisions are written. Preview: they are shown in the status, and nothing is written but "
        "that. Paused: nothing is decided, and the floor stays as it is, also where a person moves it.",
        max_length=64,
        json_schema_extra=rules(
            rule(
                "self in ['Active', 'Preview', 'Paused']",
                "spec.scaling.mode is not known: use Active, Preview or Paused",
            )
        ),
    )
    policy: str = Field(
        default="hybrid",
        description="How the floor is chosen: hybrid (what is forecast and what came, staffed by queueing theory for "
        "the promise, released by what a start costs), paper (Algorithm 1: raised when the p95 misses its target and "
        "requests meet cold starts, lowered slowly when replicas idle), schedule (the windows of spec.scaling.schedule "
        "alone) or fixed (the floor is minReplicas).",
        max_length=64,
        json_schema_extra=rules(
            rule(
                "self in ['hybrid', 'paper', 'schedule', 'fixed']",
                "spec.scaling.policy is not supported: use hybrid, paper, schedule or fixed",
            )
        ),
    )
    min_replicas: int = Field(
        default=1,
        description="The floor is never lower; 0 lets the service scale to zero.",
        json_schema_extra=rules(
            rule("self >= 0", "spec.scaling.minReplicas can't be negative: use 0 to allow scale to zero")
        ),
    )
    max_replicas: int = Field(
        default=10,
        description="There are never more replicas, bursts included.",
        json_schema_extra=rules(rule("self >= 1", "spec.scaling.maxReplicas must be at least 1")),
    )
    low_utilization_seconds: int = Field(
        default=300,
        description="Policy paper: the replicas must idle (under half busy) for this long before the floor goes down "
        "by one (s).",
        json_schema_extra=rules(rule("self > 0", "spec.scaling.lowUtilizationSeconds must be over 0")),
    )
    schedule: list[Window] = Field(
        default_factory=list,
        description="Times at which at least so many replicas are kept warm, whatever the policy says.",
        max_length=32,
    )
    budget: Budget | None = Field(default=None, description="What the warm replicas may cost; none: no limit.")
    fallback: Fallback | None = Field(
        default=None, description="What is kept warm after a long silence; none: what stood before it."
    )
    pace: Pace = Field(default_factory=Pace, description="How fast the floor may move.")
    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "self.minReplicas <= self.maxReplicas",
                "spec.scaling.minReplicas is over spec.scaling.maxReplicas: no number of replicas fits both",
            ),
            rule(
                "self.policy != 'schedule' || (has(self.schedule) && size(self.schedule) > 0)",
                "spec.scaling.policy schedule needs a window in spec.scaling.schedule",
            ),
        )
    )
