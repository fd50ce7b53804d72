"""The policies that commands compare: their names with an optional argument -> who decides in the simulator.

hybrid[:PART]        the default of everwarm, for this part of the requests in time (the objective by default)
paper[:FACTOR]       Algorithm 1 of the paper, with its factor (1.5)
kpa[:PERCENT]        Knative's autoscaler alone, at this target utilisation (70)
hpa[:PERCENT]        Kubernetes' autoscaler on busy slots, at this target (80)
fixed[:REPLICAS]     so many, never more and never fewer
schedule[:hybrid]    the windows that are given, alone or as the least of hybrid
"""

import difflib
import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import typer

from everwarm_cli import durations
from everwarm_cli.errors import CommandError
from everwarm_planner.policies.schedule import Window

_WINDOW = re.compile(r"(?P<cron>\S.*?) for (?P<length>\S+) keep (?P<replicas>\d+)(?: in (?P<zone>\S+))?", re.ASCII)


class PolicyName(enum.StrEnum):
    """What can be compared."""

    HYBRID = "hybrid"
    PAPER = "paper"
    KPA = "kpa"
    HPA = "hpa"
    FIXED = "fixed"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Choice:
    """A policy with its argument; `value` is `None` for the default (a schedule's is 1 where it is over hybrid)."""

    name: PolicyName
    value: float | None = None

    @property
    def label(self) -> str:
        """As the user writes it."""
        if self.value is None:
            return self.name.value
        return f"{self.name}:hybrid" if self.name is PolicyName.SCHEDULE else f"{self.name}:{self.value:g}"


def choices(texts: Sequence[str], windows: Sequence[Window]) -> list[Choice]:
    """Policies from comma lists, each once, in order; all that need no further option when there is none.

    Raises:
        CommandError: one of them is no policy, or a schedule has no window.
    """
    if not texts:
        kept = [name for name in PolicyName if name is not PolicyName.SCHEDULE or windows]
        return [Choice(name) for name in kept]
    found = dict.fromkeys(choice(part.strip()) for text in texts for part in text.split(",") if part.strip())
    if not windows and any(one.name is PolicyName.SCHEDULE for one in found):
        raise CommandError(f"--policy schedule needs at least one --window: {WINDOW_EXAMPLE!r}.", exit_code=2)
    return list(found)


def choice(text: str) -> Choice:
    """One policy.

    Raises:
        CommandError: it is none, or its argument has no meaning.
    """
    word, colon, argument = text.partition(":")
    try:
        name = PolicyName(word)
    except ValueError as error:
        known = ", ".join(PolicyName)
        near = "".join(f" Did you mean {guess}?" for guess in difflib.get_close_matches(word, list(PolicyName), 1))
        raise CommandError(f"There is no policy {word!r}; there are {known}.{near}", exit_code=2) from error
    if not colon:
        return Choice(name)
    if name is PolicyName.SCHEDULE:
        if argument != "hybrid":
            raise CommandError(f"{text} is no policy: write schedule, or schedule:hybrid.", exit_code=2)
        return Choice(name, 1.0)
    low, high, what = _RANGES[name]
    try:
        value = float(argument.removesuffix("%"))
    except ValueError:
        value = -1.0
    if name is PolicyName.HYBRID and value > 1:
        value /= 100
    if not low <= value <= high or (name is PolicyName.FIXED and value % 1):
        raise CommandError(f"{text} is no policy: after {name}: comes {what}.", exit_code=2)
    return Choice(name, value)


_RANGES = {
    PolicyName.HYBRID: (0.5, 0.9999, "a part of the requests, for example 0.99 or 99%"),
    PolicyName.PAPER: (0.1, 100.0, "the factor on the demand, for example 1.5"),
    PolicyName.KPA: (1.0, 100.0, "the target utilisation in percent, for example 70"),
    PolicyName.HPA: (1.0, 100.0, "the target utilisation in percent, for example 80"),
    PolicyName.FIXED: (0.0, 1e6, "a whole number of replicas, for example 3"),
}

WINDOW_EXAMPLE = "0 8 * * 1-5 for 10h keep 4 in Europe/Berlin"


def windows(texts: Iterable[str]) -> tuple[Window, ...]:
    """Windows of a schedule, as people write them.

    Raises:
        BadParameter: one can't be read, or can never be; the text says why.
    """
    return tuple(_window(text) for text in texts)


def _window(text: str) -> Window:
    match = _WINDOW.fullmatch(text.strip())
    if match is None:
        raise typer.BadParameter(f"{text!r} is no window; write for example {WINDOW_EXAMPLE!r}")
    try:
        return Window(match["cron"], durations.seconds(match["length"]), int(match["replicas"]), match["zone"] or "UTC")
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no window: {error}") from error
