import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime
import pytest

from everwarm_server.admission import ClientGone
from everwarm_server.errors import (
    InferenceFailed,
    InvalidInput,
    ModelError,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    TooLarge,
    Unauthorized,
)
from everwarm_server.transport.http import Exchange, Refused, Unwatched, error_answer, read_body, refuse, scan

T = TypeVar("T")


def exchange(messages: list[dict[str, Any]], headers: dict[str, str], pause_seconds: float = 0.0) -> Exchange:
    """A request whose messages come `pause_seconds` apart, the last one again and again."""
    sent: list[dict[str, Any]] = []
    left = list(messages)

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(pause_seconds)
        return left.pop(0) if len(left) > 1 else left[0]

    async def send(message: Any) -> None:
        sent.append({**message, "at": asyncio.get_running_loop().time()})

    head = scan((name.encode(), value.encode()) for name, value in headers.items())
    request = Exchange("POST", "/", head, Unwatched(), receive, send)
    sents[id(request)] = sent
    return request


sents: dict[int, list[dict[str, Any]]] = {}


def part(body: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


DISCONNECT = {"type": "http.disconnect"}


@pytest.mark.parametrize(
    ("messages", "headers", "expected"),
    [
        ([part(b"abc", False)], {"content-length": "3"}, b"abc"),
        ([part(b"", False)], {}, b""),
        ([part(b"ab", True), part(b"c", True), part(b"", False)], {}, b"abc"),
        ([part(b"x" * 10, False)], {"content-length": "10"}, b"x" * 10),
        ([part(b"x", False)], {"content-length": "11"}, TooLarge),  # by what it says, before it is read
        ([part(b"x" * 11, False)], {}, TooLarge),
        ([part(b"x" * 6, True), part(b"x" * 5, True), DISCONNECT], {}, TooLarge),
        ([DISCONNECT], {"content-length": "3"}, ClientGone),
        ([part(b"ab", True), DISCONNECT], {"content-length": "3"}, ClientGone),
    ],
)
async def test_a_body_is_read_up_to_the_limit(
    messages: list[dict[str, Any]], headers: dict[str, str], expected: bytes | type[Exception]
) -> None:
    request = exchange(messages, headers)
    if isinstance(expected, bytes):
        assert await read_body(request, 10) == expected
    else:
        with pytest.raises(expected):
            await read_body(request, 10)


def in_fake_time(coroutine: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        return runner.run(coroutine)


async def test_a_body_that_was_given_up_for_its_slowness_is_a_408() -> None:
    request = exchange([part(b"x", True), DISCONNECT], {})
    request.client.too_slow = True
    with pytest.raises(Refused, match="too slowly") as refused:
        await read_body(request, 10)
    assert refused.value.code == 408


def test_a_refused_client_that_still_sends_gets_its_answer_before_the_end() -> None:
    request = exchange([part(b"x", True)], {"content-length": "99999999"}, pause_seconds=0.25)
    in_fake_time(refuse(request, error_answer(TooLarge("No."))))
    start, body, end = sents[id(request)]
    assert (b"connection", b"close") in start["headers"]
    assert (body["body"], body["at"], body["more_body"]) == (b'{"error":"No."}', 0, True)
    assert (end["body"], end["at"], end["more_body"]) == (b"", 2, False)


async def test_a_refused_client_with_a_small_body_keeps_its_connection() -> None:
    request = exchange([part(b"x", False)], {"content-length": "1"})
    await refuse(request, error_answer(TooLarge("No.")))
    start, body = sents[id(request)]
    assert b"connection" not in dict(start["headers"])
    assert body["more_body"] is False


@pytest.mark.parametrize(
    ("error", "code", "headers"),
    [
        (InvalidInput("s"), 400, {}),
        (TooLarge("s"), 413, {}),
        (Unauthorized("s"), 401, {b"www-authenticate": b"Bearer"}),
        (ModelNotFound("s"), 404, {}),
        (ModelNotReady("s"), 503, {b"retry-after": b"1"}),
        (Overloaded("s", retry_after_seconds=2.1), 503, {b"retry-after": b"3"}),
        (InferenceFailed("s"), 500, {}),
        (ModelError("s"), 500, {}),
        (Refused(405, "s", [(b"allow", b"GET")]), 405, {b"allow": b"GET"}),
    ],
)
def test_each_error_has_its_code(error: Exception, code: int, headers: dict[bytes, bytes]) -> None:
    answer = error_answer(error)
    common = {b"content-type": b"application/json", b"content-length": b"13"}
    assert (answer.code, dict(answer.headers), answer.chunks) == (code, common | headers, [b'{"error":"s"}'])


def test_an_unknown_error_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    answer = error_answer(KeyError("secret"))
    assert answer.code == 500
    assert b"secret" not in answer.chunks[0]
    assert "secret" in caplog.text


def test_repeated_headers_are_joined_and_others_left_out() -> None:
    headers = [(b"authorization", b"a"), (b"x-other", b"1"), (b"authorization", b"b")]
    assert scan(headers) == {b"authorization": b"a,b"}
