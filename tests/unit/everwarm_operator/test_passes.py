"""The loop against a faked cluster and a faked Prometheus, in fake time."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator

import looptime
import pytest
from prometheus_client import CollectorRegistry

from everwarm_operator.errors import BadAnswer, KubeError, Unreachable, WakeError
from everwarm_operator.passes import Passes
from everwarm_operator.settings import Settings
from everwarm_operator.telemetry import Telemetry

COLD = {"p95_seconds": 1.8, "cold_start_fraction": 0.3, "request_rate": 100.0, "service_seconds": 0.02}


class Clock:
    """Unix time that only a test moves."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(CollectorRegistry())


@pytest.fixture
def passes(cluster, prometheus, waker, telemetry, clock) -> Passes:
    return Passes(cluster, prometheus, waker, Settings(), telemetry, instance="test", clock=clock)


async def test_a_new_model_service_gets_a_knative_service_and_a_floor(cluster, passes) -> None:
    cluster.add(scaling={"minReplicas": 2, "maxReplicas": 5})
    await passes.once()
    await passes.once()
    await passes.once()
    assert cluster.annotations("PodAutoscaler", "digits-00001")["autoscaling.knative.dev/min-scale"] == "2"
    assert "autoscaling.knative.dev/min-scale" not in cluster.annotations("Revision", "digits-00001")
    status = cluster.status()
    assert status["url"] == "http://digits.ns.svc.cluster.local"
    assert (status["floor"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 1)
    assert status["revisions"] == [{"name": "digits-00001", "percent": 100, "floor": 2}]
    assert cluster.condition("Ready") == ("True", "Serving", "The model is served.")
    assert cluster.condition("ScalingActive")[:2] == ("True", "FloorHeld")


async def test_from_knative_1_21_on_the_floor_is_written_to_the_revision(cluster, passes) -> None:
    cluster.annotations_on_pods = False
    cluster.add(scaling={"minReplicas": 2})
    await passes.once()
    await passes.once()
    assert cluster.annotations("Revision", "digits-00001")["autoscaling.knative.dev/min-scale"] == "2"
    assert "autoscaling.knative.dev/min-scale" not in cluster.annotations("PodAutoscaler", "digits-00001")


async def test_nothing_is_written_while_nothing_changes(cluster, prometheus, passes, clock) -> None:
    cluster.add()
    prometheus.busy()
    for _ in range(3):
        await passes.once()
    cluster.writes.clear()
    for _ in range(20):
        clock.now += 15
        await passes.once()
    assert cluster.writes == []


async def test_figures_that_hardly_move_are_not_written(cluster, prometheus, passes, clock) -> None:
    cluster.add()
    for rate in (100.0, 100.0, 101.0, 103.0, 99.0):
        prometheus.busy(request_rate=rate)
        clock.now += 15
        await passes.once()
    assert cluster.status()["observed"]["ratePerSecond"] == 100.0
    prometheus.busy(request_rate=120.0)
    await passes.once()
    assert cluster.status()["observed"]["ratePerSecond"] == 120.0


async def test_cold_starts_raise_the_floor_without_a_new_revision(cluster, prometheus, passes, clock) -> None:
    cluster.add()
    prometheus.busy()
    await passes.once()
    await passes.once()
    prometheus.busy(**COLD)
    clock.now += 15
    await passes.once()
    assert cluster.status()["floor"] == 3  # ceil(1.5 x 100/s x 0.02 s)
    assert cluster.annotations("PodAutoscaler", "digits-00001")["autoscaling.knative.dev/min-scale"] == "3"
    assert list(cluster.objects["Revision"]) == [("ns", "digits-00001")]
    assert cluster.condition("WithinSLO") == (
        "False",
        "P95OverTarget",
        "The p95 is about 1800 ms, over the target of 500 ms.",
    )
    (event,) = cluster.events
    assert (event["reason"], event["note"]) == ("FloorRaised", cluster.status()["decision"]["sentence"])
    assert event["regarding"]["uid"] == "uid-ns-digits"


async def test_idle_replicas_are_given_back_one_at_a_time(cluster, prometheus, passes, clock) -> None:
    cluster.add(scaling={"policy": "paper", "lowUtilizationSeconds": 60})
    prometheus.busy(**COLD)
    await passes.once()
    await passes.once()
    prometheus.busy(utilization=0.1)
    floors = []
    for _ in range(13):
        clock.now += 15
        await passes.once()
        floors.append(cluster.status()["floor"])
    assert floors == [3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1]
    assert [event["reason"] for event in cluster.events] == ["FloorRaised", "FloorLowered", "FloorLowered"]


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda p: setattr(p, "error", Unreachable("Prometheus can't be reached")), "PrometheusUnreachable"),
        (lambda p: setattr(p, "error", BadAnswer("Prometheus answered with HTML")), "InvalidSamples"),
        (lambda p: p.figures.clear(), "NoSeries"),
        (lambda p: p.busy(age_seconds=61.0), "StaleSamples"),
        (lambda p: p.busy(utilization="NaN"), "InvalidSamples"),
        (lambda p: p.busy(request_rate="-1"), "InvalidSamples"),
        (lambda p: p.busy(reporting_replicas=1.0), "NoSeries"),
        (lambda p: p.busy(unseen_replicas=1.0), "NoSeries"),
    ],
    ids=["unreachable", "nonsense", "empty", "stale", "NaN", "negative", "one of three replicas", "restarted"],
)
async def test_without_data_the_floor_holds_and_says_so(cluster, prometheus, passes, clock, break_it, reason) -> None:
    cluster.add(scaling={"lowUtilizationSeconds": 60})
    prometheus.busy(**COLD)
    await passes.once()
    await passes.once()
    prometheus.busy(utilization=0.0, request_rate=0.0)
    break_it(prometheus)
    for _ in range(40):
        clock.now += 15
        await passes.once()
    assert cluster.status()["floor"] == 3
    assert cluster.annotations("PodAutoscaler", "digits-00001")["autoscaling.knative.dev/min-scale"] == "3"
    status, why, message = cluster.condition("MetricsAvailable")
    assert (status, why) == ("False", reason)
    assert message.endswith("the floor holds.")
    assert cluster.condition("WithinSLO")[0] == "Unknown"
    assert cluster.condition("Ready")[0] == "True"


