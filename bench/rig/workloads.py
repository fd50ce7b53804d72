"""The requests that every server of bench/serving.py gets, and whether an answer is right."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from bench.peers import models
from bench.rig import grpc_load
from bench.rig.grpc_load import GrpcRequest
from bench.rig.load import Request

_HEADER_LENGTH: Final = "Inference-Header-Content-Length"
_SHAPES: Final = {"mlp": (1, 784), "image": (1, 3, 224, 224)}


@dataclass(frozen=True, slots=True)
class Workload:
    """A model, JSON or binary, over how many connections at once, and whether by gRPC: binary is raw contents then."""

    name: str
    model: str
    binary: bool
    connections: int
    grpc: bool = False


WORKLOADS: Final = (
    Workload("json-c1", "mlp", binary=False, connections=1),
    Workload("json-c32", "mlp", binary=False, connections=32),
    Workload("binary-c32", "mlp", binary=True, connections=32),
    Workload("image-binary", "image", binary=True, connections=4),
    Workload("image-json", "image", binary=False, connections=4),
    Workload("grpc-c32", "mlp", binary=True, connections=32, grpc=True),
    Workload("image-grpc", "image", binary=True, connections=4, grpc=True),
)


def _input(model: str) -> models.Array:
    return np.random.default_rng(7).random(_SHAPES[model], np.float32)


def prepare(workload: Workload, directory: Path) -> Request | GrpcRequest:
    """The workload's request, with its body in a file of `directory`."""
    x = _input(workload.model)
    if workload.grpc:
        message = directory / f"{workload.model}-grpc"
        message.write_bytes(grpc_load.message(workload.model, "x", x))
        return GrpcRequest(message)
    head: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": list(x.shape)}
    headers = {"Content-Type": "application/json"}
    if workload.binary:
        head["parameters"] = {"binary_data_size": x.nbytes}
        document = {"inputs": [head], "parameters": {"binary_data_output": True}}
        header = json.dumps(document, separators=(",", ":")).encode()
        header += b" " * (-len(header) % 8)
        headers = {"Content-Type": "application/octet-stream", _HEADER_LENGTH: str(len(header))}
        content = header + x.tobytes()
    else:
        # The shortest digits that give the FP32 back, as clients that know FP32 write them.
        values = ",".join(map(str, x.reshape(-1)))
        content = json.dumps({"inputs": [head | {"data": []}]}).replace("[]", f"[{values}]").encode()
    body = directory / f"{workload.model}-{'binary' if workload.binary else 'json'}"
    body.write_bytes(content)
    return Request(f"/v2/models/{workload.model}/infer", body, headers)


def is_right(workload: Workload, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an answer carries what the model gives for the workload's input."""
    wanted = models.MODELS[workload.model](_input(workload.model))
    if workload.grpc:
        return bool(np.allclose(grpc_load.output(body), wanted[0], atol=1e-5))
    length = next((int(v) for k, v in headers.items() if k.lower() == _HEADER_LENGTH.lower()), None)
    output = json.loads(body[:length])["outputs"][0]
    given = np.array(output["data"], np.float32) if length is None else np.frombuffer(body[length:], np.float32)
    return (length is not None) == workload.binary and bool(np.allclose(given.reshape(-1), wanted[0], atol=1e-5))
