"""tritonclient, by HTTP and by gRPC, on a real server."""

import asyncio
import queue
from collections.abc import Iterator
from functools import partial
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
from tritonclient.utils import InferenceServerException

from everwarm_server.protocol.not_offered import MEMORY

A = np.arange(32, dtype=np.int32).reshape(2, 16)
B = np.ones((2, 16), np.int32)
ARRAYS = {
    "BOOL": np.array([[True, False]]),
    "INT8": np.array([-128, 127], np.int8),
    "INT16": np.array([-(2**15), 2**15 - 1], np.int16),
    "INT32": np.array([-(2**31), 2**31 - 1], np.int32),
    "INT64": np.array([-(2**63), 2**63 - 1], np.int64),
    "UINT8": np.array([0, 255], np.uint8),
    "UINT16": np.array([0, 2**16 - 1], np.uint16),
    "UINT32": np.array([0, 2**32 - 1], np.uint32),
    "UINT64": np.array([0, 2**64 - 1], np.uint64),
    "FP16": np.array([0.5, 65504], np.float16),
    "BF16": np.array([0.5, 3e38], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1], [-3e38]], np.float32),
    "FP64": np.array([0.1, 1e308]),
    "BYTES": np.array([[b"\x00\xff", b""], ["ä".encode(), b"plain"]], object),
}
AS_JSON = set(ARRAYS) - {"FP16", "BF16", "BYTES"}
PROTOCOLS = [tritonclient.http, tritonclient.grpc]


def name_of(protocol: ModuleType) -> str:
    return protocol.__name__.rpartition(".")[2]


@pytest.fixture(params=PROTOCOLS, ids=name_of)
def protocol(request: Any) -> Any:
    return request.param


@pytest.fixture
def client(protocol: Any, server: Any) -> Iterator[Any]:
    address = server.address if protocol is tritonclient.http else server.grpc_address
    with protocol.InferenceServerClient(address) as made:
        yield made


@pytest.fixture
def grpc_client(server: Any) -> Iterator[Any]:
    with tritonclient.grpc.InferenceServerClient(server.grpc_address) as made:
        yield made


def tensor(protocol: Any, name: str, array: Any, datatype: str = "INT32", **more: Any) -> Any:
    made = protocol.InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, **more)
    return made


def pair(protocol: Any) -> list[Any]:
    return [tensor(protocol, "INPUT0", A), tensor(protocol, "INPUT1", B)]


def check_sums(result: Any) -> None:
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), A + B)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)


def error_of(call: Any, *arguments: Any, **more: Any) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        call(*arguments, **more)
    return str(caught.value.status()).removeprefix("StatusCode."), caught.value.message()


def response_id(result: Any) -> str:
    response = result.get_response()
    return str(response["id"] if isinstance(response, dict) else response.id)


def test_two_inputs_two_outputs_and_the_id(protocol: Any, client: Any) -> None:
    result = client.infer("simple", pair(protocol), request_id="42", model_version="1")
    check_sums(result)
    assert response_id(result) == "42"


def test_only_the_output_that_is_asked_for(protocol: Any, client: Any) -> None:
    result = client.infer("simple", pair(protocol), outputs=[protocol.InferRequestedOutput("OUTPUT1")])
    assert result.as_numpy("OUTPUT0") is None
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), A - B)


@pytest.mark.parametrize("datatype", ARRAYS)
def test_each_datatype_comes_back_as_it_went(protocol: Any, client: Any, datatype: str) -> None:
    array = ARRAYS[datatype]
    result = client.infer("echo", [tensor(protocol, "x", array, datatype)])
    assert result.as_numpy("x").dtype == array.dtype
    np.testing.assert_array_equal(result.as_numpy("x"), array)


@pytest.mark.parametrize("datatype", sorted(AS_JSON))
def test_each_datatype_that_json_can_carry(server: Any, datatype: str) -> None:
    array = ARRAYS[datatype]
    wanted = tritonclient.http.InferRequestedOutput("x", binary_data=False)
    with tritonclient.http.InferenceServerClient(server.address) as client:
        sent = tensor(tritonclient.http, "x", array, datatype, binary_data=False)
        np.testing.assert_array_equal(client.infer("echo", [sent], outputs=[wanted]).as_numpy("x"), array)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_what_json_can_not_carry_is_refused_with_the_way_out(server: Any, datatype: str) -> None:
    with tritonclient.http.InferenceServerClient(server.address) as client:
        sent = tensor(tritonclient.http, "x", ARRAYS[datatype], datatype)
        wanted = [tritonclient.http.InferRequestedOutput("x", binary_data=False)]
        code, sentence = error_of(client.infer, "echo", [sent], outputs=wanted)
    assert (code, sentence[-35:]) == ("400", "set its parameter binary_data to true."[-35:])


