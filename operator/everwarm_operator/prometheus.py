"""A small client of Prometheus' HTTP API: one text in, typed samples or a typed error out.

What it can't believe it does not repair: an answer with a warning, a body that is too long, a value that is no number.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

import httpx

from everwarm_operator.access import Access
from everwarm_operator.errors import BadAnswer, Unreachable

TIMEOUT_SECONDS = 5.0
MAX_BODY_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One element of an instant vector.

    Attributes:
        labels: of the series.
        value: finite and not negative, for all that we ask for is a count, a rate or a time; `None` if it is not.
        text: the value as Prometheus wrote it.
    """

    labels: Mapping[str, str]
    value: float | None
    text: str


@dataclass(frozen=True, slots=True)
class RangeSeries:
    """One series of a range vector.

    Attributes:
        labels: of the series.
        values: by unix time; what is no finite number that is not negative is left out, as what is missing is.
    """

    labels: Mapping[str, str]
    values: Mapping[float, float]


class Prometheus(Protocol):
    """Who answers PromQL."""

    async def query(self, text: str) -> tuple[Sample, ...]:
        """The instant vector of an expression now.

        Raises:
            Unreachable: no answer in time, or none with status 200.
            BadAnswer: an answer that can't be believed.
        """

    async def query_range(
        self, text: str, begin_seconds: float, end_seconds: float, step_seconds: int
    ) -> tuple[RangeSeries, ...]:
        """The values of an expression at each step from begin to end, both included. Raises as `query`."""


class HttpPrometheus:
    """Prometheus behind one URL or several. Use as an async context manager.

    Args:
        access: where, and as whom.
        transport: in place of the network, for tests.

    Raises:
        OSError: the certificates can't be read.
    """

    def __init__(self, access: Access, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._urls = access.urls
        self._current = 0
        self._client = httpx.AsyncClient(
            headers=dict(access.headers),
            auth=access.auth(),
            verify=access.tls(),
            timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def query(self, text: str) -> tuple[Sample, ...]:
        """See `Prometheus.query`."""
        return samples(await self._ask("query", {"query": text}))

    async def query_range(
        self, text: str, begin_seconds: float, end_seconds: float, step_seconds: int
    ) -> tuple[RangeSeries, ...]:
        """See `Prometheus.query_range`."""
        times = {"start": f"{begin_seconds:.3f}", "end": f"{end_seconds:.3f}", "step": str(step_seconds)}
        return series(await self._ask("query_range", {"query": text, **times}))

    async def _ask(self, what: str, data: Mapping[str, str]) -> bytes:
        """The body of the first server that answers, from the one on that answered last."""
        first = self._current
        for step in range(len(self._urls)):
            number = (first + step) % len(self._urls)
            try:
                body = await self._ask_one(self._urls[number], what, data)
            except Unreachable as error:
                failure = error
            else:
                self._current = number
                return body
        raise failure

    async def _ask_one(self, base: str, what: str, data: Mapping[str, str]) -> bytes:
        url = f"{base.rstrip('/')}/api/v1/{what}"
        try:
            async with self._client.stream("POST", url, data=data) as response:
                body = await _bounded(response)
        except httpx.TimeoutException as error:
            raise Unreachable(f"Prometheus at {base} did not answer within {TIMEOUT_SECONDS:g} s") from error
        except httpx.HTTPError as error:
            raise Unreachable(f"Prometheus at {base} can't be reached: {str(error) or type(error).__name__}") from error
        if response.status_code != httpx.codes.OK:
            raise Unreachable(f"Prometheus at {base} answered HTTP {response.status_code}{_reason(body)}")
        return body


async def _bounded(response: httpx.Response) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BadAnswer(f"Prometheus' answer is longer than {MAX_BODY_BYTES // 1024 // 1024} MiB")
    return bytes(body)


def _reason(body: bytes) -> str:
    """Prometheus' own words about a bad query; nothing from a proxy's error page."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    message = answer.get("error") if isinstance(answer, dict) else None
    return f": {str(message)[:200]}" if message else ""


def samples(body: bytes) -> tuple[Sample, ...]:
    """The samples of an answer's body.

    Raises:
        BadAnswer: it is no instant vector, or only a part of one.
    """
    return tuple(_sample(item) for item in _result(body, "vector", "an instant vector"))


def series(body: bytes) -> tuple[RangeSeries, ...]:
    """The series of an answer's body.

    Raises:
        BadAnswer: it is no range vector, or only a part of one.
    """
    return tuple(_series(item) for item in _result(body, "matrix", "a range vector"))


def _result(body: bytes, kind: str, words: str) -> list[Any]:
    try:
        answer = json.loads(body)
    except ValueError as error:  # UnicodeDecodeError is one too
        raise BadAnswer("Prometheus answered with something that is not JSON") from error
    if not isinstance(answer, dict) or answer.get("status") != "success":
        raise BadAnswer("Prometheus did not answer with success")
    if answer.get("warnings"):
        raise BadAnswer(f"Prometheus warns that its answer may be wrong: {str(answer['warnings'])[:200]}")
    if answer.get("isPartial"):
        raise BadAnswer("Prometheus says that its answer is partial")
    data = answer.get("data")
    if not isinstance(data, dict) or data.get("resultType") != kind or not isinstance(data.get("result"), list):
        raise BadAnswer(f"Prometheus' answer is not {words}")
    items: list[Any] = data["result"]
    return items


def _sample(item: Any) -> Sample:
    try:
        labels, (_, text) = item["metric"], item["value"]
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer("Prometheus' answer holds an element without a value") from error
    if not isinstance(labels, dict):
        raise BadAnswer("Prometheus' answer holds an element without labels")
    return Sample(labels, _number(text), str(text))


def _series(item: Any) -> RangeSeries:
    try:
        labels, pairs = item["metric"], [(float(time), _number(text)) for time, text in item["values"]]
    except (KeyError, TypeError, ValueError) as error:
        raise BadAnswer("Prometheus' answer holds a series without values") from error
    if not isinstance(labels, dict):
        raise BadAnswer("Prometheus' answer holds an element without labels")
    return RangeSeries(labels, {time: value for time, value in pairs if value is not None})


def _number(text: Any) -> float | None:
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return value if math.isfinite(value) and value >= 0 else None
