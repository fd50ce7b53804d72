"""Everything that is reproduced, computed once: figures draw it, the claims judge it, files and pages carry it."""

from collections.abc import Callable
from dataclasses import dataclass

from everwarm_cli.reproduce import adaptive, pricing, scaling
from everwarm_cli.reproduce.adaptive import Control, Headline, Outcome
from everwarm_cli.reproduce.assumptions import Efforts
from everwarm_cli.reproduce.pricing import Pricing
from everwarm_cli.reproduce.scaling import Point

PARTS = 1 + len(adaptive.EXPIRIES_SECONDS) + len(adaptive.CASES) + len(scaling.RATES_PER_SECOND)


@dataclass(frozen=True, slots=True)
class Results:
    """What was found.

    Attributes:
        efforts: how much was simulated.
        headline: reactive against adaptive on the preset.
        by_expiry: the same where instances live longer: (seconds, outcomes).
        cases: the same on other loads at an expiry of ten minutes: (name, outcomes).
        figure_2: one server against functions.
        pricing: figure 3 and Table I.
    """

    efforts: Efforts
    headline: Headline
    by_expiry: list[tuple[float, dict[Control, Outcome]]]
    cases: list[tuple[str, dict[Control, Outcome]]]
    figure_2: list[Point]
    pricing: Pricing


def compute(efforts: Efforts, done: Callable[[int], None]) -> Results:
    """Simulate it all; `done` is called `PARTS` times, with 1."""
    rest = efforts.rest
    headline = adaptive.headline(efforts.headline)
    done(1)
    by_expiry, cases, figure_2 = [], [], []
    for expiry in adaptive.EXPIRIES_SECONDS:
        by_expiry.append((expiry, adaptive.compare(adaptive.preset(expiry), rest)))
        done(1)
    for case in adaptive.CASES:
        cases.append((case.name, adaptive.compare(case, rest)))
        done(1)
    for rate in scaling.RATES_PER_SECOND:
        figure_2.append(scaling.point(rate, rest))
        done(1)
    priced = pricing.pricing(headline.outcomes[Control.ADAPTIVE].provisioned.mean)
    return Results(efforts, headline, by_expiry, cases, figure_2, priced)
