"""A client that somebody generated from the Open Inference Protocol's own document gets what that document promises."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.errors import BadRequestError, NotFoundError
from open_inference.openapi.types import InferenceRequest, RequestInput, RequestOutput


@pytest.fixture(scope="module")
def client(start_shared: Any, digits: Path) -> Iterator[OpenInferenceClient]:
    with httpx.Client(timeout=20) as connection:
        yield OpenInferenceClient(base_url=f"http://{start_shared(digits).address}", httpx_client=connection)


def request(count: int = 64) -> InferenceRequest:
    image = RequestInput(name="image", shape=[1, count], datatype="FP32", data=[float(i % 17) for i in range(count)])
    return InferenceRequest(id="7", inputs=[image], outputs=[RequestOutput(name="label")])


def test_health_and_metadata(client: OpenInferenceClient) -> None:
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_readiness("digits")
    client.check_model_version_readiness("digits", "1")
    assert client.read_server_metadata().name == "everwarm"
    metadata = client.read_model_metadata("digits")
    assert (metadata.name, metadata.versions) == ("digits", ["1"])
    assert metadata == client.read_model_version_metadata("digits", "1")
    assert [(each.name, each.datatype, each.shape) for each in metadata.inputs or []] == [("image", "FP32", [-1, 64])]


def test_inference(client: OpenInferenceClient) -> None:
    answer = client.model_infer("digits", request=request())
    assert (answer.model_name, answer.model_version, answer.id) == ("digits", "1", "7")
    (output,) = answer.outputs
    assert (output.name, output.datatype, output.shape, len(output.data.__root__)) == ("label", "INT64", [1], 1)
    assert client.model_version_infer("digits", "1", request=request()) == answer


def test_errors(client: OpenInferenceClient) -> None:
    with pytest.raises(BadRequestError) as wrong:
        client.model_infer("digits", request=request(63))
    assert list(wrong.value.body) == ["error"]
    with pytest.raises(NotFoundError):
        client.check_model_readiness("x")
    with pytest.raises(NotFoundError):
        client.check_model_version_readiness("digits", "2")
    with pytest.raises(ApiError) as unknown:
        client.model_infer("x", request=request())
    assert unknown.value.status_code == 404
