import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from everwarm_server.repository import Repository
from everwarm_server.transport.router import Router, metrics_only

X = json.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}).encode()
ANSWER = {
    "model_name": "m",
    "model_version": "1",
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [2.0, 4.0]}],
}


@pytest.mark.parametrize("path", ["/v2/models/m/infer", "/v2/models/m/versions/1/infer"])
async def test_v2_answers_by_name_and_by_version(
    repository: Repository, make_router: Any, client: Any, path: str
) -> None:
    reply = await client(make_router(repository), "POST", path, X[:7], X[7:], headers={"content-type": "text/plain"})
    assert (reply.code, reply.json, reply.complete) == (200, ANSWER, True)


@pytest.mark.parametrize("path", ["/v1/models/m:predict", "/v1/models/m/versions/1:predict"])
async def test_v1_answers_by_name_and_by_version(
    repository: Repository, make_router: Any, client: Any, path: str
) -> None:
    reply = await client(make_router(repository), "POST", path, b'{"instances": [1, 2]}')
    assert (reply.code, reply.json) == (200, {"predictions": [2.0, 4.0]})


async def test_binary_goes_in_and_comes_out(repository: Repository, make_router: Any, client: Any) -> None:
    tensor = {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"inference-header-content-length": str(len(head))}
    body = head + struct.pack("<2f", 1, 2)
    reply = await client(make_router(repository), "POST", "/v2/models/m/infer", body, headers=headers)
    length = int(reply.headers["inference-header-content-length"])
    assert (reply.code, reply.body[length:]) == (200, struct.pack("<2f", 2, 4))
    assert int(reply.headers["content-length"]) == len(reply.body)


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "code", "sentence"),
    [
        ("POST", "/v2/models/other/infer", X, {}, 404, "Request for unknown model 'other'; this server has 'm'."),
        ("POST", "/v2/models/m/versions/2/infer", X, {}, 404, "The model 'm' has no version '2' here; it has '1'."),
        ("POST", "/v2/models/a/b/infer", X, {}, 404, "Request for unknown model 'a/b'; this server has 'm'."),
        ("POST", "/v1/models/other:predict", b"{}", {}, 404, "Request for unknown model 'other'; this server has 'm'."),
        ("GET", "/v2/models/m/infer", b"", {}, 405, "The method GET is not allowed here; use POST."),
        ("PUT", "/v2/models/other/infer", b"", {}, 405, "The method PUT is not allowed here; use POST."),
        ("POST", "/v2/health/live", b"", {}, 405, "The method POST is not allowed here; use GET, HEAD."),
        ("GET", "/nowhere", b"", {}, 404, "Not Found: GET '/nowhere'."),
        ("DELETE", "/v2/models/m", b"", {}, 405, "Method Not Allowed: DELETE '/v2/models/m'."),
        ("GET", "/v2/models/other", b"", {}, 404, "Request for unknown model 'other'; this server has 'm'."),
        ("GET", "/v2/models/m/versions/2/ready", b"", {}, 404, "The model 'm' has no version '2' here; it has '1'."),
        (
            "POST",
            "/v2/models/m/infer",
            X,
            {"content-encoding": "br"},
            415,
            "The body is encoded as 'br'; send it as gzip, deflate or zstd, or uncompressed.",
        ),
        (
            "POST",
            "/v2/models/m/infer",
            b"x" * 1001,
            {},
            413,
            "The body has 1001 bytes; this server accepts at most 1000.",
        ),
        (
            "POST",
            "/v2/models/m/infer",
            b'{"parameters": {"fail": true}, ' + X[1:],
            {},
            500,
            "The model failed.",
        ),
    ],
)
async def test_errors_are_one_sentence_of_json(
    repository: Repository,
    make_router: Any,
    client: Any,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    code: int,
    sentence: str,
) -> None:
    reply = await client(make_router(repository), method, path, body, headers=headers)
    assert (reply.code, reply.json) == (code, {"error": sentence})
    assert ("allow" in reply.headers) is (code == 405)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/", {"status": "alive"}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models/m/ready", {"name": "m", "ready": True}),
        ("/v2/models/m/versions/1/ready", {"name": "m", "ready": True}),
        ("/v1/models", {"models": ["m"]}),
        ("/v1/models/m", {"name": "m", "ready": True}),
        (
            "/v2/models/m",
            {
                "name": "m",
                "versions": ["1"],
                "platform": "fake",
                "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
                "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
            },
        ),
    ],
)
async def test_get(repository: Repository, make_router: Any, client: Any, path: str, body: Any) -> None:
    reply = await client(make_router(repository), "GET", path)
    assert (reply.code, reply.json) == (200, body)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
