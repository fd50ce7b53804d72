"""What the paper says, beside what came out: each claim with a verdict and the reason for it."""

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from everwarm_cli.numbers import around, around_seconds, number
from everwarm_cli.reproduce.adaptive import Control
from everwarm_cli.reproduce.assumptions import PAPER
from everwarm_cli.reproduce.pricing import PAPER_P95_SECONDS, PAPER_USD
from everwarm_cli.reproduce.results import Results
from everwarm_planner import wording

_NEAR = 0.1  # "about 800 ms" is within a tenth of it
_COLD_MATTERS = 0.05  # the 95th percentile is a cold request only if more than this part of them is cold


class Verdict(enum.StrEnum):
    """Whether a claim holds."""

    HOLDS = "holds"
    CONDITIONAL = "only if"
    FAILS = "fails"
    UNKNOWN = "unclear"


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement of the paper.

    Attributes:
        what: it is about.
        paper: what the paper says.
        found: what was reproduced.
        verdict: whether it holds.
        why: under what, or why not.
    """

    what: str
    paper: str
    found: str
    verdict: Verdict
    why: str


def claims(results: Results) -> list[Claim]:
    """All of them, in the paper's order: the headline, what it rests on, the figures, Table I."""
    return [*_headline(results), *_generality(results), *_figures(results), *_table_1(results)]


def saving(results: Results, control: Control) -> float:
    """Part of the reactive cold starts that a control avoids."""
    outcomes = results.headline.outcomes
    return 1 - outcomes[control].cold_fraction.mean / outcomes[Control.REACTIVE].cold_fraction.mean


def _near(value: float, paper: float) -> Verdict:
    return Verdict.HOLDS if abs(value / paper - 1) <= _NEAR else Verdict.FAILS


def _headline(results: Results) -> Iterator[Claim]:
    reactive, adaptive, _ = (results.headline.outcomes[control] for control in Control)
    assumed = f"Bursts of {PAPER.busy_seconds:g} s, instances gone after {PAPER.expiry_seconds:g} idle seconds"
    cold = f"{around(reactive.cold_fraction, 100)} % of the requests are cold"
    yield Claim(
        "p95, reactive",
        "about 800 ms",
        around_seconds(reactive.p95_seconds),
        _near(reactive.p95_seconds.mean, 0.8),
        f"{assumed}: {cold}.",
    )
    cold = f"{around(adaptive.cold_fraction, 100)} % are cold, so the p95 is a warm request"
    yield Claim(
        "p95, adaptive",
        "about 320 ms",
        around_seconds(adaptive.p95_seconds),
        _near(adaptive.p95_seconds.mean, 0.32),
        f"The same load: {cold}.",
    )
    yield from _cause(results)


def _cause(results: Results) -> Iterator[Claim]:
    """How many fewer cold starts, and whether it is the algorithm."""
    outcomes = results.headline.outcomes
    reactive, adaptive, minimum = (outcomes[control] for control in Control)
    fewer = saving(results, Control.ADAPTIVE)
    delay = 1 - adaptive.cold_delay_seconds.mean / reactive.cold_delay_seconds.mean
    yield Claim(
        "fewer cold-start delays",
        "about 60 %",
        wording.percent(round(fewer, 2)),
        _near(fewer, 0.6),
        f"Requests that are cold; of the time lost to cold starts it is {wording.percent(round(delay, 2))}.",
    )
    alone = saving(results, Control.MINIMUM)
    kept = f"{number(adaptive.provisioned.mean)} instances instead of {number(minimum.provisioned.mean)}"
    yield Claim(
        "Algorithm 1 is why",
        "implied",
        f"{wording.percent(round(alone, 2))} without it",
        Verdict.FAILS if fewer - alone < 0.1 * fewer else Verdict.HOLDS,
        f"One instance that is always kept warm gives a p95 of {around_seconds(minimum.p95_seconds)}; "
        f"Algorithm 1 keeps {kept} on average.",
    )


def _generality(results: Results) -> Iterator[Claim]:
    changed = [
        expiry
        for expiry, pair in results.by_expiry
        if pair[Control.REACTIVE].p95_seconds.mean > 1.1 * pair[Control.ADAPTIVE].p95_seconds.mean
    ]
    longest = max((expiry for expiry, _ in results.by_expiry))
    yield Claim(
        "on longer-lived instances",
        "implied",
        f"no change from {_first_unchanged(results, changed):g} s on",
        Verdict.FAILS if len(changed) < len(results.by_expiry) else Verdict.HOLDS,
        f"Functions keep instances for minutes; from there to {longest:g} s too few requests are cold for the p95.",
    )
    hot = [name for name, pair in results.cases if pair[Control.REACTIVE].cold_fraction.mean > _COLD_MATTERS]
    same = len(results.cases) - len(hot)
    yield Claim(
        "on other loads",
        "implied",
        f"no change on {same} of {len(results.cases)}",
        Verdict.FAILS if same > len(results.cases) / 2 else Verdict.CONDITIONAL,
        "At an expiry of ten minutes more than 5 % of the requests are cold only on: "
        f"{', '.join(hot) or 'none'}. Elsewhere Algorithm 1 changes nothing.",
    )


