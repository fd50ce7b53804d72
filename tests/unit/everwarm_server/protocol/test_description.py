import pytest
from google.protobuf import json_format
from tritonclient.grpc import service_pb2

from everwarm_server.protocol import description, grpc_description
from everwarm_server.protocol.description import Serving
from everwarm_server.protocol.tensors import DTYPES, ModelMetadata, TensorSpec
from everwarm_server.telemetry.metrics import CLIENT_GONE, Metrics

METADATA = ModelMetadata(
    "digits",
    "3",
    "onnxruntime_onnx",
    (TensorSpec("image", "FP32", (-1, 64)),),
    (TensorSpec("label", "BYTES", (-1,)),),
)


def as_triton_reads_it(message, document):
    """Through our message and the client's, back to a document; numbers of 64 bits become strings there."""
    read = getattr(service_pb2, message).FromString(grpc_description.serialized(message, document))
    return json_format.MessageToDict(read, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def test_server_metadata_has_name_version_and_extensions():
    document = description.server_metadata("mine")
    assert document["name"] == "mine"
    assert "binary_tensor_data" in document["extensions"]
    assert as_triton_reads_it("ServerMetadataResponse", document) == document


def test_model_metadata_names_versions_and_tensors():
    document = description.model_metadata(METADATA, ["2", "3"])
    assert document == {
        "name": "digits",
        "versions": ["2", "3"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [{"name": "label", "datatype": "BYTES", "shape": [-1]}],
    }
    read = as_triton_reads_it("ModelMetadataResponse", document)
    assert read["inputs"] == [{"name": "image", "datatype": "FP32", "shape": ["-1", "64"]}]
    assert description.model_metadata(METADATA)["versions"] == ["3"]


@pytest.mark.parametrize(
    ("serving", "rows", "dims", "kind", "decoupled"),
    [
        (Serving(), 0, [-1, 64], "KIND_CPU", False),
        (Serving(max_batch_rows=8, instances=2, on_gpu=True, streams=True), 8, [64], "KIND_GPU", True),
    ],
)
def test_a_config_says_how_a_model_is_served(serving, rows, dims, kind, decoupled):
    document = description.model_config(METADATA, serving)
    assert document["max_batch_size"] == rows
    assert document["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": dims}]
    assert document["output"][0]["data_type"] == "TYPE_STRING"
    read = as_triton_reads_it("ModelConfigResponse", {"config": document})["config"]
    assert read["instance_group"][0]["kind"] == kind
    assert read["instance_group"][0]["count"] == serving.instances
    assert read["model_transaction_policy"] == {"decoupled": decoupled}


@pytest.mark.parametrize("datatype", list(DTYPES))
def test_each_datatype_has_a_name_in_configs(datatype):
    metadata = ModelMetadata("m", "1", "p", (TensorSpec("x", datatype, (-1,)),), ())
    document = {"config": description.model_config(metadata, Serving())}
    assert as_triton_reads_it("ModelConfigResponse", document)["config"]["input"][0]["data_type"] != "TYPE_INVALID"


def test_statistics_are_what_was_counted():
    metrics = Metrics(0.0).model("m", 1)
    for code, seconds in ((200, 0.25), (200, 0.25), (400, 0.125), (CLIENT_GONE, 9.0)):
        metrics.arrived(1000.5)
        metrics.answered(code, seconds)
    metrics.inferred(0.5, 0.0625)
    document = description.statistics([("m", "1", metrics)])
    assert document == {
        "model_stats": [
            {
                "name": "m",
                "version": "1",
                "last_inference": 1_000_500,
                "inference_count": 1,
                "execution_count": 1,
                "inference_stats": {
                    "success": {"count": 2, "ns": 500_000_000},
                    "fail": {"count": 1, "ns": 125_000_000},
                    "queue": {"count": 1, "ns": 500_000_000},
                    "compute_input": {"count": 1, "ns": 0},
                    "compute_infer": {"count": 1, "ns": 62_500_000},
                    "compute_output": {"count": 1, "ns": 0},
                },
                "batch_stats": [],
            }
        ]
    }
    read = as_triton_reads_it("ModelStatisticsResponse", document)["model_stats"][0]
    assert read["inference_stats"]["success"] == {"count": "2", "ns": "500000000"}


def test_the_index_lists_all_or_only_what_is_ready():
    entries = [("a", "1", "READY", ""), ("b", "2", "UNAVAILABLE", "it was unloaded.")]
    everything = [
        {"name": "a", "version": "1", "state": "READY", "reason": ""},
        {"name": "b", "version": "2", "state": "UNAVAILABLE", "reason": "it was unloaded."},
    ]
    assert description.repository_index(entries) == everything
    assert description.repository_index(entries, ready_only=True) == everything[:1]
    assert as_triton_reads_it("RepositoryIndexResponse", {"models": everything})["models"] == everything
