"""How a model's requests are batched: values that the settings and model.toml give."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Mode: TypeAlias = Literal["auto", "on", "off"]


@dataclass(frozen=True, slots=True)
class Options:
    """How a model's requests are batched.

    Attributes:
        mode: on, off; or auto: if trials on the first requests show that it gives the same answers and pays.
        max_rows: of one batch; a request with more is computed in parts. None: learned from the objective, or 64
            without one, and then larger requests are left whole.
        max_delay_seconds: how long after its first request came an idle instance waits for a batch to fill. None: as
            long as the measured cost and rate say that it pays, at most a quarter of the objective.
        slo_seconds: what the p99 of requests should keep; None: no objective.
        retry: whether the model may be asked again for rows of a batch that failed.
    """

    mode: Mode = "auto"
    max_rows: int | None = None
    max_delay_seconds: float | None = 0.0
    slo_seconds: float | None = None
    retry: bool = True