async def test_a_service_at_zero_is_observed_through_the_activator(cluster, prometheus, passes, clock) -> None:
    cluster.add(scaling={"minReplicas": 0})
    await passes.once()
    cluster.scale("digits-00001", 0)
    clock.now += 15
    await passes.once()
    assert cluster.condition("MetricsAvailable")[0] == "True"
    prometheus.activator_age_seconds = None
    await passes.once()
    assert cluster.condition("MetricsAvailable")[1] == "NoSeries"


async def test_a_restarted_operator_goes_on_where_it_was(cluster, prometheus, waker, telemetry, clock, passes) -> None:
    cluster.add()
    prometheus.busy(**COLD)
    await passes.once()
    await passes.once()
    prometheus.error = Unreachable("Prometheus can't be reached")
    restarted = Passes(cluster, prometheus, waker, Settings(), telemetry, clock=clock)
    await restarted.once()
    assert cluster.status()["floor"] == 3
    cluster.objects["ModelService"]["ns", "digits"]["status"] = {}
    restarted = Passes(cluster, prometheus, waker, Settings(), telemetry, clock=clock)
    await restarted.once()
    assert cluster.status()["floor"] == 3, "with its status lost, the floor that stands counts"


@pytest.mark.parametrize("write", ["status digits", "annotate PodAutoscaler/digits-00001=3", "event FloorRaised"])
async def test_a_write_that_fails_is_made_up_for_by_the_next_pass(cluster, prometheus, passes, clock, write) -> None:
    cluster.add()
    prometheus.busy()
    await passes.once()
    await passes.once()
    prometheus.busy(**COLD)
    cluster.broken[write] = KubeError("The API server answered 500: no", 500)
    await passes.once()
    cluster.broken.clear()
    for _ in range(3):
        clock.now += 15
        await passes.once()
    assert cluster.status()["floor"] == 3
    assert cluster.annotations("PodAutoscaler", "digits-00001")["autoscaling.knative.dev/min-scale"] == "3"
    assert cluster.condition("Ready")[0] == "True"


