"""Reactive against adaptive provisioning on function instances: the paper's headline, and where it does not hold."""

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np

from everwarm_cli.reproduce.assumptions import PAPER, Effort
from everwarm_cli.traces import shipped
from everwarm_cli.traces.series import Rates, Requests
from everwarm_planner.guardrails import Bounds
from everwarm_planner.plan import Planner
from everwarm_planner.policies.fixed import Fixed
from everwarm_planner.policies.paper import Paper
from everwarm_simulator import arrivals, functions, report, workload
from everwarm_simulator.distributions import Lognormal, Seconds, Uniform
from everwarm_simulator.functions import FunctionRun, Functions
from everwarm_simulator.planned import Planned
from everwarm_simulator.quantiles import quantile
from everwarm_simulator.report import Interval
from everwarm_simulator.run import Floor
from everwarm_simulator.workload import Workload

EXPIRIES_SECONDS = (5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 300.0, 600.0)
_MOST_PROVISIONED = 50
_TRACE_RATE_PER_SECOND = 5.0


class Control(enum.StrEnum):
    """Who provisions instances."""

    REACTIVE = "reactive"
    ADAPTIVE = "adaptive"
    MINIMUM = "minimum alone"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One control on one load, over the seeds; seconds, parts of the requests, instances.

    Attributes:
        p95_seconds: of the latency.
        cold_fraction: part of the requests that waited for an initialisation.
        cold_delay_seconds: what those waits are per request, on average over all requests.
        provisioned: instances kept warm, on average.
        instances: ready instances, on average.
    """

    p95_seconds: Interval
    cold_fraction: Interval
    cold_delay_seconds: Interval
    provisioned: Interval
    instances: Interval


@dataclass(frozen=True, slots=True)
class Case:
    """A load under an expiry: its name, and how its requests are drawn for (generator, hours)."""

    name: str
    expiry_seconds: float
    draw: Callable[[np.random.Generator, float], tuple[Seconds, float]]


@dataclass(frozen=True, slots=True)
class Headline:
    """The preset `paper`, with the latencies of its first seed for the figure."""

    outcomes: dict[Control, Outcome]
    latencies: dict[Control, Seconds]


def headline(effort: Effort) -> Headline:
    """Reactive, adaptive and the minimum alone on the preset."""
    runs = {control: _runs(preset(PAPER.expiry_seconds), control, effort) for control in Control}
    return Headline(
        {control: _outcome(of_it) for control, of_it in runs.items()},
        {control: of_it[0].latencies for control, of_it in runs.items()},
    )


def compare(case: Case, effort: Effort) -> dict[Control, Outcome]:
    """Reactive and adaptive on one case."""
    return {control: _outcome(_runs(case, control, effort)) for control in (Control.REACTIVE, Control.ADAPTIVE)}


def preset(expiry_seconds: float) -> Case:
    """The preset's load under an expiry, the preset's own or another."""

    def draw(generator: np.random.Generator, hours: float) -> tuple[Seconds, float]:
        rates = PAPER.busy_rate_per_second, PAPER.quiet_rate_per_second
        horizon = hours * 3600
        return arrivals.on_off(generator, rates, (PAPER.busy_seconds, PAPER.quiet_seconds), horizon), horizon

    return Case(f"preset paper, expiry {expiry_seconds:g} s", expiry_seconds, draw)


def _poisson(generator: np.random.Generator, rate: float, hours: float) -> tuple[Seconds, float]:
    return arrivals.poisson(generator, rate, hours * 3600), hours * 3600


def _bursts(generator: np.random.Generator, hours: float) -> tuple[Seconds, float]:
    return arrivals.on_off(generator, (10.0, 0.0), (5.0, 595.0), hours * 3600), hours * 3600


def _measured(name: str, hours: float) -> tuple[Seconds, float]:
    trace = cast("Requests", shipped.read(name))
    horizon = min(trace.horizon_seconds, hours * 3600)
    times = np.array(trace.at_seconds)
    return times[times < horizon], horizon


def _rates(generator: np.random.Generator, name: str, hours: float) -> tuple[Seconds, float]:
    part = cast("Rates", shipped.read(name)).between(0.0, hours * 3600)
    part = part.scaled(_TRACE_RATE_PER_SECOND / part.mean_per_second)
    return arrivals.from_rates(generator, np.array(part.per_second), part.interval_seconds, 4.4), part.horizon_seconds


# At an expiry of ten minutes, as on Lambda: steady, rare, in bursts, and measured ones.
CASES = (
    Case("steady, 5/s", 600.0, lambda generator, hours: _poisson(generator, 5.0, hours)),
    Case("rare, 3/min", 600.0, lambda generator, hours: _poisson(generator, 0.05, hours)),
    Case("bursts of 5 s every 10 min, 10/s", 600.0, _bursts),
    Case("azure-llm-conv, an hour", 600.0, lambda _, hours: _measured("azure-llm-conv", hours)),
    Case("azure-llm-code, an hour", 600.0, lambda _, hours: _measured("azure-llm-code", hours)),
    Case("servegen-m-large, at 5/s", 600.0, lambda generator, hours: _rates(generator, "servegen-m-large", hours)),
)


def _runs(case: Case, control: Control, effort: Effort) -> list[FunctionRun]:
    service = Functions(
        Uniform(PAPER.initialisation_low_seconds, PAPER.initialisation_high_seconds),
        case.expiry_seconds,
        PAPER.lead_seconds,
        PAPER.window_seconds,
    )
    return [
        functions.simulate(load, service, _floor(control), np.random.default_rng([seed, 1]))
        for seed, load in enumerate(_loads(case, effort))
    ]


def _loads(case: Case, effort: Effort) -> Iterator[Workload]:
    for seed in range(effort.seeds):
        generator = np.random.default_rng([seed, 0])
        times, horizon = case.draw(generator, effort.hours)
        yield workload.of_arrivals(generator, times, Lognormal(PAPER.service_seconds, PAPER.service_sigma), horizon)


def _floor(control: Control) -> Floor | None:
    """Who decides; a new one for each run, for it keeps state."""
    least, bounds = PAPER.least_provisioned, Bounds(PAPER.least_provisioned, _MOST_PROVISIONED)
    if control is Control.REACTIVE:
        return None
    if control is Control.MINIMUM:
        return Planned(Planner(Fixed(least), bounds), least, PAPER.interval_seconds)
    policy = Paper(PAPER.target_p95_seconds, 1, low_utilization_seconds=PAPER.low_utilization_seconds)
    return Planned(Planner(policy, bounds), least, PAPER.interval_seconds)


def _outcome(runs: list[FunctionRun]) -> Outcome:
    return Outcome(
        report.interval([quantile(run.latencies, 0.95) for run in runs]),
        report.interval([float(run.cold.mean()) for run in runs]),
        report.interval([float(run.waits.mean()) for run in runs]),
        report.interval([run.mean_provisioned for run in runs]),
        report.interval([run.mean_instances for run in runs]),
    )
