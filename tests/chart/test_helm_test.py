"""What `helm test` says in a cluster where a part does not work: each sentence names the part and what to do."""

import importlib.util
from pathlib import Path
from types import ModuleType

import httpx
import pytest
import respx

from harness.chart import CHART

GOOD_METRICS = "# HELP x y\neverwarm_operator_last_pass_time_seconds 1.8e+09\n"
NO_PASS = "everwarm_operator_last_pass_time_seconds 0.0\n"
SUCCESS = {"status": "success", "data": {}}
REFUSED = {"message": "spec.concurrency must be 1 to 1000"}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The module, with no patience and a service account's token but without a certificate authority of its own."""
    spec = importlib.util.spec_from_file_location("helm_test", CHART / "files" / "helm_test.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "token").write_text("secret")
    monkeypatch.setattr(module, "ACCOUNT", tmp_path)
    monkeypatch.setattr(module, "PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(module.ssl, "create_default_context", lambda cafile: True)
    environment = {
        "OPERATOR_URL": "http://operator:8080",
        "OPERATOR_METRICS_URL": "http://operator:9464",
        "PROMETHEUS_URL": "http://prometheus:9090",
        "NAMESPACE": "everwarm-system",
        "KUBERNETES_SERVICE_HOST": "kubernetes",
        "KUBERNETES_SERVICE_PORT": "443",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return module


def serve(
    *,
    health: int = 200,
    metrics: str = GOOD_METRICS,
    prometheus: httpx.Response | Exception | None = None,
    good: int = 201,
    bad: int = 422,
    asks_prometheus: bool = True,
) -> respx.Route:
    """Answers as a cluster in which all is well, but for what is named; returns the route of the API server."""
    respx.get("http://operator:8080/healthz").respond(health, text="health")
    respx.get("http://operator:9464/metrics").respond(200, text=metrics)
    if asks_prometheus:
        query = respx.get("http://prometheus:9090/api/v1/query")
        query.mock(side_effect=[prometheus or httpx.Response(200, json=SUCCESS)])
    api = respx.post("https://kubernetes:443/apis/everwarm.dev/v1alpha1/namespaces/everwarm-system/modelservices")
    api.mock(side_effect=[httpx.Response(good, json={"message": "no"}), httpx.Response(bad, json=REFUSED)])
    return api


@respx.mock
def test_all_is_well(checks: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    api = serve()

    assert checks.main() == 0

    assert capsys.readouterr().out.splitlines() == [
        "ok      the operator is alive",
        "ok      the operator decides",
        "ok      prometheus answers",
        "ok      the api server checks model services",
    ]
    assert [call.request.url.params["dryRun"] for call in api.calls] == ["All", "All"]
    assert {call.request.headers["Authorization"] for call in api.calls} == {"Bearer secret"}


@pytest.mark.parametrize(("up", "code"), [("1.0", 0), ("0.0", 1)])
@respx.mock
def test_where_prometheus_takes_credentials_the_operator_is_asked(
    checks: ModuleType, monkeypatch: pytest.MonkeyPatch, up: str, code: int
) -> None:
    monkeypatch.setenv("PROMETHEUS_URL", "")
    serve(metrics=f"{GOOD_METRICS}everwarm_operator_prometheus_up {up}\n", asks_prometheus=False)

    assert checks.main() == code


BROKEN = [
    ({"health": 500}, "the operator is alive: the operator's /healthz answers 500: health"),
    ({"metrics": NO_PASS}, "the operator decides: the operator has not finished a pass yet: its log says why"),
    ({"metrics": ""}, "the operator decides: the operator has not finished a pass yet: its log says why"),
    (
        {"prometheus": httpx.Response(404, text="not here")},
        "prometheus answers: Prometheus answers 404 (not here): set prometheus.url",
    ),
    (
        {"prometheus": httpx.ConnectError("no such host")},
        "prometheus answers: http://prometheus:9090 can't be reached (no such host): set prometheus.url",
    ),
    (
        {"good": 404},
        'the api server checks model services: a ModelService is refused with 404: {"message":"no"}. '
        "Is its definition there?",
    ),
    (
        {"bad": 201},
        "the api server checks model services: a bad ModelService is answered with 201: "
        '{"message":"spec.concurrency must be 1 to 1000"}. Is it our definition?',
    ),
]


@pytest.mark.parametrize(("what", "sentence"), BROKEN)
@respx.mock
def test_what_is_broken_is_said(
    checks: ModuleType, capsys: pytest.CaptureFixture[str], what: dict, sentence: str
) -> None:
    serve(**what)

    assert checks.main() == 1

    assert [line for line in capsys.readouterr().out.splitlines() if line[:2] != "ok"] == [f"BROKEN  {sentence}"]