async def test_server_metadata_names_its_extensions(
    repository: Repository, make_router: Any, client: Any, path: str
) -> None:
    reply = await client(make_router(repository), "GET", path)
    assert (reply.json["name"], "binary_tensor_data" in reply.json["extensions"]) == ("everwarm", True)


async def test_openapi_describes_the_hot_path_too(repository: Repository, make_router: Any, client: Any) -> None:
    document = (await client(make_router(repository), "GET", "/openapi.json")).json
    assert {"/v2", "/v2/health/ready", "/v2/models/{name}/infer", "/v1/models/{name}:predict"} <= set(document["paths"])
    assert document["components"]["parameters"]["Name"]["schema"]["examples"] == ["m"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/v2/health/live", 200),
        ("/v2/health/ready", 503),
        ("/v2/models/m", 503),
        ("/v2/models/m/ready", 503),
        ("/v1/models/m", 503),
        ("/v1/models", 200),
        ("/metrics", 200),
    ],
)
async def test_before_the_model_is_loaded_the_server_lives(
    make_router: Any, serving: Any, client: Any, path: str, code: int
) -> None:
    unready = await serving()
    assert (await client(make_router(unready), "GET", path)).code == code
    reply = await client(make_router(unready), "POST", "/v2/models/m/infer", X)
    assert (reply.code, reply.headers["retry-after"]) == (503, "1")
    unready.close()


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("Bearer right", 200),
        ("bearer right", 200),
        ("Bearer  right ", 200),
        ("Bearer wrong", 401),
        ("Bearer righ", 401),
        ("Bearer right,Bearer right", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer", 401),
        ("", 401),
    ],
)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/v2/models/m/infer", X), ("GET", "/v2", b""), ("GET", "/metrics", b""), ("GET", "/docs", b"")],
)
async def test_everything_but_probes_needs_the_token(
    repository: Repository, make_router: Any, client: Any, given: str, code: int, method: str, path: str, body: bytes
) -> None:
    reply = await client(make_router(repository, token="right"), method, path, body, headers={"authorization": given})
    assert reply.code == code
    assert reply.headers.get("www-authenticate") == ("Bearer" if code == 401 else None)


@pytest.mark.parametrize(("path", "code"), [("/v2/health/live", 200), ("/v2/health/ready", 200), ("/v2/health/x", 401)])
async def test_probes_need_no_token(
    repository: Repository, make_router: Any, client: Any, path: str, code: int
) -> None:
    assert (await client(make_router(repository, token="right"), "GET", path)).code == code


async def test_metrics_are_on_one_port_only(repository: Repository, make_router: Any, client: Any) -> None:
    main: Router = make_router(repository, metrics_here=False)
    assert (await client(main, "GET", "/metrics")).code == 404
    metrics = metrics_only(repository.metrics)
    reply = await client(metrics, "GET", "/metrics")
    assert (reply.code, b"everwarm_requests_total{" in reply.body) == (200, True)
    assert (await client(metrics, "GET", "/v2")).code == 404
    assert (await client(metrics, "POST", "/metrics")).code == 405


async def test_metrics_count_each_answer_by_its_code(
    repository: Repository, make_router: Callable[..., Router], client: Any
) -> None:
    router = make_router(repository)
    for body in (X, X, b"not json"):
        await client(router, "POST", "/v2/models/m/infer", body)
    await client(router, "POST", "/v2/models/m/infer", X[:9], headers={"content-length": str(len(X))}, closed=True)
    counted = {
        code: repository.metrics.registry.get_sample_value("everwarm_requests_total", {"model_name": "m", "code": code})
        for code in ("200", "400", "499")
    }
    assert counted == {"200": 2, "400": 1, "499": 1}
    assert repository.metrics.in_flight == 0