@pytest.mark.parametrize("binary", [(True, False), (False, True), (False, False)])
def test_binary_and_json_inputs_and_outputs_mix(server: Any, binary: tuple[bool, bool]) -> None:
    http = tritonclient.http
    inputs = [tensor(http, "INPUT0", A, binary_data=binary[0]), tensor(http, "INPUT1", B, binary_data=binary[1])]
    outputs = [http.InferRequestedOutput(f"OUTPUT{index}", binary_data=binary[1 - index]) for index in (0, 1)]
    with http.InferenceServerClient(server.address) as client:
        check_sums(client.infer("simple", inputs, outputs=outputs))


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compressed_calls(protocol: Any, client: Any, algorithm: str) -> None:
    option = "request_compression_algorithm" if protocol is tritonclient.http else "compression_algorithm"
    check_sums(client.infer("simple", pair(protocol), **{option: algorithm}))


def test_an_image(protocol: Any, client: Any) -> None:
    image = np.random.default_rng(0).random((1, 3, 224, 224), np.float32)
    result = client.infer("image", [tensor(protocol, "x", image, "FP32")])
    np.testing.assert_allclose(result.as_numpy("mean"), image.mean((2, 3)), rtol=1e-5)


def test_calls_with_callbacks(grpc_client: Any) -> None:
    results: queue.Queue[Any] = queue.Queue()
    for _ in range(20):
        grpc_client.async_infer("simple", pair(tritonclient.grpc), lambda result, error: results.put((result, error)))
    for _ in range(20):
        result, error = results.get(timeout=10)
        assert error is None
        check_sums(result)


def test_calls_without_waiting(server: Any) -> None:
    with tritonclient.http.InferenceServerClient(server.address, concurrency=4) as client:
        running = [client.async_infer("simple", pair(tritonclient.http)) for _ in range(20)]
        for each in running:
            check_sums(each.get_result())


@pytest.mark.parametrize("protocol", [tritonclient.http.aio, tritonclient.grpc.aio], ids=["http", "grpc"])
async def test_calls_from_an_event_loop(server: Any, protocol: Any) -> None:
    address = server.address if protocol is tritonclient.http.aio else server.grpc_address
    sync = tritonclient.http if protocol is tritonclient.http.aio else tritonclient.grpc
    async with protocol.InferenceServerClient(address) as client:
        assert await client.is_server_ready()
        for result in await asyncio.gather(*(client.infer("simple", pair(sync)) for _ in range(20))):
            check_sums(result)


def stream(client: Any, *requests: dict[str, Any], answers: int, **more: Any) -> list[Any]:
    """What a stream answers to requests: results or errors, as they come."""
    results: queue.Queue[Any] = queue.Queue()
    client.start_stream(lambda result, error: results.put(error or result), **more)
    try:
        for request in requests:
            client.async_stream_infer(**request)
        return [results.get(timeout=10) for _ in range(answers)]
    finally:
        client.stop_stream()


def numbers(*values: int) -> list[Any]:
    return [tensor(tritonclient.grpc, "IN", np.array(values, np.int32))]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_stream_of_requests_is_answered_in_its_order(grpc_client: Any, compression: str | None) -> None:
    requests = [
        {"model_name": "simple", "inputs": pair(tritonclient.grpc), "request_id": str(number)} for number in range(30)
    ]
    results = stream(grpc_client, *requests, answers=30, compression_algorithm=compression)
    assert [response_id(each) for each in results] == [str(number) for number in range(30)]
    check_sums(results[-1])


def test_a_model_that_streams_answers_as_it_goes(grpc_client: Any) -> None:
    request = {"model_name": "repeat_int32", "inputs": numbers(5, 6, 7), "enable_empty_final_response": True}
    *parts, last = stream(grpc_client, request, answers=4)
    assert [int(part.as_numpy("OUT")[0]) for part in parts] == [5, 6, 7]
    assert last.get_response().parameters["triton_final_response"].bool_param
    assert not last.get_response().outputs


def test_a_model_that_fails_in_its_stream_ends_that_request_alone(grpc_client: Any) -> None:
    failing = {"model_name": "repeat_int32", "inputs": numbers(5, -1, 7)}
    part, error = stream(grpc_client, failing, answers=2)
    assert int(part.as_numpy("OUT")[0]) == 5
    assert isinstance(error, InferenceServerException)
    assert "failed" in error.message()
    assert len(stream(grpc_client, {"model_name": "repeat_int32", "inputs": numbers(1)}, answers=1)) == 1


def test_one_answer_is_not_enough_for_a_model_that_gives_more(grpc_client: Any) -> None:
    code, sentence = error_of(grpc_client.infer, "repeat_int32", numbers(1, 2))
    assert code == "INVALID_ARGUMENT"
    assert "by ModelStreamInfer over gRPC" in sentence


async def test_a_stream_on_an_event_loop(server: Any) -> None:
    async def requests() -> Any:
        for number in range(3):
            yield {"model_name": "simple", "inputs": pair(tritonclient.grpc), "request_id": str(number)}

    async with tritonclient.grpc.aio.InferenceServerClient(server.grpc_address) as client:
        answers = [each async for each in client.stream_infer(requests())]
    assert [(response_id(result), error) for result, error in answers] == [("0", None), ("1", None), ("2", None)]


