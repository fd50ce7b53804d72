"""The settings of the queue before a model and of its batches; settings.py has the rest."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class AdmissionSettings(BaseSettings):
    """How requests wait. A model's own model.toml may say otherwise of its batches: [batching]."""

    batching: Literal["auto", "on", "off"] = Field(
        default="auto",
        description="whether requests that wait together are computed together: on, off, or auto: if trials on the "
        "first requests show that they get the same answers and get them sooner",
    )
    batch_rows: int | None = Field(
        default=None,
        ge=1,
        description="rows in one batch at most, larger requests are computed in parts (default: learned from "
        "EVERWARM_SLO_SECONDS; without that 64, and larger requests stay whole)",
    )
    batch_delay_seconds: Annotated[float, Field(ge=0, le=10)] | Literal["auto"] = Field(
        default=0.0,
        description="seconds that an idle instance waits at most for a batch to fill; auto: as long as the measured "
        "cost and rate say that it pays",
    )
    slo_seconds: float | None = Field(
        default=None, gt=0, description="what 99 % of requests should take at most; batches grow as it allows"
    )
    tenant_share: float = Field(
        default=0.8, gt=0, le=1, description="share of the queue that one tenant may fill while no other is there"
    )
    adaptive_limit: bool = Field(
        default=False,
        description="learn from the latency how many requests may be here, and refuse more (true or false)",
    )
