"""Who is woken, where, and what the request is."""

import httpx
import pytest

from everwarm_operator import wake
from everwarm_operator.errors import WakeError
from everwarm_operator.facts import ServiceFacts
from everwarm_operator.floor import RevisionPlan, Target
from everwarm_operator.wake import Call, HttpWaker

FACTS = ServiceFacts(address="http://digits.ns.svc.cluster.local")
URL = "http://digits.ns.svc.cluster.local/v2/health/ready"


def plan(name: str = "r", floor: int = 1, replicas: int = 0, percent: int = 100) -> RevisionPlan:
    return RevisionPlan(name, percent, floor, floor, Target.REVISION, replicas)


@pytest.mark.parametrize(
    ("plans", "short", "ago", "revisions"),
    [
        ((plan(),), {"r": 10.1}, {}, ["r"]),
        ((plan(),), {"r": 10.0}, {}, []),
        ((plan(),), {}, {}, []),
        ((plan(floor=0),), {"r": 99.0}, {}, []),
        ((plan(floor=2, replicas=1),), {"r": 99.0}, {}, []),
        ((plan(),), {"r": 99.0}, {"r": 29.9}, []),
        ((plan(),), {"r": 99.0}, {"r": 30.0}, ["r"]),
        ((plan("a"), plan("b")), {"a": 99.0, "b": 99.0}, {"a": 1.0}, ["b"]),
    ],
    ids=[
        "short for over ten seconds",
        "for ten seconds",
        "not short",
        "no floor",
        "one replica of two",
        "just called",
        "called half a minute ago",
        "each revision for itself",
    ],
)
def test_who_is_woken(plans, short, ago, revisions) -> None:
    assert [call.revision for call in wake.due(plans, FACTS, short, ago)] == revisions


@pytest.mark.parametrize(
    ("address", "percent", "url"),
    [
        ("http://digits.ns.svc.cluster.local", 100, URL),
        ("http://digits.ns.svc.cluster.local", 30, "http://digits-2.ns.svc.cluster.local/v2/health/ready"),
        ("http://digits.ns.svc.my.domain", 30, "http://digits-2.ns.svc.my.domain/v2/health/ready"),
        ("https://digits.ns.svc.cluster.local", 100, "https://digits.ns.svc.cluster.local/v2/health/ready"),
    ],
)
def test_where_a_revision_is_reached_and_no_other(address: str, percent: int, url: str) -> None:
    part = plan("digits-2", percent=percent)
    assert wake.due((part,), ServiceFacts(address=address), {"digits-2": 99.0}, {}) == (Call("digits-2", url),)


def test_a_service_without_an_address_is_not_woken() -> None:
    assert wake.due((plan(),), ServiceFacts(), {"r": 99.0}, {}) == ()


async def sent(answer: httpx.Response | Exception) -> tuple[str, httpx.Request]:
    requests = []

    def handle(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async with HttpWaker(transport=httpx.MockTransport(handle)) as waker:
        outcome = await waker.wake(URL)
    (request,) = requests
    return outcome, request


async def test_it_is_one_ordinary_request() -> None:
    outcome, request = await sent(httpx.Response(200, text='{"ready":true}'))
    assert outcome == "answered"
    assert (request.method, str(request.url)) == ("GET", URL)
    assert request.headers["User-Agent"] == "everwarm-operator"
    assert not [name for name in request.headers if name.startswith("k-")], "Knative does not count its own probes"
    assert set(request.extensions["timeout"].values()) == {0.8}


async def test_it_may_be_given_up_while_it_waits() -> None:
    assert (await sent(httpx.ReadTimeout("slow")))[0] == "abandoned"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (httpx.ConnectError("no such host"), f"{URL} can't be reached: no such host"),
        (httpx.ConnectTimeout(""), f"{URL} can't be reached: ConnectTimeout"),
        (httpx.Response(404), f"{URL} answered 404"),
        (httpx.Response(503), f"{URL} answered 503"),
    ],
)
async def test_what_does_not_get_through_is_said(answer: httpx.Response | Exception, sentence: str) -> None:
    with pytest.raises(WakeError) as caught:
        await sent(answer)
    assert str(caught.value) == sentence


async def test_no_proxy_of_the_environment_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    async with HttpWaker() as waker:
        with pytest.raises(WakeError, match=r"http://127\.0\.0\.1:1/ can't be reached"):
            await waker.wake("http://127.0.0.1:1/")
