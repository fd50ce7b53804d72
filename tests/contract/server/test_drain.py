"""Clients hammer a real process that gets SIGTERM; none that was right to send may lose a request."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

ROUNDS = 20
CLIENTS = 24
DRAIN_SECONDS = 0.4


@dataclass
class Tally:
    """What became of all requests."""

    answered: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    lost: list[str] = field(default_factory=list)


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The code, and whether the server keeps the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    length = next(int(line.partition(":")[2]) for line in head if line.startswith("content-length:"))
    await reader.readexactly(length)
    return int(head[0].split()[1]), "connection: close" not in head


async def hammer(port: int, request: bytes, tally: Tally, keep_alive: bool, rng: random.Random) -> None:
    """Send until the server refuses connections: on one connection for as long as it keeps it, or on a new one each."""
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:  # refused, or no answer: nothing was sent, so the client knows that it must go elsewhere
            tally.refused += 1
            return
        try:
            keep = True
            while keep:
                await asyncio.sleep(rng.random() * 0.004)
                writer.write(request)
                code, keep = await read_answer(reader)
                tally.answered[code] += 1
                keep = keep and keep_alive
        except (OSError, EOFError) as error:
            tally.lost.append(f"{type(error).__name__}: {error}")
        finally:
            writer.close()


async def one_round(server: Any, number: int) -> Tally:
    tally, rng = Tally(), random.Random(number)
    tensor = (
        '{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2]}],"parameters":{"sleep_seconds":0.001}}'
    )
    request = (
        f"POST /v2/models/bendable/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(tensor)}\r\n\r\n{tensor}".encode()
    )
    clients = [
        asyncio.create_task(hammer(server.port, request, tally, keep_alive=index % 2 == 0, rng=rng))
        for index in range(CLIENTS)
    ]
    await asyncio.sleep(0.3 + rng.random() * 0.1)
    server.terminate()
    await asyncio.wait_for(asyncio.gather(*clients), 20)
    return tally


@pytest.mark.timeout(300)
def test_no_request_is_lost_at_sigterm(start_server: Any, bendable: Any) -> None:
    answered = 0
    for number in range(ROUNDS):
        server = start_server(bendable, drain_seconds=DRAIN_SECONDS)
        tally = asyncio.run(one_round(server, number))
        assert tally.lost == [], f"round {number}: {len(tally.lost)} lost after {tally.answered}"
        assert set(tally.answered) == {200}
        assert tally.refused == CLIENTS
        assert server.wait() == 0
        answered += tally.answered[200]
    print(f"{answered} requests answered in {ROUNDS} rounds, 0 lost")
    assert answered > 50 * ROUNDS
