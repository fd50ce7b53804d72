"""Bills by hand, the paper's Table I as one consistent set of usages gives it, and where one beats the other."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_planner.cost import bill, functions, servers
from everwarm_planner.cost.bill import break_even_requests
from everwarm_planner.cost.functions import Function, Gateway, Provisioned
from everwarm_planner.cost.prices import HOURS_PER_MONTH, US_EAST_1
from everwarm_planner.cost.servers import Nodes, Task

MONTH_SECONDS = HOURS_PER_MONTH * 3600
MODEL = Function(memory_gb=2.0, duration_seconds=0.2)  # what Table I's Lambda row is consistent with
TASK = Task(vcpus=1.0, memory_gb=2.0)


def lambda_usd(requests: float, gateway: Gateway = Gateway.REST) -> float:
    return functions.invoice(US_EAST_1, replace(MODEL, gateway=gateway), requests).total_usd


def fargate_usd(tasks: float) -> float:
    balancer = servers.load_balancer(US_EAST_1, MONTH_SECONDS)
    return (servers.fargate(US_EAST_1, TASK, tasks * MONTH_SECONDS) + balancer).total_usd


def ec2_usd(instances: float) -> float:
    balancer = servers.load_balancer(US_EAST_1, MONTH_SECONDS)
    return (servers.instances(US_EAST_1, "m5.xlarge", instances * MONTH_SECONDS) + balancer).total_usd


def test_a_function_is_billed_by_requests_gateway_and_memory_times_time() -> None:
    invoice = functions.invoice(US_EAST_1, MODEL, 1_000_000)
    assert invoice.items_usd == {
        "requests": pytest.approx(0.20),
        "gateway": pytest.approx(3.50),
        "duration": pytest.approx(400_000 * 0.0000166667),
        "provisioned": 0.0,
        "provisioned duration": 0.0,
    }
    assert invoice.total_usd == pytest.approx(10.37, abs=0.01)


def test_provisioned_concurrency_is_paid_idle_and_its_requests_cost_less_on_top() -> None:
    provisioned = Provisioned(instance_seconds=5 * MONTH_SECONDS, requests=600_000)
    invoice = functions.invoice(US_EAST_1, MODEL, 1_000_000, provisioned=provisioned, initialisation_seconds=100.0)
    assert invoice.items_usd["provisioned"] == pytest.approx(109.5, abs=0.1)
    assert invoice.items_usd["provisioned duration"] == pytest.approx(600_000 * 0.4 * 0.0000097222)
    assert invoice.items_usd["duration"] == pytest.approx((400_000 * 0.4 + 200.0) * 0.0000166667)


@pytest.mark.parametrize(
    ("changes", "end", "expected"),
    [
        ([(0.0, 2)], 300.0, 600.0),
        ([(0.0, 2)], 301.0, 1200.0),
        ([(0.0, 1), (100.0, 3), (200.0, 1)], 900.0, 900.0 + 2 * 300.0),
        ([(0.0, 0)], 900.0, 0.0),
        ([], 900.0, 0.0),
    ],
    ids=["exact", "over", "a short rise", "none", "nothing"],
)
def test_provisioned_instances_are_billed_in_steps_of_five_minutes(
    changes: list[tuple[float, int]], end: float, expected: float
) -> None:
    assert functions.provisioned_seconds(changes, end) == expected


def test_duration_is_rounded_up_to_the_millisecond() -> None:
    assert Function(1.0, 0.2).gb_seconds == pytest.approx(0.200)
    assert Function(1.0, 0.2001).gb_seconds == pytest.approx(0.201)


def test_arm_and_a_missing_gateway_cost_less() -> None:
    plain = functions.request_usd(US_EAST_1, replace(MODEL, gateway=Gateway.NONE, arm=True))
    assert plain == pytest.approx(0.2e-6 + 0.4 * 0.0000133334)


def test_table_1_follows_from_one_set_of_usages() -> None:
    """The paper gives none, so this is a fit: Lambda $110, EC2 $300, Fargate $180, idle $0, $300 and $50."""
    assert lambda_usd(10.6e6) == pytest.approx(110, abs=0.5)
    assert lambda_usd(14.0e6, Gateway.HTTP) == pytest.approx(110, abs=0.5)
    assert ec2_usd(2) == pytest.approx(296.7, abs=0.1)
    assert fargate_usd(4.54) == pytest.approx(180, abs=0.5)
    assert (lambda_usd(0), fargate_usd(1)) == (0.0, pytest.approx(52.5, abs=0.1))


def test_table_1_s_idle_lambda_has_no_provisioned_concurrency() -> None:
    """$0 when idle contradicts adaptive provisioning: five warm instances alone cost as much as the whole row."""
    idle = functions.invoice(US_EAST_1, MODEL, 0, provisioned=Provisioned(5 * MONTH_SECONDS, 0)).total_usd
    assert idle == pytest.approx(lambda_usd(10.6e6), rel=0.01)


def test_functions_pay_until_a_rate_that_is_known() -> None:
    per_request = functions.request_usd(US_EAST_1, MODEL)
    fargate = break_even_requests(per_request, 0.0, fargate_usd(4.54))
    ec2 = break_even_requests(per_request, 0.0, ec2_usd(2))
    assert (fargate / 1e6, fargate / MONTH_SECONDS) == (pytest.approx(17.4, abs=0.1), pytest.approx(6.6, abs=0.05))
    assert (ec2 / 1e6, ec2 / MONTH_SECONDS) == (pytest.approx(28.6, abs=0.1), pytest.approx(10.9, abs=0.05))


@pytest.mark.parametrize(
    ("per_request", "fixed", "other", "expected"),
    [(0.5, 10.0, 15.0, 10.0), (0.0, 1.0, 2.0, math.inf), (0.5, 3.0, 2.0, 0.0)],
)
def test_break_even(per_request: float, fixed: float, other: float, expected: float) -> None:
    assert break_even_requests(per_request, fixed, other) == expected


def test_a_cluster_is_its_control_plane_and_the_nodes_that_its_replicas_fill() -> None:
    invoice = servers.cluster(US_EAST_1, Nodes("g5.xlarge", 2), MONTH_SECONDS, 6 * MONTH_SECONDS)
    assert invoice.items_usd == {"EKS": pytest.approx(73.0), "g5.xlarge": pytest.approx(3 * 730 * 1.006)}


def test_what_one_more_replica_costs() -> None:
    assert servers.replica_usd_per_hour(US_EAST_1, TASK) == pytest.approx(0.04048 + 2 * 0.004445)
    assert servers.replica_usd_per_hour(US_EAST_1, Nodes("g4dn.xlarge", 4)) == pytest.approx(0.526 / 4)


def test_a_load_balancer_is_billed_for_its_use_too() -> None:
    assert servers.load_balancer(US_EAST_1, 7200.0, 3.0).total_usd == pytest.approx(2 * (0.0225 + 3 * 0.008))


def test_a_task_is_billed_for_a_minute_at_least() -> None:
    assert servers.billed_seconds([5.0, 60.0, 61.5]) == 181.5


def test_bills_add_up_by_item() -> None:
    both = bill.of({"a": 1.0, "b": 2.0}) + bill.of({"b": 3.0, "c": 4.0})
    assert (dict(both.items_usd), both.total_usd) == ({"a": 1.0, "b": 5.0, "c": 4.0}, 10.0)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.floats(0, 1), st.floats(0, 1e7))
def test_more_use_never_costs_less(requests: float, more: float, part: float, kept: float) -> None:
    def usd(count: float) -> float:
        return functions.invoice(US_EAST_1, MODEL, count, provisioned=Provisioned(kept, part * count)).total_usd

    assert usd(requests + more) >= usd(requests) >= 0


def test_prices_of_one_s_own() -> None:
    own = replace(US_EAST_1, instance_usd_per_hour={"h100": 2.5})
    assert servers.replica_usd_per_hour(own, Nodes("h100")) == 2.5
    with pytest.raises(ValueError, match=r"no price is known of 'h200', but of h100"):
        own.instance("h200")
    with pytest.raises(ValueError, match="eks_usd_per_hour can't be -1"):
        replace(US_EAST_1, eks_usd_per_hour=-1)
    with pytest.raises(ValueError, match="h100 can't be nan"):
        replace(US_EAST_1, instance_usd_per_hour={"h100": math.nan})


@pytest.mark.parametrize(
    "make",
    [lambda: Function(0, 1), lambda: Function(1, 0), lambda: Task(0, 1), lambda: Nodes("m5.xlarge", 0)],
    ids=["memory", "duration", "vcpus", "replicas"],
)
def test_sizes_that_can_not_be_are_refused(make) -> None:
    with pytest.raises(ValueError, match=r"no function|no task|takes none"):
        make()
