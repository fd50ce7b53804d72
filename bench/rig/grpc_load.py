"""A server and a message in; requests per second, latencies and CPU for each request out. By grpc.aio, raw bytes.

The client runs in a process of its own on the core of the load: `python -m bench.rig.grpc_load PORT FILE CONNECTIONS
SECONDS` prints what it found. It is slower than wrk, so compare the servers' CPU rather than their requests per second.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from bench.rig.load import Figures
from bench.rig.processes import LOAD_CORE, BenchError, Process

from everwarm_server.protocol.grpc_messages import message_class

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_OPTIONS: Final = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))


@dataclass(frozen=True, slots=True)
class GrpcRequest:
    """One ModelInfer: the file that holds the serialized message."""

    body: Path

    def send(self, process: Process) -> tuple[Mapping[str, str], bytes]:
        """Send it once; the serialized answer.

        Raises:
            BenchError: it was answered by an error.
        """
        with grpc.insecure_channel(f"127.0.0.1:{process.grpc_port}", options=_OPTIONS) as channel:
            try:
                answer: bytes = channel.unary_unary(METHOD)(self.body.read_bytes(), timeout=30)
            except grpc.RpcError as error:
                log = process.log.read_text(errors="replace")[-2000:]
                raise BenchError(f"{METHOD} was answered by {error.code()}: {error.details()}\n{log}") from error
        return {}, answer


def message(model: str, name: str, x: "np.ndarray[Any, Any]") -> bytes:
    """A ModelInferRequest with a tensor of FP32 as raw contents."""
    tensor = {"name": name, "datatype": "FP32", "shape": x.shape}
    made = message_class("inference.ModelInferRequest")(model_name=model, inputs=[tensor])
    made.raw_input_contents.append(x.tobytes())
    return bytes(made.SerializeToString())


def output(answer: bytes) -> "np.ndarray[Any, Any]":
    """The first output of a ModelInferResponse, flat; some servers answer by typed contents."""
    parsed = message_class("inference.ModelInferResponse").FromString(answer)
    if parsed.raw_output_contents:
        return np.frombuffer(parsed.raw_output_contents[0], np.float32)
    return np.array(parsed.outputs[0].contents.fp32_contents, np.float32)


def run(process: Process, request: GrpcRequest, connections: int, seconds: float) -> Figures:
    """Call over some connections for some seconds, each as soon as the one before is answered.

    Raises:
        BenchError: a call failed.
    """
    command = [
        "taskset", "-c", str(LOAD_CORE), sys.executable, "-m", "bench.rig.grpc_load",
        str(process.grpc_port), str(request.body), str(connections), str(seconds),
    ]  # fmt: skip
    before = process.cpu_seconds()
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60, check=False, cwd=root)
    cpu_seconds = process.cpu_seconds() - before
    if done.returncode != 0:
        raise BenchError(f"The calls failed: {done.stderr.strip()[-1000:]}")
    found = json.loads(done.stdout)
    return Figures(
        found["requests"] / found["seconds"], found["p50"], found["p99"], cpu_seconds / max(1, found["requests"])
    )


async def _load(port: int, body: bytes, connections: int, seconds: float) -> dict[str, float]:
    latencies: list[float] = []
    start = time.perf_counter()

    async def work() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=_OPTIONS) as channel:
            invoke = channel.unary_unary(METHOD)
            while (begun := time.perf_counter()) < start + seconds:
                await invoke(body, timeout=30)
                latencies.append(time.perf_counter() - begun)

    await asyncio.gather(*(work() for _ in range(connections)))
    took = time.perf_counter() - start
    cuts = statistics.quantiles(latencies, n=100)
    return {"requests": len(latencies), "seconds": took, "p50": cuts[49], "p99": cuts[98]}


if __name__ == "__main__":
    port, file, connections, seconds = sys.argv[1:]
    print(json.dumps(asyncio.run(_load(int(port), Path(file).read_bytes(), int(connections), float(seconds)))))