async def test_the_decision_is_in_the_status_before_the_floor_is_written(cluster, prometheus, passes) -> None:
    cluster.add()
    prometheus.busy()
    await passes.once()
    await passes.once()
    prometheus.busy(**COLD)
    cluster.writes.clear()
    await passes.once()
    assert cluster.writes == [
        ("status", "digits"),
        ("annotate", "PodAutoscaler/digits-00001=3"),
        ("event", "FloorRaised"),
    ]


async def test_a_floor_that_can_not_be_written_is_a_condition(cluster, passes) -> None:
    cluster.add()
    cluster.broken["annotate"] = KubeError("The API server answered 403: forbidden", 403)
    for _ in range(3):
        await passes.once()
    expected = "The floor of digits-00001 can't be written: The API server answered 403: forbidden"
    assert cluster.condition("ScalingActive") == ("False", "FloorNotWritten", expected)
    assert cluster.condition("Ready") == ("False", "FloorNotWritten", expected)


async def test_a_floor_that_somebody_changes_back_is_written_again_and_reported(cluster, passes) -> None:
    cluster.add(scaling={"minReplicas": 2})
    await passes.once()
    await passes.once()
    cluster.annotations("PodAutoscaler", "digits-00001")["autoscaling.knative.dev/min-scale"] = "1"
    await passes.once()
    assert cluster.condition("ScalingActive")[:2] == ("False", "FloorReverted")
    assert cluster.annotations("PodAutoscaler", "digits-00001")["autoscaling.knative.dev/min-scale"] == "2"
    await passes.once()
    assert cluster.condition("ScalingActive")[:2] == ("True", "FloorHeld")


async def test_a_floor_that_knative_does_not_take_is_reported(cluster, passes, clock) -> None:
    cluster.add()
    await passes.once()
    await passes.once()
    cluster.scale("digits-00001", 0)
    await passes.once()
    assert cluster.condition("ScalingActive")[0] == "True", "10 s are not over"
    clock.now += 15
    await passes.once()
    status, reason, message = cluster.condition("ScalingActive")
    assert (status, reason) == ("False", "FloorNotTaken")
    assert message.endswith("waits for a first request: it is sent one.")


async def held_at_zero(cluster, passes, clock, seconds: int) -> None:
    """A floor that Knative's autoscaler does not look at, for a while of passes each 5 s."""
    for _ in range(2):
        await passes.once()
    cluster.scale("digits-00001", 0)
    for _ in range(0, seconds, 5):
        await passes.once()
        clock.now += 5


async def test_a_revision_that_is_held_at_zero_is_woken_each_half_minute(cluster, waker, passes, clock) -> None:
    cluster.add()
    await held_at_zero(cluster, passes, clock, 15)
    assert waker.urls == [], "10 s are not over"
    await held_at_zero(cluster, passes, clock, 60)
    assert waker.urls == 2 * ["http://digits.ns.svc.cluster.local/v2/health/ready"]
    (event,) = cluster.events
    assert (event["type"], event["reason"], event["regarding"]["name"]) == ("Normal", "RevisionWoken", "digits")
    assert "digits-00001" in event["note"]


async def test_the_next_time_that_it_is_held_at_zero_is_news_again(cluster, waker, passes, clock, telemetry) -> None:
    cluster.add()
    await held_at_zero(cluster, passes, clock, 20)
    cluster.scale("digits-00001", 1)
    await held_at_zero(cluster, passes, clock, 20)
    assert [event["reason"] for event in cluster.events] == 2 * ["RevisionWoken"]
    assert telemetry.registry.get_sample_value("everwarm_operator_wakes_total", {"result": "abandoned"}) == 2