def test_health_and_metadata(protocol: Any, client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("simple")
    assert client.is_model_ready("simple", "1")
    as_json = {} if protocol is tritonclient.http else {"as_json": True}
    server = client.get_server_metadata(**as_json)
    assert server["name"] == "everwarm"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata("simple", **as_json)
    assert (model["name"], model["versions"]) == ("simple", ["1"])
    assert [(each["name"], each["datatype"], list(map(int, each["shape"]))) for each in model["inputs"]] == [
        ("INPUT0", "INT32", [-1, 16]),
        ("INPUT1", "INT32", [-1, 16]),
    ]


def test_configuration_and_statistics(protocol: Any, client: Any) -> None:
    as_json = {} if protocol is tritonclient.http else {"as_json": True}
    config = client.get_model_config("repeat_int32", **as_json)
    config = config.get("config", config)
    assert config["name"] == "repeat_int32"
    assert config["input"][0]["data_type"] == "TYPE_INT32"
    assert config["model_transaction_policy"]["decoupled"] is True

    def successes() -> int:
        (model,) = client.get_inference_statistics("simple", **as_json)["model_stats"]
        return int(model["inference_stats"]["success"].get("count", 0))

    before = successes()
    client.infer("simple", pair(protocol))
    assert successes() == before + 1
    assert len(client.get_inference_statistics(**as_json)["model_stats"]) >= 4


def test_models_are_unloaded_and_loaded(protocol: Any, client: Any) -> None:
    def states() -> dict[str, str]:
        index = client.get_model_repository_index(**({} if protocol is tritonclient.http else {"as_json": True}))
        return {each["name"]: each["state"] for each in (index if isinstance(index, list) else index["models"])}

    assert states()["simple"] == "READY"
    client.unload_model("simple")
    assert states()["simple"] == "UNAVAILABLE"
    assert not client.is_model_ready("simple")
    code, sentence = error_of(client.infer, "simple", pair(protocol))
    assert code in {"503", "UNAVAILABLE"}
    assert "unloaded" in sentence
    client.load_model("simple")
    check_sums(client.infer("simple", pair(protocol)))
    code, sentence = error_of(client.load_model, "stranger")
    assert code in {"404", "NOT_FOUND"}
    assert sentence.startswith("failed to load 'stranger'")


def test_errors_have_the_codes_of_their_protocol(protocol: Any, client: Any) -> None:
    codes = {"404": "NOT_FOUND", "400": "INVALID_ARGUMENT"}
    short = tensor(protocol, "INPUT0", np.zeros((1, 2), np.int32))
    for call, code, sentence in (
        (partial(client.infer, "stranger", pair(protocol)), "404", "Request for unknown model"),
        (partial(client.get_model_metadata, "stranger"), "404", "Request for unknown model"),
        (partial(client.infer, "simple", pair(protocol), model_version="7"), "404", "has no version '7' here"),
        (partial(client.infer, "simple", pair(protocol)[:1]), "400", "also needs the input 'INPUT1'."),
        (partial(client.infer, "simple", [short, short]), "400", "comes twice"),
        (partial(client.infer, "simple", [short, *pair(protocol)[1:]]), "400", "must have the shape [-1, 16]"),
    ):
        got = error_of(call)
        assert got[0] == (code if protocol is tritonclient.http else codes[code])
        assert sentence in got[1]


def test_a_deadline_that_is_over(grpc_client: Any) -> None:
    echoed = [tensor(tritonclient.grpc, "x", A)]
    code, _ = error_of(grpc_client.infer, "echo", echoed, client_timeout=0.2, parameters={"sleep_seconds": 1})
    assert code == "DEADLINE_EXCEEDED"
    np.testing.assert_array_equal(grpc_client.infer("echo", echoed, client_timeout=20).as_numpy("x"), A)


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_a_message_over_the_limit_also_when_it_is_so_only_inflated(grpc_client: Any, compression: str | None) -> None:
    zeros = tensor(tritonclient.grpc, "x", np.zeros(5 * 2**20, np.uint8), "UINT8")
    code, _ = error_of(grpc_client.infer, "echo", [zeros], compression_algorithm=compression)
    assert code == "RESOURCE_EXHAUSTED"


def test_shared_memory_is_not_offered(client: Any) -> None:
    code, sentence = error_of(client.get_system_shared_memory_status)
    assert code in {"501", "UNIMPLEMENTED"}
    assert sentence == MEMORY


def test_calls_are_counted_among_the_requests(server: Any, grpc_client: Any) -> None:
    before = server.metric("everwarm_requests_total", model_name="simple", code="200")
    grpc_client.infer("simple", pair(tritonclient.grpc))
    assert server.metric("everwarm_requests_total", model_name="simple", code="200") == before + 1
