"""Wakes a revision that Knative holds at zero against its floor: an address in, whether a request got through out.

Knative's autoscaler looks at a floor only once it has numbers of the revision (knative.dev/serving@v0.42.2,
pkg/reconciler/autoscaling/kpa/scaler.go: `if desiredScale < 0 && !pa.Status.IsActivating()`). Of a revision that was at
zero when the autoscaler started, or when another of its replicas took over, it has none, and gets none without a pod: a
floor that is raised then does nothing. One request through the activator is a number. It may be given up soon, and must
be an ordinary one: a probe of Knative's own is not counted.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self
from urllib.parse import urlsplit

import httpx

from everwarm_operator.errors import WakeError
from everwarm_operator.facts import ServiceFacts
from everwarm_operator.floor import RevisionPlan

AFTER_SECONDS = 10.0
PAUSE_SECONDS = 30.0
# Under a second, so that it never looks like a request of a user's that waited for a replica: see queries.py.
PATIENCE_SECONDS = 0.8
PATH = "/v2/health/ready"

Outcome = Literal["answered", "abandoned"]


@dataclass(frozen=True, slots=True)
class Call:
    """A revision to wake, and where."""

    revision: str
    url: str


class Waker(Protocol):
    """Who sends the request."""

    async def wake(self, url: str) -> Outcome:
        """Send one request and wait for a moment only.

        Raises:
            WakeError: it did not get through.
        """


def due(
    plans: tuple[RevisionPlan, ...],
    facts: ServiceFacts,
    short_seconds: Mapping[str, float],
    woken_ago_seconds: Mapping[str, float],
) -> tuple[Call, ...]:
    """The revisions to wake now: a floor that stands for ten seconds, no replica even asked for, and no recent call.

    Args:
        plans: of the routed revisions.
        facts: of their service.
        short_seconds: by revision, for how long a floor stands that its replicas do not reach.
        woken_ago_seconds: by revision, how long ago it was called.
    """
    calls = []
    for plan in plans:
        is_short = plan.floor >= 1 and plan.replicas == 0 and short_seconds.get(plan.name, 0.0) > AFTER_SECONDS
        if is_short and woken_ago_seconds.get(plan.name, math.inf) >= PAUSE_SECONDS and facts.address:
            calls.append(Call(plan.name, _url(facts.address, plan)))
    return tuple(calls)


def _url(address: str, plan: RevisionPlan) -> str:
    """Where a request reaches this revision and no other, from inside the cluster.

    With all the traffic that is the service's own address. With a part of it, it is the revision's own Kubernetes
    Service, whose host the activator understands, too (pkg/activator/handler/context_handler.go).
    """
    parts = urlsplit(address)
    domain = parts.netloc.partition(".")[2]
    host = parts.netloc if plan.percent == 100 else f"{plan.name}.{domain}"
    return f"{parts.scheme}://{host}{PATH}"


class HttpWaker:
    """`Waker` over HTTP. Use as an async context manager."""

    def __init__(self, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._client = httpx.AsyncClient(
            timeout=PATIENCE_SECONDS,
            follow_redirects=False,
            trust_env=False,
            headers={"User-Agent": "everwarm-operator"},
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def wake(self, url: str) -> Outcome:
        """See `Waker.wake`."""
        try:
            async with self._client.stream("GET", url) as response:
                status = response.status_code
        except httpx.ReadTimeout:
            return "abandoned"  # it waits at the activator: that is all it had to do
        except httpx.HTTPError as error:
            raise WakeError(f"{url} can't be reached: {str(error) or type(error).__name__}") from error
        if status >= 400:
            raise WakeError(f"{url} answered {status}")
        return "answered"