async def test_a_wake_up_that_fails_is_said(cluster, waker, passes, clock, telemetry) -> None:
    cluster.add()
    waker.error = WakeError("http://digits answered 404")
    await held_at_zero(cluster, passes, clock, 30)
    (event,) = cluster.events
    assert (event["type"], event["reason"]) == ("Warning", "WakeFailed")
    assert cluster.condition("ScalingActive")[2].endswith("a first request, which failed: http://digits answered 404.")
    assert telemetry.registry.get_sample_value("everwarm_operator_wakes_total", {"result": "failed"}) == 1


async def test_a_service_that_may_scale_to_zero_is_left_asleep(cluster, waker, passes, clock) -> None:
    cluster.add(scaling={"minReplicas": 0})
    await held_at_zero(cluster, passes, clock, 120)
    assert waker.urls == []


async def test_a_bad_object_does_not_hold_up_the_others(cluster, passes, telemetry) -> None:
    cluster.add("bad", concurrency="many")
    cluster.add("taken")
    cluster.objects["Service"]["ns", "taken"] = {"metadata": {"name": "taken", "namespace": "ns"}, "spec": {}}
    cluster.add("broken")
    cluster.broken["apply broken"] = KubeError("The API server answered 400: resources are wrong", 400)
    cluster.add("buggy")
    cluster.broken["apply buggy"] = ZeroDivisionError("a bug")
    cluster.add("good")
    for _ in range(2):
        await passes.once()
    assert cluster.condition("Ready", "good")[0] == "True"
    assert cluster.condition("Ready", "bad")[:2] == ("False", "InvalidSpec")
    assert "spec.concurrency: Input should be a valid integer" in cluster.condition("Ready", "bad")[2]
    assert cluster.condition("Ready", "taken")[1] == "ReconcileFailed"
    assert cluster.objects["Service"]["ns", "taken"]["spec"] == {}, "somebody else's Service is left alone"
    assert cluster.condition("Ready", "broken") == (
        "False",
        "ReconcileFailed",
        "The API server answered 400: resources are wrong",
    )
    assert cluster.condition("Ready", "buggy")[1] == "InternalError"
    assert telemetry.registry.get_sample_value("everwarm_operator_service_errors_total") == 8


async def test_a_knative_that_is_not_there_is_said_on_each_service(cluster, passes) -> None:
    cluster.add()
    cluster.broken["list children"] = KubeError("The API server answered 404: no such kind", 404)
    await passes.once()
    assert cluster.condition("Ready") == ("False", "ReconcileFailed", "The API server answered 404: no such kind")


async def test_a_spec_that_changes_makes_one_new_revision_and_moves_the_floor_there(cluster, passes) -> None:
    cluster.add(scaling={"minReplicas": 2})
    await passes.once()
    await passes.once()
    cluster.change(image="server:2")
    for _ in range(4):
        await passes.once()
    assert list(cluster.objects["Revision"]) == [("ns", "digits-00001"), ("ns", "digits-00002")]
    assert cluster.annotations("PodAutoscaler", "digits-00002")["autoscaling.knative.dev/min-scale"] == "2"
    assert cluster.status()["revisions"] == [{"name": "digits-00002", "percent": 100, "floor": 2}]
    assert cluster.status()["observedGeneration"] == 2


PODS_OF_OLD, PODS_OF_NEW = "digits-00001", "digits-00002"


async def rolled_out(cluster, passes, number: int = 3) -> None:
    """A service with a floor of 2 gets a new revision, and some passes."""
    cluster.add(scaling={"minReplicas": 2})
    for _ in range(3):
        await passes.once()
    cluster.change(image="server:2")
    for _ in range(number):
        await passes.once()


def floor_on(cluster, kind: str, name: str) -> str | None:
    return cluster.annotations(kind, name).get("autoscaling.knative.dev/min-scale")


@pytest.mark.parametrize(("annotations_on_pods", "kind"), [(True, "PodAutoscaler"), (False, "Revision")])
async def test_a_revision_that_leaves_the_traffic_loses_its_floor(cluster, passes, annotations_on_pods, kind) -> None:
    cluster.annotations_on_pods = annotations_on_pods
    await rolled_out(cluster, passes)
    assert (floor_on(cluster, kind, PODS_OF_OLD), floor_on(cluster, kind, PODS_OF_NEW)) == (None, "2")
    await passes.once()
    assert cluster.status()["revisions"] == [{"name": PODS_OF_NEW, "percent": 100, "floor": 2}]
    assert cluster.condition("Ready")[0] == "True"


