"""How long things take, as distributions with a mean: service times and cold starts. A generator in, seconds out."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]


class Distribution(Protocol):
    """Durations in seconds; all randomness comes from the generator that is handed in."""

    @property
    def mean_seconds(self) -> float:
        """The expectation."""

    @property
    def squared_variation(self) -> float:
        """Variance over the squared mean: 0 for a constant, 1 for exponential durations."""

    def draw(self, generator: np.random.Generator, count: int) -> Seconds:
        """`count` independent durations."""


@dataclass(frozen=True, slots=True)
class Deterministic:
    """Always the same."""

    mean_seconds: float

    def __post_init__(self) -> None:
        _require_positive(self.mean_seconds)

    @property
    def squared_variation(self) -> float:
        """0."""
        return 0.0

    def draw(self, generator: np.random.Generator, count: int) -> Seconds:
        """`count` times the mean; the generator is left as it was."""
        del generator
        return np.full(count, self.mean_seconds)


@dataclass(frozen=True, slots=True)
class Exponential:
    """Without memory; the service times of the M in M/M/c."""

    mean_seconds: float

    def __post_init__(self) -> None:
        _require_positive(self.mean_seconds)

    @property
    def squared_variation(self) -> float:
        """1."""
        return 1.0

    def draw(self, generator: np.random.Generator, count: int) -> Seconds:
        """Independent exponential durations."""
        return generator.exponential(self.mean_seconds, count)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """What inference and model loading look like: a right tail over a mode.

    Attributes:
        mean_seconds: of the durations themselves, not of their logarithms.
        sigma: standard deviation of the logarithm, 0.47 for a 95th percentile of about twice the mean.
    """

    mean_seconds: float
    sigma: float

    def __post_init__(self) -> None:
        _require_positive(self.mean_seconds)
        if not 0 <= self.sigma <= 5:
            raise ValueError(f"sigma must be within 0 and 5, not {self.sigma}")

    @property
    def squared_variation(self) -> float:
        """exp(sigma^2) - 1."""
        return math.expm1(self.sigma**2)

    def draw(self, generator: np.random.Generator, count: int) -> Seconds:
        """Independent lognormal durations with the mean that was asked for."""
        return generator.lognormal(math.log(self.mean_seconds) - self.sigma**2 / 2, self.sigma, count)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Equally likely between two durations (the paper's cold starts: 400 to 800 ms)."""

    low_seconds: float
    high_seconds: float

    def __post_init__(self) -> None:
        if not 0 <= self.low_seconds <= self.high_seconds < math.inf or self.high_seconds == 0:
            raise ValueError(f"no durations lie between {self.low_seconds} and {self.high_seconds} s")

    @property
    def mean_seconds(self) -> float:
        """The middle."""
        return (self.low_seconds + self.high_seconds) / 2

    @property
    def squared_variation(self) -> float:
        """(high - low)^2 / 12 over the squared mean."""
        return (self.high_seconds - self.low_seconds) ** 2 / 12 / self.mean_seconds**2

    def draw(self, generator: np.random.Generator, count: int) -> Seconds:
        """Independent uniform durations."""
        return generator.uniform(self.low_seconds, self.high_seconds, count)


def _require_positive(mean_seconds: float) -> None:
    if not 0 < mean_seconds < math.inf:
        raise ValueError(f"a mean duration must be over 0 s, not {mean_seconds}")
