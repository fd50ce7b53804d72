"""gRPC clients hammer a real process that gets SIGTERM; none that was right to call may lose a call."""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

ROUNDS = 4
CLIENTS = 24
DRAIN_SECONDS = 0.4
CONNECTION_SECONDS = 0.4
METHOD = "/inference.GRPCInferenceService/ModelInfer"


@dataclass
class Tally:
    """What became of all calls."""

    answered: int = 0
    refused: int = 0
    lost: Counter[str] = field(default_factory=Counter)


def asked() -> Any:
    request = service_pb2.ModelInferRequest(model_name="bendable")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(np.zeros((1, 2), np.float32).tobytes())
    request.parameters["sleep_seconds"].double_param = 0.001
    return request


async def hammer(address: str, tally: Tally, rng: random.Random, *, keep: bool) -> None:
    """Call until the server refuses connections: on one channel, or on a new one for each call."""
    request = asked()
    while True:
        async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            infer = channel.unary_unary(METHOD, type(request).SerializeToString, lambda raw: raw)
            again = True
            while again:
                await asyncio.sleep(rng.random() * 0.004)
                try:
                    await infer(request, timeout=10)
                except grpc.aio.AioRpcError as error:
                    if "Connection refused" in (error.details() or ""):  # so the call was never sent
                        tally.refused += 1
                    else:
                        tally.lost[f"{error.code().name}: {error.details()}"] += 1
                    return
                tally.answered += 1
                again = keep


async def one_round(server: Any, number: int) -> Tally:
    tally, rng = Tally(), random.Random(number)
    clients = [
        asyncio.create_task(hammer(server.grpc_address, tally, rng, keep=index % 2 == 0)) for index in range(CLIENTS)
    ]
    await asyncio.sleep(0.3 + rng.random() * 0.1)
    server.terminate()
    await asyncio.wait_for(asyncio.gather(*clients), 30)
    return tally


@pytest.mark.timeout(300)
def test_no_call_is_lost_at_sigterm(start_server: Any, bendable: Any) -> None:
    answered = 0
    for number in range(ROUNDS):
        server = start_server(
            bendable, grpc=True, drain_seconds=DRAIN_SECONDS, grpc_connection_seconds=CONNECTION_SECONDS
        )
        tally = asyncio.run(one_round(server, number))
        assert not tally.lost, f"round {number}: {tally.lost} after {tally.answered}"
        assert tally.refused == CLIENTS
        assert server.wait() == 0
        answered += tally.answered
    print(f"{answered} calls answered in {ROUNDS} rounds, 0 lost")
    assert answered > 50 * ROUNDS