async def test_what_could_not_be_taken_off_is_remembered_by_the_status_alone(
    cluster, prometheus, waker, passes, telemetry, clock
) -> None:
    cluster.broken["annotate PodAutoscaler/digits-00001=None"] = KubeError("The API server answered 500: no", 500)
    await rolled_out(cluster, passes, number=5)
    assert cluster.status()["revisions"] == [
        {"name": PODS_OF_NEW, "percent": 100, "floor": 2},
        {"name": PODS_OF_OLD, "percent": 0, "floor": 2},
    ]
    assert cluster.condition("Ready")[0] == "True", "it harms nobody before a rollback"
    cluster.broken.clear()
    restarted = Passes(cluster, prometheus, waker, Settings(), telemetry, clock=clock)
    await restarted.once()
    assert floor_on(cluster, "PodAutoscaler", PODS_OF_OLD) is None


async def test_a_floor_of_somebody_elses_is_left_on_an_old_revision(cluster, passes) -> None:
    await rolled_out(cluster, passes, number=1)
    cluster.annotations("PodAutoscaler", PODS_OF_OLD)["autoscaling.knative.dev/min-scale"] = "7"
    for _ in range(3):
        await passes.once()
    assert floor_on(cluster, "PodAutoscaler", PODS_OF_OLD) == "7"
    assert [revision["name"] for revision in cluster.status()["revisions"]] == [PODS_OF_NEW]


async def test_a_rollback_brings_the_present_floor_to_the_old_revision(cluster, passes) -> None:
    await rolled_out(cluster, passes)
    cluster.objects["Service"]["ns", "digits"]["status"]["traffic"] = [{"revisionName": PODS_OF_OLD, "percent": 100}]
    for _ in range(3):
        await passes.once()
    assert (floor_on(cluster, "PodAutoscaler", PODS_OF_OLD), floor_on(cluster, "PodAutoscaler", PODS_OF_NEW)) == (
        "2",
        None,
    )


async def test_a_service_that_is_being_deleted_is_left_alone(cluster, passes) -> None:
    cluster.add()["metadata"]["deletionTimestamp"] = "2027-01-15T08:00:00Z"
    await passes.once()
    assert cluster.writes == []


async def test_the_number_of_queries_does_not_grow_with_the_services(cluster, prometheus, passes) -> None:
    for number in range(50):
        cluster.add(f"model-{number}")
    await passes.once()
    assert prometheus.asked == 17
    assert len(prometheus.asked_for_past) == 1
    assert cluster.lists == 1


async def test_in_preview_decisions_are_shown_and_nothing_else_is_written(cluster, prometheus, passes, clock) -> None:
    cluster.add(scaling={"policy": "paper", "mode": "Preview"})
    prometheus.busy(**COLD)
    for _ in range(3):
        await passes.once()
        clock.now += 15
    assert cluster.status()["floor"] == 3
    assert cluster.status()["revisions"] == [{"name": "digits-00001", "percent": 100, "floor": 0}]
    assert cluster.condition("ScalingActive")[:2] == ("False", "Preview")
    assert {verb for verb, _ in cluster.writes} == {"apply", "status"}

    cluster.change(scaling={"policy": "paper", "mode": "Active"})
    await passes.once()
    assert floor_on(cluster, "PodAutoscaler", "digits-00001") == "3"


async def test_paused_the_floor_is_a_persons(cluster, prometheus, passes, clock) -> None:
    cluster.add(scaling={"policy": "paper"})
    prometheus.busy(**COLD)
    await passes.once()
    await passes.once()
    cluster.change(scaling={"policy": "paper", "mode": "Paused"})
    cluster.annotations("PodAutoscaler", "digits-00001")["autoscaling.knative.dev/min-scale"] = "7"
    cluster.writes.clear()
    for _ in range(3):
        clock.now += 15
        await passes.once()
    assert cluster.status()["floor"] == 7
    assert cluster.status()["decision"]["sentence"] == "Scaling is paused: the floor stays at 7."
    assert cluster.condition("ScalingActive")[:2] == ("False", "Paused")
    assert {verb for verb, _ in cluster.writes} == {"status"}

    prometheus.busy()
    cluster.change(scaling={"policy": "paper", "mode": "Active"})
    await passes.once()
    assert floor_on(cluster, "PodAutoscaler", "digits-00001") == "7", "it goes on from what stands"


