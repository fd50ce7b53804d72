"""Watch events -> requests for early passes."""

import asyncio
import contextlib
from itertools import islice
from typing import Any

import kopf
import pytest

from everwarm_operator import handlers
from everwarm_operator.handlers import Changes


def model_service(generation: int = 1, uid: str = "u", **status: Any) -> dict[str, Any]:
    metadata = {"namespace": "ns", "name": "digits", "uid": uid, "generation": generation}
    return {"kind": "ModelService", "metadata": metadata, "status": status}


def child(ready: str = "True", percent: int = 100, generation: int = 1, **status: Any) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {"namespace": "ns", "name": "digits", "uid": "c", "generation": generation},
        "status": {
            "conditions": [{"type": "Ready", "status": ready}],
            "traffic": [{"revisionName": "r", "percent": percent}],
            **status,
        },
    }


@pytest.mark.parametrize(
    ("events", "requests"),
    [
        ([(None, model_service())], 1),
        ([("ADDED", model_service()), ("MODIFIED", model_service())], 1),
        ([("ADDED", model_service()), ("MODIFIED", model_service(floor=3))], 1),
        ([("ADDED", model_service()), ("MODIFIED", model_service(2))], 2),
        ([("ADDED", model_service()), ("DELETED", model_service()), ("ADDED", model_service(uid="v"))], 3),
        ([("ADDED", model_service()), ("ADDED", model_service(uid="v"))], 2),
        ([("ADDED", child()), ("MODIFIED", child(address="x"))], 1),
        ([("ADDED", child("Unknown")), ("MODIFIED", child())], 2),
        ([("ADDED", child()), ("MODIFIED", child(percent=50))], 2),
        ([("ADDED", child()), ("MODIFIED", child(generation=2))], 2),
        ([("ADDED", child()), ("ADDED", model_service())], 2),
    ],
    ids=[
        "at the start",
        "nothing changed",
        "our own status",
        "another spec",
        "made anew",
        "made anew unseen",
        "a detail of the child",
        "the child gets ready",
        "traffic moves",
        "the child's spec",
        "two kinds",
    ],
)
def test_only_what_calls_for_action_asks_for_a_pass(events: list, requests: int) -> None:
    asked: list[tuple[str, str]] = []
    changes = Changes(asked.append)
    for kind, body in events:
        changes.notice(body["kind"], kind, body)
    assert asked == [("ns", "digits")] * requests


def test_kopf_never_runs_out_of_patience_and_posts_nothing() -> None:
    settings = kopf.OperatorSettings()
    handlers.configure(settings)
    assert list(islice(settings.networking.error_backoffs, 1000))[-1] == 10.0
    assert list(islice(settings.networking.error_backoffs, 2)) == [1, 1], "each request begins anew"
    assert settings.posting.enabled is False
    assert settings.scanning.disabled is True


class Loop:
    """Passes that only run."""

    def __init__(self) -> None:
        self.age_seconds: float | None = None
        self.asked: list[tuple[str, str]] = []
        self.ended = False
        self.closed = False

    def request(self, key: tuple[str, str]) -> None:
        self.asked.append(key)

    def seconds_since_last(self) -> float | None:
        return self.age_seconds

    async def run(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    @contextlib.asynccontextmanager
    async def opened(self):
        yield self
        self.closed = True


def handlers_of(registry: kopf.OperatorRegistry) -> dict[str, Any]:
    found = [*registry._activities.get_all_handlers(), *registry._watching.get_all_handlers()]
    return {handler.fn.__name__: handler.fn for handler in found}


async def test_the_loop_lives_from_startup_to_cleanup() -> None:
    loop = Loop()
    registry = kopf.OperatorRegistry()
    handlers.register(registry, loop.opened)
    functions = handlers_of(registry)
    with pytest.raises(kopf.PermanentError, match="does not run"):
        await functions["probe"]()
    await functions["startup"](settings=kopf.OperatorSettings())
    await functions["model_service"](event={"type": "ADDED", "object": model_service()})
    await functions["knative_service"](event={"type": "ADDED", "object": child()})
    assert loop.asked == [("ns", "digits")] * 2
    assert await functions["probe"]() == 0.0
    loop.age_seconds = 12.5
    assert await functions["probe"]() == 12.5
    loop.age_seconds = 301.0
    with pytest.raises(kopf.PermanentError, match="301 s ago"):
        await functions["probe"]()
    await asyncio.sleep(0)
    await functions["cleanup"]()
    assert (loop.ended, loop.closed) == (True, True)
