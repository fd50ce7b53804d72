"""A dated list of public prices, each with its source. Values only: whoever pays other prices hands in other values.

    prices.US_EAST_1                                              the list
    dataclasses.replace(prices.US_EAST_1, eks_usd_per_hour=0.6)   the same with a price of one's own

List prices of AWS's region us-east-1, Linux, on demand, in USD, without taxes, discounts and free tiers.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

HOURS_PER_MONTH = 730.0  # as AWS's own calculator


@dataclass(frozen=True, slots=True)
class Prices:
    """What things cost; every field's name says of what, in which unit.

    Attributes:
        as_of: when the list was put together.
        region: where it holds.
        lambda_usd_per_gb_second: a function's memory while it computes (x86; the first 6 billion GB-seconds a month).
        lambda_arm_usd_per_gb_second: the same on Arm.
        lambda_usd_per_million_requests: on top, and with provisioned concurrency too.
        lambda_provisioned_usd_per_gb_second: memory kept initialised, busy or not.
        lambda_provisioned_duration_usd_per_gb_second: memory that computes on provisioned concurrency, on top.
        rest_api_usd_per_million_requests: API Gateway, REST API (the first 333 million a month).
        http_api_usd_per_million_requests: API Gateway, HTTP API (the first 300 million a month).
        fargate_usd_per_vcpu_hour, fargate_usd_per_gb_hour: a task's size while it runs.
        load_balancer_usd_per_hour: an application load balancer.
        load_balancer_usd_per_capacity_unit_hour: its use (LCU).
        eks_usd_per_hour: one cluster's control plane; 0.60 in extended support.
        instance_usd_per_hour: EC2, by instance type.

    Raises:
        ValueError: a price is negative or no number.
    """

    as_of: str
    region: str
    lambda_usd_per_gb_second: float
    lambda_arm_usd_per_gb_second: float
    lambda_usd_per_million_requests: float
    lambda_provisioned_usd_per_gb_second: float
    lambda_provisioned_duration_usd_per_gb_second: float
    rest_api_usd_per_million_requests: float
    http_api_usd_per_million_requests: float
    fargate_usd_per_vcpu_hour: float
    fargate_usd_per_gb_hour: float
    load_balancer_usd_per_hour: float
    load_balancer_usd_per_capacity_unit_hour: float
    eks_usd_per_hour: float
    instance_usd_per_hour: Mapping[str, float]

    def __post_init__(self) -> None:
        named = {field.name: getattr(self, field.name) for field in fields(self) if "usd" in field.name}
        named |= dict(named.pop("instance_usd_per_hour"))
        for name, usd in named.items():
            if not 0 <= usd < math.inf:
                raise ValueError(f"the price {name} can't be {usd}")

    def instance(self, kind: str) -> float:
        """USD per hour of an instance type.

        Raises:
            ValueError: the list does not have it.
        """
        if kind not in self.instance_usd_per_hour:
            known = ", ".join(sorted(self.instance_usd_per_hour))
            raise ValueError(f"no price is known of {kind!r}, but of {known}; add it to instance_usd_per_hour")
        return self.instance_usd_per_hour[kind]


US_EAST_1 = Prices(
    as_of="2026-11",
    region="us-east-1",
    lambda_usd_per_gb_second=0.0000166667,
    lambda_arm_usd_per_gb_second=0.0000133334,
    lambda_usd_per_million_requests=0.20,
    lambda_provisioned_usd_per_gb_second=0.0000041667,
    lambda_provisioned_duration_usd_per_gb_second=0.0000097222,
    rest_api_usd_per_million_requests=3.50,
    http_api_usd_per_million_requests=1.00,
    fargate_usd_per_vcpu_hour=0.04048,
    fargate_usd_per_gb_hour=0.004445,
    load_balancer_usd_per_hour=0.0225,
    load_balancer_usd_per_capacity_unit_hour=0.008,
    eks_usd_per_hour=0.10,
    instance_usd_per_hour=MappingProxyType(
        {
            "m5.large": 0.096,
            "m5.xlarge": 0.192,
            "c5.xlarge": 0.17,
            "g4dn.xlarge": 0.526,  # 1 NVIDIA T4
            "g5.xlarge": 1.006,  # 1 NVIDIA A10G
            "g6.xlarge": 0.8048,  # 1 NVIDIA L4
            "p4d.24xlarge": 21.957642,  # 8 NVIDIA A100, after the cut of June 2025
            "p5.48xlarge": 55.04,  # 8 NVIDIA H100, after the cut of June 2025
        }
    ),
)

# Where each price was read; instances beyond m5 in several public copies of the price list that agree.
SOURCES: Mapping[str, str] = MappingProxyType(
    {
        "lambda": "aws.amazon.com/lambda/pricing; provisioned concurrency is billed from enable to disable, rounded up "
        "to five minutes; initialisation is billed as duration",
        "api gateway": "aws.amazon.com/api-gateway/pricing",
        "fargate": "aws.amazon.com/fargate/pricing; per second, at least one minute",
        "load balancer": "aws.amazon.com/elasticloadbalancing/pricing",
        "eks": "aws.amazon.com/eks/pricing",
        "instance": "aws.amazon.com/ec2/pricing/on-demand; per second, at least one minute",
    }
)