def in_fake_time(test):
    """Run an async test in a loop whose time passes at once."""

    @functools.wraps(test)
    def run(**fixtures):
        with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
            runner.run(test(**fixtures))

    return run


@contextlib.asynccontextmanager
async def running(passes: Passes) -> AsyncIterator[None]:
    task = asyncio.create_task(passes.run())
    yield
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@in_fake_time
async def test_the_loop_passes_every_interval(cluster, passes) -> None:
    async with running(passes):
        await asyncio.sleep(46)
        assert cluster.lists == 4
        assert passes.seconds_since_last() == pytest.approx(1, abs=0.01)


@in_fake_time
async def test_a_request_is_served_at_once_and_alone(cluster, passes) -> None:
    async with running(passes):
        cluster.add()
        cluster.add("other")
        await asyncio.sleep(20)
        cluster.change(image="server:2")
        cluster.change("other", image="server:2")
        passes.request(("ns", "digits"))
        await asyncio.sleep(1)
        assert ("ns", "digits-00002") in cluster.objects["Revision"]
        assert ("ns", "other-00002") not in cluster.objects["Revision"]
        await asyncio.sleep(10)
        assert ("ns", "other-00002") in cluster.objects["Revision"]


@in_fake_time
async def test_a_crowd_of_requests_is_one_pass_over_all(cluster, passes) -> None:
    async with running(passes):
        await asyncio.sleep(1)
        for number in range(500):
            cluster.add(f"model-{number}")
            passes.request(("ns", f"model-{number}"))
        await asyncio.sleep(1)
        assert cluster.lists == 2
        assert len(cluster.objects["Service"]) == 500


@in_fake_time
async def test_the_loop_outlives_a_failing_api_server(cluster, passes, telemetry) -> None:
    async with running(passes):
        cluster.broken["list"] = KubeError("The API server can't be reached")
        await asyncio.sleep(31)
        cluster.broken["list"] = RuntimeError("a bug")
        await asyncio.sleep(15)
        cluster.broken.clear()
        cluster.add()
        await asyncio.sleep(30)
        assert cluster.condition("Ready")[0] == "True"
        assert telemetry.registry.get_sample_value("everwarm_operator_passes_failed_total") == 4


@in_fake_time
async def test_who_does_not_lead_does_nothing_and_stays_alive(cluster, prometheus, waker, telemetry, clock) -> None:
    leads = [False]
    passes = Passes(cluster, prometheus, waker, Settings(), telemetry, leads=lambda: leads[0], clock=clock)
    cluster.add()
    async with running(passes):
        passes.request(("ns", "digits"))
        await asyncio.sleep(61)
        assert (cluster.writes, cluster.lists, prometheus.asked) == ([], 0, 0)
        assert passes.seconds_since_last() == pytest.approx(1, abs=1)

        leads[0] = True
        passes.leadership_changed(True)
        await asyncio.sleep(1)
        assert ("apply", "digits") in cluster.writes
        assert telemetry.registry.get_sample_value("everwarm_operator_leader") == 1


async def test_a_new_leader_goes_on_from_what_the_last_one_wrote(cluster, prometheus, passes, clock) -> None:
    cluster.add(scaling={"policy": "paper"})
    prometheus.busy(**COLD)
    await passes.once()
    await passes.once()
    assert cluster.status()["floor"] == 3
    cluster.objects["ModelService"]["ns", "digits"]["status"]["floor"] = 5  # by another, while this one stood by
    passes.leadership_changed(True)
    clock.now += 15
    await passes.once()
    assert cluster.status()["floor"] == 5