def _first_unchanged(results: Results, changed: list[float]) -> float:
    return next((expiry for expiry, _ in results.by_expiry if expiry > max(changed, default=0.0)), 0.0)


def _figures(results: Results) -> Iterator[Claim]:
    capacity = 1 / PAPER.service_seconds
    over = next(point for point in results.figure_2 if point.rate_per_second > capacity)
    flat = max(point.serverless_seconds.mean for point in results.figure_2)
    explodes = over.single_seconds.mean > 10 * flat and flat < 2 * PAPER.service_seconds
    yield Claim(
        "Fig. 2: scaling",
        "one server explodes, serverless stays flat",
        f"{around_seconds(over.single_seconds)} at {over.rate_per_second:g}/s; at most {flat * 1000:.0f} ms",
        Verdict.HOLDS if explodes else Verdict.FAILS,
        f"One server can do {capacity:g} requests/s of {PAPER.service_seconds * 1000:g} ms; over that its queue grows.",
    )
    priced = results.pricing
    yield Claim(
        "Fig. 3: cost",
        "Lambda is cheapest at little traffic",
        f"up to {priced.fargate_even_requests / 1e6:.1f} million requests a month",
        Verdict.CONDITIONAL,
        f"Against Fargate at the paper's ${PAPER_USD['Fargate']:g}; against EC2 up to "
        f"{priced.ec2_even_requests / 1e6:.1f} million. As few tasks as hold the p95 are cheaper from "
        f"{_followed(results):.0f} million on.",
    )


def _followed(results: Results) -> float:
    """From how many million requests a month on Lambda costs more than as many tasks as theory asks for."""
    return next((requests / 1e6 for requests, function, tasks, _ in results.pricing.curves if function > tasks), 0.0)


def _table_1(results: Results) -> Iterator[Claim]:
    priced = results.pricing
    yield Claim(
        "Table I: EC2, busy and idle",
        "$300",
        f"${number(priced.ec2_usd, 4)}",
        _near(priced.ec2_usd, 300.0),
        "Two m5.xlarge and a load balancer.",
    )
    yield Claim(
        "Table I: Fargate, idle",
        "$50",
        f"${number(priced.fargate_idle_usd)}",
        _near(priced.fargate_idle_usd, 50.0),
        "One task of 1 vCPU and 2 GB, and a load balancer.",
    )
    yield Claim(
        "Table I: Fargate",
        "$180",
        f"{number(priced.fargate_tasks)} tasks",
        Verdict.CONDITIONAL,
        "Only if so many tasks run on average; the paper does not say.",
    )
    yield Claim(
        "Table I: Lambda",
        "$110",
        f"{priced.lambda_requests / 1e6:.1f} million requests",
        Verdict.CONDITIONAL,
        f"Only if so many come in a month ({number(priced.lambda_rate_per_second)}/s), at 2 GB, 200 ms and a REST API: "
        f"${number(priced.lambda_usd_per_million, 4)} per million.",
    )
    yield from _contradictions(results)


def _contradictions(results: Results) -> Iterator[Claim]:
    """What Table I says that can't be so, or not as it stands."""
    priced = results.pricing
    yield Claim(
        "Table I: Lambda, idle",
        "$0",
        f"${number(priced.provisioned_usd, 4)} with 5 kept warm",
        Verdict.FAILS,
        "It contradicts adaptive provisioning, which keeps instances and pays for them; the preset's "
        f"alone cost ${number(priced.preset_provisioned_usd)} a month.",
    )
    ec2, fargate = (PAPER_P95_SECONDS[name] * 1000 for name in ("EC2", "Fargate"))
    ratio = PAPER.service_seconds / priced.ec2_p95_seconds
    yield Claim(
        "Table I: p95, EC2 and Fargate",
        f"{ec2:.0f} and {fargate:.0f} ms",
        f"{priced.ec2_p95_seconds * 1000:.0f} ms on both",
        Verdict.CONDITIONAL,
        "Lambda's work without any wait; only if a request is "
        f"{ec2 * ratio:.0f} and {fargate * ratio:.0f} ms of work there.",
    )
    yield Claim(
        "Table I: cold starts",
        "50 ms EC2, 200 ms Fargate",
        "not checkable",
        Verdict.UNKNOWN,
        "Instances and tasks take tens of seconds to start; these look like times of a request on a warm one.",
    )
