import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from everwarm_server.dataplane import Arrival
from everwarm_server.errors import InvalidInput
from everwarm_server.repository import Repository
from everwarm_server.transport.http import Answer, Unwatched
from everwarm_server.transport.inference import LARGE_JSON_BYTES, Codec, Endpoint, Job, v2

BODY = json.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [2], "data": [1, 2]}]}).encode()


async def answered(repository: Repository, codec: Codec, body: bytes) -> Answer | None:
    got: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
    endpoint = Endpoint(repository.find("m"), codec)
    Job(endpoint, Arrival(time.perf_counter(), time.time()), ({}, Unwatched()), got.set_result).start(body)
    return await asyncio.wait_for(got, 10)


def recording(threads: list[threading.Thread], decode: Callable[..., Any]) -> Codec:
    def spied(*arguments: Any) -> Any:
        threads.append(threading.current_thread())
        return decode(*arguments)

    return Codec(spied, v2().json_bytes)


@pytest.mark.parametrize(("json_bytes", "on_the_loop"), [(len(BODY), True), (LARGE_JSON_BYTES, False)])
async def test_large_json_is_decoded_off_the_loop(repository: Repository, json_bytes: int, on_the_loop: bool) -> None:
    threads: list[threading.Thread] = []
    answer = await answered(repository, recording(threads, v2().decode), BODY.ljust(json_bytes))
    assert answer is not None
    assert answer.code == 200
    assert [thread is threading.current_thread() for thread in threads] == [on_the_loop]


@pytest.mark.parametrize(("error", "code"), [(InvalidInput("wrong"), 400), (RuntimeError("bug"), 500)])
@pytest.mark.parametrize("json_bytes", [len(BODY), LARGE_JSON_BYTES])
async def test_what_is_wrong_with_a_body_is_answered(
    repository: Repository, error: Exception, code: int, json_bytes: int
) -> None:
    def fail(*_: Any) -> Any:
        raise error

    answer = await answered(repository, recording([], fail), BODY.ljust(json_bytes))
    assert answer is not None
    assert answer.code == code
