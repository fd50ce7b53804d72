"""Credentials from a mounted Secret, tenants by header, and another server where one is away."""

from pathlib import Path

import httpx
import pytest

from everwarm_operator.access import Access
from everwarm_operator.errors import Unreachable
from everwarm_operator.prometheus import HttpPrometheus
from everwarm_operator.settings import Settings

EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}
URL = "https://prometheus:9090"


async def headers_of_a_query(access: Access) -> httpx.Headers:
    seen = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json=EMPTY)

    async with HttpPrometheus(access, transport=httpx.MockTransport(handle)) as client:
        await client.query("up")
    return seen[0]


def secret(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


async def test_nobody_in_particular_asks_without_credentials() -> None:
    assert "authorization" not in await headers_of_a_query(Access((URL,)))


async def test_a_token_is_presented_and_read_anew_with_each_query(tmp_path: Path) -> None:
    access = Access((URL,), credentials=secret(tmp_path, token="first\n"))
    assert (await headers_of_a_query(access))["authorization"] == "Bearer first"
    secret(tmp_path, token="second")
    assert (await headers_of_a_query(access))["authorization"] == "Bearer second"


async def test_a_name_and_a_password_are_presented(tmp_path: Path) -> None:
    access = Access((URL,), credentials=secret(tmp_path, username="everwarm", password="a:b"))
    assert (await headers_of_a_query(access))["authorization"] == "Basic ZXZlcndhcm06YTpi"


async def test_a_token_elsewhere_wins(tmp_path: Path) -> None:
    elsewhere = tmp_path / "service-account"
    elsewhere.write_text("its own")
    access = Access((URL,), credentials=secret(tmp_path, token="the folder's"), token_file=elsewhere)
    assert (await headers_of_a_query(access))["authorization"] == "Bearer its own"


async def test_the_tenant_goes_with_each_query() -> None:
    assert (await headers_of_a_query(Access((URL,), {"X-Scope-OrgID": "models"})))["x-scope-orgid"] == "models"


async def test_credentials_that_are_gone_are_no_answer(tmp_path: Path) -> None:
    access = Access((URL,), token_file=tmp_path / "token")
    with pytest.raises(Unreachable, match="the credentials in token can't be read"):
        await headers_of_a_query(access)


def test_what_is_no_certificate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"NO_CERTIFICATE|PEM|no certificate"):
        Access((URL,), credentials=secret(tmp_path, **{"ca.crt": "no certificate"})).tls()


async def test_where_one_server_is_away_the_next_answers_and_is_asked_first_from_then_on() -> None:
    asked = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "a":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json=EMPTY)

    access = Access(("http://a:9090/", "http://b:9090/prefix"))
    async with HttpPrometheus(access, transport=httpx.MockTransport(handle)) as client:
        await client.query("up")
        await client.query("up")
    assert asked == ["a", "b", "b"]


async def test_where_all_are_away_the_last_ones_trouble_is_told() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(503)

    async with HttpPrometheus(Access(("http://a", "http://b")), transport=httpx.MockTransport(handle)) as client:
        with pytest.raises(Unreachable, match="at http://b answered HTTP 503"):
            await client.query("up")


def test_settings_name_it_all(monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = "EVERWARM_OPERATOR_PROMETHEUS_"
    monkeypatch.setenv(f"{prefix}URL", "http://a:9090, http://b:9090")
    monkeypatch.setenv(f"{prefix}HEADERS", '{"X-Scope-OrgID": "models"}')
    monkeypatch.setenv(f"{prefix}CREDENTIALS", "/etc/everwarm/prometheus")
    monkeypatch.setenv(f"{prefix}TOKEN_FILE", "")
    assert Settings().prometheus == Access(
        ("http://a:9090", "http://b:9090"), {"X-Scope-OrgID": "models"}, Path("/etc/everwarm/prometheus")
    )
