"""The repository of models, statistics and configuration over HTTP: the shapes are those of Triton's extensions."""

import json
from typing import Any

import pytest

from everwarm_server.repository import Repository

INFER = json.dumps({"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}).encode()
READY = {"name": "m", "version": "1", "state": "READY", "reason": ""}
AWAY = {"name": "m", "version": "1", "state": "UNAVAILABLE", "reason": "it was unloaded."}


@pytest.mark.parametrize(("body", "entries"), [(b"", [READY]), (b"{}", [READY]), (b'{"ready": true}', [READY])])
async def test_the_index_lists_all_versions(
    repository: Repository, make_router: Any, client: Any, body: bytes, entries: list[Any]
) -> None:
    reply = await client(make_router(repository), "POST", "/v2/repository/index", body)
    assert (reply.code, reply.json) == (200, entries)


async def test_a_model_goes_and_comes_by_request(repository: Repository, make_router: Any, client: Any) -> None:
    router = make_router(repository)

    async def asked(method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        reply = await client(router, method, path, body)
        return reply.code, reply.json

    unload = b'{"parameters": {"unload_dependents": true}}'
    assert await asked("POST", "/v2/repository/models/m/unload", unload) == (200, {})
    assert await asked("POST", "/v2/repository/index") == (200, [AWAY])
    assert await asked("POST", "/v2/repository/index", b'{"ready": true}') == (200, [])
    gone = {"error": "The model 'm' is not loaded: it was unloaded."}
    for method, path in (
        ("POST", "/v2/models/m/infer"),
        ("POST", "/v1/models/m:predict"),
        ("GET", "/v2/models/m"),
        ("GET", "/v2/models/m/config"),
        ("GET", "/v2/models/m/stats"),
        ("GET", "/v2/models/m/versions/1/ready"),
    ):
        assert await asked(method, path, INFER if method == "POST" else b"") == (503, gone)
    assert await asked("GET", "/v2/health/ready") == (200, {"ready": True})
    assert await asked("POST", "/v2/repository/models/m/load") == (200, {})
    assert (await asked("POST", "/v2/models/m/infer", INFER))[0] == 200


@pytest.mark.parametrize(
    ("path", "body", "code", "sentence"),
    [
        ("models/x/load", b"", 404, "failed to load 'x': there is no model of that name here."),
        ("models/x/unload", b"", 404, "Request for unknown model 'x'; this server has 'm'."),
        ("models/m/load", b"[]", 400, "must be a JSON object"),
        ("models/m/load", b"{", 400, "not valid JSON"),
        ("models/m/load", b'{"parameters": {"file:1/model.onnx": "AA=="}}', 400, "carries no files"),
        ("models/m/load", b'{"parameters": {"config": "{\\"backend\\": \\"x\\"}"}}', 400, "config has 'backend'"),
        ("models/m/unload", b'{"parameters": {"unload_dependents": 1}}', 400, "must be true or false"),
        ("index", b'{"ready": 1}', 400, "must be true or false"),
        ("index", b'"' + b"x" * 70_000 + b'"', 413, "larger than the 65536 bytes"),
        ("nothing", b"", 404, "Not Found"),
    ],
)
async def test_wrong_requests_are_refused_in_a_sentence(
    repository: Repository, make_router: Any, client: Any, path: str, body: bytes, code: int, sentence: str
) -> None:
    reply = await client(make_router(repository), "POST", f"/v2/repository/{path}", body)
    assert reply.code == code
    assert sentence in reply.json["error"]


@pytest.mark.parametrize(
    ("method", "path", "sentence"),
    [
        ("GET", "/v2/systemsharedmemory/status", "send tensors as raw bytes"),
        ("POST", "/v2/cudasharedmemory/region/r/register", "send tensors as raw bytes"),
        ("POST", "/v2/models/m/trace/setting", "OpenTelemetry's variables"),
        ("POST", "/v2/logging", "stderr"),
        ("POST", "/v1/models/m:explain", "Models here have no explainers"),
        ("POST", "/v1/models/m/versions/1:explain", "Models here have no explainers"),
    ],
)
async def test_what_is_not_offered_says_what_to_use_instead(
    repository: Repository, make_router: Any, client: Any, method: str, path: str, sentence: str
) -> None:
    reply = await client(make_router(repository), method, path, b"{}" if method == "POST" else b"")
    assert reply.code == 501
    assert sentence in reply.json["error"]


@pytest.mark.parametrize("path", ["/v2/models/stats", "/v2/models/m/stats", "/v2/models/m/versions/1/stats"])
async def test_statistics_count_requests(repository: Repository, make_router: Any, client: Any, path: str) -> None:
    router = make_router(repository)
    for body in (INFER, INFER, b"{}"):
        await client(router, "POST", "/v2/models/m/infer", body)
    (found,) = (await client(router, "GET", path)).json["model_stats"]
    assert {key: found[key] for key in ("name", "version", "inference_count", "execution_count")} == {
        "name": "m",
        "version": "1",
        "inference_count": 2,
        "execution_count": 2,
    }
    stats = found["inference_stats"]
    assert {name: stats[name]["count"] for name in ("success", "fail", "queue", "compute_infer")} == {
        "success": 2,
        "fail": 1,
        "queue": 2,
        "compute_infer": 2,
    }
    assert stats["success"]["ns"] > stats["compute_infer"]["ns"] > 0


async def test_config_is_tritons(repository: Repository, make_router: Any, client: Any) -> None:
    config = (await client(make_router(repository), "GET", "/v2/models/m/config")).json
    assert (config["name"], config["platform"], config["input"]) == (
        "m",
        "fake",
        [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1]}],
    )


async def test_a_query_names_no_version(repository: Repository, make_router: Any, client: Any) -> None:
    router = make_router(repository)
    assert (await client(router, "GET", "/v2/models/m", query="version=7")).code == 200
    assert (await client(router, "GET", "/v2/models/m/versions/7")).code == 404


@pytest.mark.parametrize(("token", "code"), [("boss", 200), ("right", 401), ("", 401)])
async def test_management_can_need_a_token_of_its_own(
    repository: Repository, make_router: Any, client: Any, token: str, code: int
) -> None:
    router = make_router(repository, token="right", management_token="boss")
    headers = {"authorization": f"Bearer {token}"}
    assert (await client(router, "POST", "/v2/repository/models/m/load", headers=headers)).code == code
    index = await client(router, "POST", "/v2/repository/index", headers={"authorization": "Bearer right"})
    assert index.code == 200
