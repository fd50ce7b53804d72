"""Table I and figure 3, by arithmetic on the price list."""

import pytest

from everwarm_cli.reproduce import pricing


def test_one_configuration_explains_all_three_costs() -> None:
    found = pricing.pricing(mean_provisioned=1.0)
    assert found.ec2_usd == pytest.approx(280.32 + 16.425)
    assert found.fargate_idle_usd == pytest.approx(36.04 + 16.425, abs=0.01)
    assert found.fargate_tasks == pytest.approx(4.54, abs=0.01)
    assert found.lambda_usd_per_million == pytest.approx(0.2 + 3.5 + 0.4 * 16.6667, abs=0.001)
    assert found.lambda_requests == pytest.approx(10.61e6, rel=0.001)
    assert found.lambda_rate_per_second == pytest.approx(4.04, abs=0.01)


def test_an_idle_lambda_is_free_only_without_provisioned_concurrency() -> None:
    found = pricing.pricing(mean_provisioned=1.0)
    assert found.provisioned_usd == pytest.approx(5 * 2 * 4.1667e-6 * 730 * 3600)
    assert found.preset_provisioned_usd == pytest.approx(found.provisioned_usd / 5)
    assert found.curves[0][1] == 0.0


def test_lambda_is_cheaper_up_to_where_the_lines_meet() -> None:
    found = pricing.pricing(mean_provisioned=1.0)
    assert found.fargate_even_requests == pytest.approx(17.36e6, rel=0.001)
    assert found.ec2_even_requests == pytest.approx(28.62e6, rel=0.001)
    requests, function, _, ec2 = next(point for point in found.curves if point[1] > point[3])
    assert found.ec2_even_requests < requests < found.ec2_even_requests + 1e6
    assert function > ec2
    tasks = [point[2] for point in found.curves]
    assert tasks == sorted(tasks)
    assert tasks[0] == pytest.approx(found.fargate_idle_usd)


def test_without_a_queue_the_same_work_has_the_same_p95_everywhere() -> None:
    found = pricing.pricing(mean_provisioned=1.0)
    assert found.ec2_p95_seconds == pytest.approx(0.279, rel=0.02)
    assert found.fargate_p95_seconds == pytest.approx(0.279, rel=0.02)
