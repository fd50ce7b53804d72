"""AWS Lambda behind API Gateway: requests, their duration and memory, and what is kept provisioned -> a bill."""

import enum
import math
from collections.abc import Iterable
from dataclasses import dataclass

from everwarm_planner.cost import bill
from everwarm_planner.cost.bill import Bill
from everwarm_planner.cost.prices import Prices

_PROVISIONED_STEP_SECONDS = 300.0
_MILLISECOND = 0.001


class Gateway(enum.StrEnum):
    """What stands before the function."""

    NONE = "none"
    REST = "REST API"
    HTTP = "HTTP API"


@dataclass(frozen=True, slots=True)
class Function:
    """What is billed per request.

    Attributes:
        memory_gb: of the function; 1769 MB are one vCPU.
        duration_seconds: mean time that a request computes; billed by the millisecond, rounded up.
        gateway: what stands before it.
        arm: on Graviton.
    """

    memory_gb: float
    duration_seconds: float
    gateway: Gateway = Gateway.REST
    arm: bool = False

    def __post_init__(self) -> None:
        if not (0 < self.memory_gb <= 10.25 and 0 < self.duration_seconds <= 900):
            raise ValueError(f"no function has {self.memory_gb} GB and takes {self.duration_seconds} s")

    @property
    def gb_seconds(self) -> float:
        """Memory x time of one request."""
        return self.memory_gb * math.ceil(self.duration_seconds / _MILLISECOND * (1 - 1e-12)) * _MILLISECOND


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Provisioned concurrency over time.

    Attributes:
        instance_seconds: instances x the time for which they were provisioned (`provisioned_seconds` sums it up).
        requests: how many of the requests it answered; the others are billed on demand.
    """

    instance_seconds: float
    requests: float


NOTHING_PROVISIONED = Provisioned(0.0, 0.0)


def invoice(
    prices: Prices,
    function: Function,
    requests: float,
    *,
    initialisation_seconds: float = 0.0,
    provisioned: Provisioned = NOTHING_PROVISIONED,
) -> Bill:
    """What this many requests cost; `initialisation_seconds` is the sum over all cold starts, billed as duration."""
    on_demand = max(0.0, requests - provisioned.requests)
    per_gb_second = prices.lambda_arm_usd_per_gb_second if function.arm else prices.lambda_usd_per_gb_second
    computed = on_demand * function.gb_seconds + initialisation_seconds * function.memory_gb
    kept = provisioned.instance_seconds * function.memory_gb
    kept_computed = min(requests, provisioned.requests) * function.gb_seconds
    return bill.of(
        {
            "requests": requests * prices.lambda_usd_per_million_requests / 1e6,
            "gateway": requests * _gateway_usd(prices, function.gateway),
            "duration": computed * per_gb_second,
            "provisioned": kept * prices.lambda_provisioned_usd_per_gb_second,
            "provisioned duration": kept_computed * prices.lambda_provisioned_duration_usd_per_gb_second,
        }
    )


def request_usd(prices: Prices, function: Function) -> float:
    """What one warm request costs on demand."""
    return invoice(prices, function, 1.0).total_usd


def provisioned_seconds(changes: Iterable[tuple[float, int]], end_seconds: float) -> float:
    """Instance-seconds that are billed: (seconds, instances provisioned from then on), in order -> their sum.

    Each instance is billed from its allocation until it is given back, rounded up to five minutes.
    """
    begun: list[float] = []
    billed = 0.0
    for at, wanted in [*changes, (end_seconds, 0)]:
        begun.extend([at] * (wanted - len(begun)))
        while len(begun) > wanted:
            lasted = at - begun.pop()
            billed += math.ceil(lasted / _PROVISIONED_STEP_SECONDS * (1 - 1e-12)) * _PROVISIONED_STEP_SECONDS
    return billed


def _gateway_usd(prices: Prices, gateway: Gateway) -> float:
    per_million = {
        Gateway.NONE: 0.0,
        Gateway.REST: prices.rest_api_usd_per_million_requests,
        Gateway.HTTP: prices.http_api_usd_per_million_requests,
    }
    return per_million[gateway] / 1e6
