"""What runs whether requests come or not: Fargate tasks, EC2 instances, an EKS cluster with GPU nodes -> a bill."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from everwarm_planner.cost import bill
from everwarm_planner.cost.bill import Bill
from everwarm_planner.cost.prices import Prices

_LEAST_BILLED_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Task:
    """The size of a Fargate task: one replica."""

    vcpus: float
    memory_gb: float

    def __post_init__(self) -> None:
        if not (self.vcpus > 0 and self.memory_gb > 0):
            raise ValueError(f"no task has {self.vcpus} vCPUs and {self.memory_gb} GB")


@dataclass(frozen=True, slots=True)
class Nodes:
    """What a cluster's replicas run on.

    Attributes:
        kind: EC2 instance type.
        replicas_per_node: how many fit on one; 1 for a model that takes a node's only GPU.
    """

    kind: str
    replicas_per_node: int = 1

    def __post_init__(self) -> None:
        if self.replicas_per_node < 1:
            raise ValueError(f"a node that takes {self.replicas_per_node} replicas takes none")


def fargate(prices: Prices, task: Task, replica_seconds: float) -> Bill:
    """Tasks that ran for so many seconds together (`billed_seconds` knows of the least that is billed)."""
    hours = replica_seconds / 3600
    return bill.of(
        {
            "Fargate vCPU": hours * task.vcpus * prices.fargate_usd_per_vcpu_hour,
            "Fargate memory": hours * task.memory_gb * prices.fargate_usd_per_gb_hour,
        }
    )


def instances(prices: Prices, kind: str, instance_seconds: float) -> Bill:
    """EC2 instances of one type that ran for so many seconds together."""
    return bill.of({kind: instance_seconds / 3600 * prices.instance(kind)})


def load_balancer(prices: Prices, seconds: float, capacity_units: float = 0.0) -> Bill:
    """One application load balancer; `capacity_units` is their mean number (LCU)."""
    usd_per_hour = prices.load_balancer_usd_per_hour
    usd_per_hour += capacity_units * prices.load_balancer_usd_per_capacity_unit_hour
    return bill.of({"load balancer": seconds / 3600 * usd_per_hour})


def cluster(prices: Prices, nodes: Nodes, seconds: float, replica_seconds: float) -> Bill:
    """EKS: the control plane for `seconds`, and as many nodes as the replicas fill, whole nodes on average.

    Nodes come and go with the replicas (a node autoscaler that packs them); what its delay costs is in the
    replica-seconds if those count from being asked for.
    """
    node_seconds = replica_seconds / nodes.replicas_per_node
    return bill.of({"EKS": seconds / 3600 * prices.eks_usd_per_hour}) + instances(prices, nodes.kind, node_seconds)


def replica_usd_per_hour(prices: Prices, runs_on: Task | Nodes) -> float:
    """What one more replica costs for an hour: what a policy that weighs costs needs to know."""
    if isinstance(runs_on, Task):
        return fargate(prices, runs_on, 3600.0).total_usd
    return prices.instance(runs_on.kind) / runs_on.replicas_per_node


def billed_seconds(lives_seconds: Iterable[float]) -> float:
    """What is billed of tasks or instances that ran for so long each: by the second, at least a minute."""
    return math.fsum(max(_LEAST_BILLED_SECONDS, life) for life in lives_seconds)
