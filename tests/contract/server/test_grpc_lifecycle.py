"""The gRPC port of a real process: what it needs, what it says while it drains, and what it says of calls cut off."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Calls:
    """Calls to the bendable model, and for its health."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._inference = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        self._health = health_pb2_grpc.HealthStub(channel)

    def infer(self, sleep_seconds: float = 0.0) -> "Future[Any]":
        request = service_pb2.ModelInferRequest(model_name="bendable")
        request.inputs.add(name="x", datatype="FP32", shape=[1, 2])
        request.raw_input_contents.append(np.zeros((1, 2), np.float32).tobytes())
        request.parameters["sleep_seconds"].double_param = sleep_seconds
        return self._inference.ModelInfer.future(request, timeout=20)  # type: ignore[no-any-return]

    def health(self, service: str = "") -> int:
        return int(self._health.Check(health_pb2.HealthCheckRequest(service=service), timeout=10).status)


@pytest.fixture
def calls() -> Iterator[Any]:
    channels = []

    def to(server: Any) -> Calls:
        channels.append(grpc.insecure_channel(server.grpc_address, [("grpc.use_local_subchannel_pool", 1)]))
        return Calls(channels[-1])

    yield to
    for channel in channels:
        channel.close()


def code_of(call: Any) -> str:
    try:
        call.result()
    except grpc.RpcError as error:
        return str(error.code().name)  # type: ignore[attr-defined]
    return "OK"


def test_while_it_drains_health_says_so_and_calls_are_answered(start_server: Any, bendable: Path, calls: Any) -> None:
    server = start_server(bendable, grpc=True, drain_seconds=1.5, grpc_connection_seconds=0.3)
    made = calls(server)
    assert (made.health(), made.health("bendable")) == (SERVING, SERVING)
    server.terminate()
    server.until(lambda: made.health() == NOT_SERVING)
    assert (made.health("bendable"), made.health("liveness")) == (NOT_SERVING, SERVING)
    assert code_of(made.infer()) == "OK"
    assert server.wait() == 0


def test_a_call_that_outlives_the_limit_is_cut_off_and_told_of(start_server: Any, bendable: Path, calls: Any) -> None:
    server = start_server(bendable, grpc=True, grpc_connection_seconds=0.2, shutdown_seconds=0.5)
    call = calls(server).infer(sleep_seconds=8)
    server.until(lambda: server.metric("everwarm_in_flight_requests") == 1)
    server.terminate()
    assert code_of(call) in {"CANCELLED", "UNAVAILABLE"}
    assert server.wait() == 1
    assert "Stopped with requests unanswered" in server.log.read_text()


def test_a_port_that_is_taken_ends_it_with_a_sentence(start_server: Any, bendable: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = start_server(bendable, wait_ready=False, grpc_port=port)
        assert server.wait() == 1
    assert f"the gRPC port {port} can't be had" in server.log.read_text()


def test_without_its_packages_it_says_which_to_install(bendable: Path) -> None:
    code = f"""
import sys
sys.modules["grpc"] = None
from everwarm_server.__main__ import main
sys.exit(main(["--model-uri", {str(bendable)!r}, "--port", "0", "--grpc-port", "0"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "GRPC_PORT needs grpc: pip install 'everwarm[grpc]'." in done.stderr
