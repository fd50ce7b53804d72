"""Replicas as real processes, of a server that is small enough to be started by the dozen."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvloop

from everwarm_cli.up.dispatch import Dispatcher
from everwarm_cli.up.replicas import Fleet, Launch, Replica, State

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="process groups and parent death signals")

SERVER = """
import http.server, os, signal, sys, time
{first}
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("content-length", "0"); self.end_headers()
    def log_message(self, *_): pass
signal.signal(signal.SIGTERM, {on_sigterm})
http.server.HTTPServer(("127.0.0.1", int(os.environ["EVERWARM_PORT"])), Ready).serve_forever()
"""
GOES = "lambda *_: os._exit(0)"


Run = Callable[[Coroutine[None, None, None]], None]


@pytest.fixture(params=[None, uvloop.Loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    """Both loops that `everwarm up` may run on: they tell of a process's end in different orders."""
    with asyncio.Runner(loop_factory=request.param) as runner:
        yield runner.run


@asynccontextmanager
async def fleet(first: str = "", on_sigterm: str = GOES, **limits: float) -> AsyncIterator[Fleet]:
    async def nothing(_: Replica) -> None:
        return

    command = [sys.executable, "-S", "-c", SERVER.format(first=first, on_sigterm=on_sigterm)]
    launch = Launch(command, {}, **limits)  # the port is all that it needs
    async with httpx.AsyncClient(trust_env=False) as client:
        made = Fleet(launch, Dispatcher(1, 10), client, nothing)
        try:
            yield made
        finally:
            await made.close()


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_scaling_down_again_and_again_is_no_crash(run: Run) -> None:
    async def scenario() -> None:
        async with fleet() as replicas:
            for _ in range(4):
                await replicas.scale_to(2)
                await until(lambda: replicas.count(State.READY) == 2)
                await replicas.scale_to(0)
                await until(lambda: replicas.count(*State) == 0)
            assert not replicas.failure.done()

    run(scenario())


def test_a_server_that_ignores_sigterm_is_killed_after_its_time(run: Run) -> None:
    async def scenario() -> None:
        async with fleet(on_sigterm="lambda *_: None", stop_seconds=0.3) as replicas:
            await replicas.scale_to(1)
            await until(lambda: replicas.count(State.READY) == 1)
            began = time.monotonic()
            await replicas.scale_to(0)
            await until(lambda: replicas.count(*State) == 0)
            assert 0.3 <= time.monotonic() - began < 10

    run(scenario())


def test_crashes_are_retried_with_growing_pauses_and_then_told(run: Run) -> None:
    async def scenario() -> None:
        async with fleet(
            first="print('no weights', flush=True); sys.exit(7)", backoff_seconds=0.1, crashes=3
        ) as replicas:
            began = time.monotonic()
            while not replicas.failure.done():
                await replicas.scale_to(1)
                await asyncio.sleep(0.01)
                assert time.monotonic() - began < 30
            error = replicas.failure.result()
            assert (
                str(error)
                == "The server ended with exit status 7 before it was ready, 3 times in a row; its last lines:"
            )
            assert error.details == ("no weights",)
            assert time.monotonic() - began >= 0.1 + 0.2
            await replicas.scale_to(1)
            assert replicas.count(*State) == 0

    run(scenario())


def test_a_server_that_never_gets_ready_counts_as_a_crash(run: Run) -> None:
    async def scenario() -> None:
        async with fleet(first="time.sleep(60)", start_seconds=0.3, crashes=1) as replicas:
            await replicas.scale_to(1)
            await until(replicas.failure.done)
            assert "was not ready within 0.3 s or was killed before it was ready, once" in str(
                replicas.failure.result()
            )

    run(scenario())


def test_closing_ends_replicas_that_still_start(run: Run) -> None:
    async def scenario() -> None:
        async with fleet(first="time.sleep(60)") as replicas:
            await replicas.scale_to(3)
            assert replicas.count(State.STARTING) == 3
            began = time.monotonic()
        assert time.monotonic() - began < 10
        assert replicas.count(*State) == 0

    run(scenario())
