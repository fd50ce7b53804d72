"""Of several candidates one leads, by clocks that nobody compares; and who lost time writes nothing."""

import asyncio
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everwarm_operator.errors import KubeError, NotLeader
from everwarm_operator.floor import Target
from everwarm_operator.lease import Fenced, Leadership, Terms

KEY = ("everwarm-system", "everwarm-operator")
TERMS = Terms()


class Leases:
    """An API server with one Lease, which it replaces only for who has seen the last version."""

    def __init__(self) -> None:
        self.stored: dict[str, Any] | None = None
        self.version = 0
        self.error: KubeError | None = None

    async def lease(self, key: tuple[str, str]) -> dict[str, Any] | None:
        assert key == KEY
        if self.error is not None:
            raise self.error
        return copy.deepcopy(self.stored)

    async def write_lease(self, manifest: Any) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        given = manifest["metadata"].get("resourceVersion")
        if given != (self.stored or {"metadata": {}})["metadata"].get("resourceVersion"):
            raise KubeError("it was changed", 409)
        self.version += 1
        self.stored = copy.deepcopy(dict(manifest))
        self.stored["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.stored)

    def __getattr__(self, name: str) -> Any:
        return None  # what a Fenced passes on and nobody here calls


class Candidate:
    """A process with a clock of its own, which a test moves."""

    def __init__(self, leases: Leases, identity: str, started_at: float = 0.0) -> None:
        self.now = started_at
        self.told: list[bool] = []
        self.leadership = Leadership(leases, KEY, identity, self.told.append, clock=lambda: self.now)  # type: ignore[arg-type]

    async def round(self, passed: float = 0.0) -> bool:
        self.now += passed
        await self.leadership.round()
        return self.leadership.leads()


@pytest.fixture
def leases() -> Leases:
    return Leases()


async def test_the_first_one_takes_it_and_keeps_it(leases: Leases) -> None:
    first, second = Candidate(leases, "first"), Candidate(leases, "second", started_at=7_000.0)
    assert [await first.round(), await second.round()] == [True, False]
    for _ in range(20):
        assert [await first.round(3), await second.round(3)] == [True, False]
    assert (first.told, second.told) == ([True], [])
    assert leases.stored is not None
    assert leases.stored["spec"]["holderIdentity"] == "first"
    assert leases.stored["spec"]["leaseTransitions"] == 0


async def test_another_takes_over_within_20_seconds_of_the_last_sign_of_life(leases: Leases) -> None:
    first, second = Candidate(leases, "first"), Candidate(leases, "second")
    await first.round()
    took = 0.0
    while not await second.round(3):
        took += 3
    assert 15 <= took + 3 <= 20
    assert leases.stored is not None
    assert leases.stored["spec"]["leaseTransitions"] == 1


async def test_a_leader_that_was_stopped_knows_it_before_it_writes(leases: Leases) -> None:
    first, second = Candidate(leases, "first"), Candidate(leases, "second")
    await first.round()
    await second.round()
    first.now += 10  # stopped; not one line of its code ran in between
    assert not first.leadership.leads()
    assert not await second.round(14.9), "and still nobody else leads"


async def test_who_lost_the_lease_to_another_is_told(leases: Leases) -> None:
    first, second = Candidate(leases, "first"), Candidate(leases, "second")
    await first.round()
    await second.round()
    await second.round(15)
    assert not await first.round(16)
    assert (first.told, second.told) == ([True, False], [True])


async def test_at_its_end_a_leader_lets_go_at_once(leases: Leases) -> None:
    first, second = Candidate(leases, "first"), Candidate(leases, "second")
    task = asyncio.create_task(first.leadership.run())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert first.leadership.leads()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not first.leadership.leads()
    assert await second.round()


async def test_without_an_api_server_leadership_ends_by_itself_and_comes_back(leases: Leases) -> None:
    only = Candidate(leases, "only")
    assert await only.round()
    leases.error = KubeError("The API server can't be reached")
    assert [await only.round(3) for _ in range(4)] == [True, True, True, False]
    leases.error = None
    assert await only.round(3)
    assert only.told == [True, False, True]


async def test_a_lease_that_somebody_deleted_is_made_again(leases: Leases) -> None:
    only = Candidate(leases, "only")
    await only.round()
    leases.stored = None
    await only.round(3)
    assert await only.round(3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), st.floats(0, 20), st.booleans()), min_size=1, max_size=60))
def test_never_two_lead_whatever_is_stopped_and_for_how_long(steps: list[tuple[str, float, bool]]) -> None:
    """Each step: time passes for all, and one of them looks; its answer may be lost on the way back."""

    async def play() -> None:
        leases = Leases()
        candidates = {
            name: Candidate(leases, name, started_at=at) for name, at in {"a": 0.0, "b": 50.0, "c": 9e6}.items()
        }
        for name, passed, lost in steps:
            for candidate in candidates.values():
                candidate.now += passed
            assert sum(candidate.leadership.leads() for candidate in candidates.values()) <= 1
            if lost:
                written = leases.write_lease

                async def write_and_lose(manifest: Any, written: Any = written) -> Any:
                    await written(manifest)
                    raise KubeError("The API server can't be reached")

                leases.write_lease = write_and_lose  # type: ignore[method-assign]
                await candidates[name].round()
                del leases.write_lease
            else:
                await candidates[name].round()
            assert sum(candidate.leadership.leads() for candidate in candidates.values()) <= 1

    asyncio.run(play())


@pytest.mark.parametrize("call", ["apply_service", "annotate", "patch_status", "create_event"])
async def test_who_does_not_lead_writes_nothing(cluster: Any, call: str) -> None:
    left = [0.0]
    fenced = Fenced(cluster, lambda: left[0])
    arguments = {
        "apply_service": ({"metadata": {"namespace": "ns", "name": "digits"}, "spec": {}},),
        "annotate": (Target.REVISION, ("ns", "digits"), "a", "1"),
        "patch_status": (("ns", "digits"), {"floor": 1}),
        "create_event": ({"reason": "FloorRaised"},),
    }[call]
    with pytest.raises(NotLeader):
        await getattr(fenced, call)(*arguments)
    assert cluster.writes == []
    assert await fenced.modelservices(None) == []


async def test_a_write_that_hangs_ends_before_another_may_lead(cluster: Any) -> None:
    async def hangs(*_: Any) -> None:
        await asyncio.sleep(3600)

    cluster.patch_status = hangs
    fenced = Fenced(cluster, lambda: 0.01, grace_seconds=0.01)
    with pytest.raises(NotLeader):
        await fenced.patch_status(("ns", "digits"), {})


@pytest.mark.parametrize(("retry", "deadline", "duration"), [(3, 15, 10), (10, 5, 15), (0, 5, 15)])
def test_terms_that_let_two_lead_are_refused(retry: float, deadline: float, duration: float) -> None:
    with pytest.raises(ValueError, match="shorter"):
        Terms(duration_seconds=duration, deadline_seconds=deadline, retry_seconds=retry)
