"""What clients may ask about a server and its models: documents in the shape of JSON, which gRPC's messages share.

Sources: kserve/open-inference-protocol, inference_rest.md (metadata); Triton, docs/protocol/
extension_{model_configuration,statistics,model_repository}.md. A document's keys are the names of the fields in
proto/*.proto, so each is either written by orjson or put into a message by grpc_description.py.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from everwarm_server.protocol.tensors import ModelMetadata, TensorSpec
from everwarm_server.telemetry.metrics import ModelMetrics

NAME: Final = "everwarm"
EXTENSIONS: Final = (
    "binary_tensor_data",
    "binary_tensor_data(raw_binary_request)",
    "model_configuration",
    "model_repository",
    "statistics",
    "parameters",
    "generate",
)
_NANOSECONDS: Final = 10**9


@dataclass(frozen=True, slots=True)
class Serving:
    """How a model is served, beyond its metadata.

    Attributes:
        max_batch_rows: rows that are computed at once; 0: each request for itself.
        instances: requests or batches computed at once.
        on_gpu: whether they are computed there.
        streams: whether one request may have several answers.
    """

    max_batch_rows: int = 0
    instances: int = 1
    on_gpu: bool = False
    streams: bool = False


def server_metadata(name: str = NAME) -> dict[str, Any]:
    """GET /v2."""
    return {"name": name, "version": version("everwarm"), "extensions": list(EXTENSIONS)}


def model_metadata(metadata: ModelMetadata, versions: Iterable[str] = ()) -> dict[str, Any]:
    """GET /v2/models/{model}; `versions` default to the one that `metadata` has."""
    return {
        "name": metadata.name,
        "versions": list(versions) or [metadata.version],
        "platform": metadata.platform,
        "inputs": [_tensor_metadata(spec) for spec in metadata.inputs],
        "outputs": [_tensor_metadata(spec) for spec in metadata.outputs],
    }


def _tensor_metadata(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def model_config(metadata: ModelMetadata, serving: Serving) -> dict[str, Any]:
    """GET /v2/models/{model}/config: Triton's ModelConfig, as far as it means anything here.

    As in Triton, a model with `max_batch_size` leaves its first dimension, the batch's, out of `dims`.
    """
    skipped = 1 if serving.max_batch_rows else 0
    return {
        "name": metadata.name,
        "platform": metadata.platform,
        "backend": "",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": serving.max_batch_rows,
        "input": [_tensor_config(spec, skipped) for spec in metadata.inputs],
        "output": [_tensor_config(spec, skipped) for spec in metadata.outputs],
        "instance_group": [
            {
                "name": metadata.name,
                "kind": "KIND_GPU" if serving.on_gpu else "KIND_CPU",
                "count": serving.instances,
            }
        ],
        "model_transaction_policy": {"decoupled": serving.streams},
    }


def _tensor_config(spec: TensorSpec, skipped: int) -> dict[str, Any]:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": list(spec.shape[skipped:])}


def statistics(models: Iterable[tuple[str, str, ModelMetrics]]) -> dict[str, Any]:
    """GET /v2/models/stats, of models by name and version. Counts since each was loaded; durations in nanoseconds.

    Input and output are not timed apart from the model: both are views of bytes.
    """
    return {"model_stats": [_model_statistics(*each) for each in models]}


def _model_statistics(name: str, model_version: str, metrics: ModelMetrics) -> dict[str, Any]:
    counted = metrics.totals()
    return {
        "name": name,
        "version": model_version,
        "last_inference": int(counted.last_arrival_seconds * 1000),
        "inference_count": counted.inferences,
        "execution_count": counted.executions,
        "inference_stats": {
            "success": _duration(counted.successes, counted.success_seconds),
            "fail": _duration(counted.failures, counted.failure_seconds),
            "queue": _duration(counted.inferences, counted.queue_seconds),
            "compute_input": _duration(counted.inferences, 0.0),
            "compute_infer": _duration(counted.inferences, counted.inference_seconds),
            "compute_output": _duration(counted.inferences, 0.0),
        },
        "batch_stats": [],
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * _NANOSECONDS)}


def repository_index(entries: Sequence[tuple[str, str, str, str]], *, ready_only: bool = False) -> list[dict[str, Any]]:
    """POST /v2/repository/index, of (name, version, state, reason)."""
    return [
        {"name": name, "version": model_version, "state": state, "reason": reason}
        for name, model_version, state, reason in entries
        if state == "READY" or not ready_only
    ]
