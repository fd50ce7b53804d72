"""Figure 3 and Table I: what Lambda, EC2 and Fargate cost over the requests of a month, and what the table implies.

The paper gives three monthly costs and no configuration. `CONFIGURATION` is one that is consistent with all of them;
what must then be true of the load and of the tasks follows by arithmetic from the dated price list.
"""

import math
from dataclasses import dataclass

from everwarm_cli.reproduce.assumptions import PAPER, SECONDS_PER_MONTH
from everwarm_planner import queueing
from everwarm_planner.cost import bill, functions, servers
from everwarm_planner.cost.functions import Function, Gateway, Provisioned
from everwarm_planner.cost.prices import US_EAST_1
from everwarm_planner.cost.servers import Task
from everwarm_planner.queueing import Traffic

INSTANCE, INSTANCES, INSTANCE_SLOTS = "m5.xlarge", 2, 4
TASK = Task(1.0, 2.0)
FUNCTION = Function(PAPER.memory_gb, PAPER.service_seconds, Gateway.REST)
PAPER_USD = {"Lambda": 110.0, "EC2": 300.0, "Fargate": 180.0}
PAPER_IDLE_USD = {"Lambda": 0.0, "EC2": 300.0, "Fargate": 50.0}
PAPER_P95_SECONDS = {"Lambda": 0.32, "EC2": 0.18, "Fargate": 0.22}
PAPER_COLD = {"Lambda": "400 to 800 ms", "EC2": "50 ms", "Fargate": "200 ms"}
_PROVISIONED = 5
_CHART_REQUESTS = tuple(million * 1e6 for million in range(41))


@dataclass(frozen=True, slots=True)
class Pricing:
    """What follows from the price list; USD are per month.

    Attributes:
        ec2_usd: the two instances and a load balancer; also when idle.
        fargate_idle_usd: one task and a load balancer.
        fargate_tasks: tasks on average at the paper's cost.
        lambda_requests: requests a month at the paper's cost.
        lambda_rate_per_second: the same as a mean rate.
        lambda_usd_per_million: requests, API Gateway and duration.
        provisioned_usd: five provisioned instances, idle.
        preset_provisioned_usd: what the adaptive run of the preset keeps provisioned.
        fargate_even_requests, ec2_even_requests: at which Lambda costs as much.
        ec2_p95_seconds, fargate_p95_seconds: of Lambda's work on those, by queueing theory; without any wait it is
            the same.
        curves: (requests a month, USD of Lambda, of Fargate and of EC2): figure 3.
    """

    ec2_usd: float
    fargate_idle_usd: float
    fargate_tasks: float
    lambda_requests: float
    lambda_rate_per_second: float
    lambda_usd_per_million: float
    provisioned_usd: float
    preset_provisioned_usd: float
    fargate_even_requests: float
    ec2_even_requests: float
    ec2_p95_seconds: float
    fargate_p95_seconds: float
    curves: tuple[tuple[float, float, float, float], ...]


def pricing(mean_provisioned: float) -> Pricing:
    """Everything that the price list says; `mean_provisioned` instances were kept in the preset's adaptive run."""
    balancer = servers.load_balancer(US_EAST_1, SECONDS_PER_MONTH).total_usd
    task = servers.fargate(US_EAST_1, TASK, SECONDS_PER_MONTH).total_usd
    ec2 = servers.instances(US_EAST_1, INSTANCE, INSTANCES * SECONDS_PER_MONTH).total_usd + balancer
    per_request = functions.request_usd(US_EAST_1, FUNCTION)
    requests = PAPER_USD["Lambda"] / per_request
    rate = requests / SECONDS_PER_MONTH
    tasks = (PAPER_USD["Fargate"] - balancer) / task
    return Pricing(
        ec2_usd=ec2,
        fargate_idle_usd=task + balancer,
        fargate_tasks=tasks,
        lambda_requests=requests,
        lambda_rate_per_second=rate,
        lambda_usd_per_million=per_request * 1e6,
        provisioned_usd=_provisioned_usd(_PROVISIONED),
        preset_provisioned_usd=_provisioned_usd(mean_provisioned),
        fargate_even_requests=bill.break_even_requests(per_request, 0.0, PAPER_USD["Fargate"]),
        ec2_even_requests=bill.break_even_requests(per_request, 0.0, ec2),
        ec2_p95_seconds=_p95_seconds(rate, INSTANCES * INSTANCE_SLOTS),
        fargate_p95_seconds=_p95_seconds(rate, math.floor(tasks)),
        curves=tuple(_curve(count, per_request, balancer, task, ec2) for count in _CHART_REQUESTS),
    )


def _curve(
    requests: float, per_request: float, balancer: float, task: float, ec2: float
) -> tuple[float, float, float, float]:
    """Fargate with as many whole tasks as theory asks for at this mean rate, at least one; EC2 does not move."""
    rate = requests / SECONDS_PER_MONTH
    traffic = Traffic(rate, PAPER.service_seconds, math.expm1(PAPER.service_sigma**2))
    tasks = max(1, queueing.least_servers(traffic, PAPER_P95_SECONDS["Lambda"]) or 0)
    return requests, requests * per_request, balancer + tasks * task, ec2


def _provisioned_usd(instances: float) -> float:
    kept = Provisioned(instances * SECONDS_PER_MONTH, 0.0)
    return functions.invoice(US_EAST_1, FUNCTION, 0.0, provisioned=kept).total_usd


def _p95_seconds(rate: float, servers_count: int) -> float:
    traffic = Traffic(rate, PAPER.service_seconds, math.expm1(PAPER.service_sigma**2))
    return queueing.waiting(traffic, servers_count).latency_quantile(0.95)
