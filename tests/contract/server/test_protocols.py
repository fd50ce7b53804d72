"""What clients that nobody here wrote get from a real server."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton


@pytest.fixture(scope="module")
def server(start_shared: Any, digits: Path) -> Any:
    return start_shared(digits)


@pytest.fixture
def client(server: Any) -> Any:
    made = triton.InferenceServerClient(server.address)
    yield made
    made.close()


@pytest.fixture(scope="module")
def samples(digits: Path) -> tuple[Any, Any]:
    with np.load(digits / "samples.npz") as held_out:
        return held_out["images"][:32].astype(np.float32), held_out["labels"][:32]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_tritonclient_gets_the_models_answer(client: Any, samples: Any, binary_in: bool, binary_out: bool) -> None:
    images, labels = samples
    tensor = triton.InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images, binary_data=binary_in)
    wanted = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("probabilities", "label")]
    result = client.infer("digits", [tensor], outputs=wanted, request_id="42")
    assert result.get_response()["id"] == "42"
    assert [output["name"] for output in result.get_response()["outputs"]] == ["probabilities", "label"]
    assert (result.as_numpy("label") == labels).mean() > 0.9
    assert result.as_numpy("probabilities").sum(1) == pytest.approx(np.ones(32), abs=1e-4)
    assert (result.as_numpy("probabilities").argmax(1) == result.as_numpy("label")).all()


def test_tritonclient_without_outputs_gets_all_of_them(client: Any, samples: Any) -> None:
    tensor = triton.InferInput("image", [32, 64], "FP32")
    tensor.set_data_from_numpy(samples[0])
    result = client.infer("digits", [tensor], model_version="1")
    assert {output["name"] for output in result.get_response()["outputs"]} == {"label", "probabilities"}


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_tritonclient_may_compress_what_it_sends_and_get_it_compressed(
    client: Any, samples: Any, algorithm: str
) -> None:
    images = np.tile(samples[0], (20, 1))  # its probabilities take 25 kB
    tensor = triton.InferInput("image", list(images.shape), "FP32")
    tensor.set_data_from_numpy(images)
    result = client.infer(
        "digits", [tensor], request_compression_algorithm=algorithm, response_compression_algorithm="gzip"
    )
    assert result.as_numpy("probabilities").shape == (640, 10)
    assert (result.as_numpy("label")[:32] == samples[1]).mean() > 0.9


def test_tritonclient_reads_health_and_metadata(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits")
    assert client.is_model_ready("digits", "1")
    assert not client.is_model_ready("other")
    assert {"binary_tensor_data", "model_repository", "statistics"} <= set(client.get_server_metadata()["extensions"])
    assert client.get_model_metadata("digits") == {
        "name": "digits",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 64]}],
        "outputs": [
            {"name": "label", "datatype": "INT64", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 10]},
        ],
    }


def test_tritonclient_shows_our_sentence(client: Any) -> None:
    tensor = triton.InferInput("image", [1, 3], "FP32")
    tensor.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with pytest.raises(triton.InferenceServerException, match="must have the shape") as failure:
        client.infer("digits", [tensor])
    assert failure.value.status() == "400"


def test_v1_gives_rows(server: Any, samples: Any) -> None:
    images, _ = samples
    reply = server.ask("POST", "/v1/models/digits:predict", {"instances": images[:3].tolist()})
    predictions = reply.json["predictions"]
    assert reply.code == 200
    assert [set(row) for row in predictions] == [{"label", "probabilities"}] * 3
    assert [int(np.argmax(row["probabilities"])) for row in predictions] == [row["label"] for row in predictions]


def test_v1_lists_its_model(server: Any) -> None:
    assert server.ask("GET", "/v1/models").json == {"models": ["digits"]}
    assert server.ask("GET", "/v1/models/digits").json == {"name": "digits", "ready": True}


def test_json_is_read_whatever_its_content_type_says(server: Any, samples: Any) -> None:
    tensor = {"name": "image", "shape": [1, 64], "datatype": "FP32", "data": samples[0][0].tolist()}
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded", "nonsense"):
        reply = server.ask("POST", "/v2/models/digits/infer", {"inputs": [tensor]}, {"Content-Type": kind})
        assert reply.code == 200, kind


def test_the_documentation_is_served(server: Any) -> None:
    assert server.ask("GET", "/docs").code == 200
    assert "/v2/models/{name}/infer" in server.ask("GET", "/openapi.json").json["paths"]
