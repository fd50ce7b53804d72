import subprocess
import sys
from pathlib import Path

import pytest

from everwarm_server.catalogue import Source
from everwarm_server.settings import Settings, SettingsError, default_name, parser, read


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"EVERWARM_{name.upper()}", raising=False)
    monkeypatch.delenv("PORT", raising=False)


def test_defaults() -> None:
    settings = read(["--model-uri", "/models/digits"])
    assert settings.model_dump() == {
        "batching": "auto",
        "batch_rows": None,
        "batch_delay_seconds": 0.0,
        "slo_seconds": None,
        "tenant_share": 0.8,
        "adaptive_limit": False,
        "model_uri": "/models/digits",
        "models": None,
        "model_memory_bytes": None,
        "model_wait_seconds": 60.0,
        "management": None,
        "management_token": None,
        "model_name": "digits",
        "model_format": None,
        "host": "127.0.0.1",
        "port": 8080,
        "metrics_port": None,
        "grpc_port": None,
        "grpc_connection_seconds": 10.0,
        "server_name": "everwarm",
        "concurrency": 1,
        "queue_size": 1000,
        "inline_seconds": 0.0003,
        "drain_seconds": 5.0,
        "shutdown_seconds": 60.0,
        "max_body_bytes": 64 * 2**20,
        "compress_bytes": 16384,
        "head_seconds": 10.0,
        "body_seconds": 10.0,
        "unread_seconds": 30.0,
        "idle_seconds": 120.0,
        "max_connections": 10_000,
        "max_header_bytes": 65536,
        "access_log": 0.0,
        "api_token": None,
        "allow_unauthenticated": False,
        "device": "auto",
        "cache_dir": None,
    }


def test_no_directory_that_can_be_written_is_needed_to_read_them() -> None:
    program = """
import tempfile
tempfile._candidate_tempdir_list = lambda: ["/proc/none"]
from everwarm_server.settings import read
print(read(["--model-uri", "/models/digits"]).cache_dir)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("None\n", "")


@pytest.mark.parametrize(
    ("environment", "flags", "port"),
    [
        ({}, [], 8080),
        ({"PORT": "9000"}, [], 9000),
        ({"PORT": "9000", "EVERWARM_PORT": "9001"}, [], 9001),
        ({"PORT": "9000", "EVERWARM_PORT": "9001"}, ["--port", "9002"], 9002),
        ({"PORT": "9000"}, ["--port=9002"], 9002),
        ({"PORT": ""}, [], 8080),
    ],
)
def test_flags_win_over_our_environment_and_that_over_the_plain_port(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], flags: list[str], port: int
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert read(["--model-uri", "m", *flags]).port == port


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org"])
def test_an_address_that_others_reach_needs_a_token_or_a_decision(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("EVERWARM_MODEL_URI", "m")
    with pytest.raises(SettingsError, match="set EVERWARM_API_TOKEN, or EVERWARM_ALLOW_UNAUTHENTICATED=true"):
        read(["--host", host])
    assert read(["--host", host, "--allow-unauthenticated", "true"]).host == host
    monkeypatch.setenv("EVERWARM_API_TOKEN", "secret")
    settings = read(["--host", host])
    assert "secret" not in repr(settings)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert read(["--model-uri", "m", "--host", host]).api_token is None


@pytest.mark.parametrize(
    ("flags", "manages"),
    [
        ([], True),
        (["--management", "false"], False),
        (["--host", "0.0.0.0", "--api-token", "a"], False),
        (["--host", "0.0.0.0", "--api-token", "a", "--management", "true"], True),
        (["--host", "0.0.0.0", "--allow-unauthenticated", "true"], False),
        (["--host", "0.0.0.0", "--allow-unauthenticated", "true", "--management-token", "b"], True),
    ],
)
def test_models_are_managed_by_request_where_no_stranger_can(flags: list[str], manages: bool) -> None:
    assert read(["--model-uri", "m", *flags]).manages is manages


def test_strangers_never_manage_models() -> None:
    flags = ["--host", "0.0.0.0", "--allow-unauthenticated", "true", "--management", "true"]
    with pytest.raises(SettingsError, match="set EVERWARM_MANAGEMENT_TOKEN, or EVERWARM_MANAGEMENT=false"):
        read(["--model-uri", "m", *flags])


def test_one_model_and_several_come_as_a_catalogue(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (one,) = read(["--model-uri", "/models/digits", "--concurrency", "3"]).catalogue()().values()
    assert one.sources() == [Source("digits", "/models/digits", concurrency=3)]
    (of_several,) = read(["--models", str(tmp_path), "--concurrency", "3"]).catalogue()().values()
    assert of_several.base == Source("a", str(tmp_path / "a"), concurrency=3)


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ([], "set EVERWARM_MODEL_URI for one model, or EVERWARM_MODELS for several; neither is set"),
        (["--model-uri", "m", "--models", "d"], "both are set"),
        (["--model-uri", "m", "--port", "99999"], "EVERWARM_PORT: Input should be less than or equal to 65535"),
        (["--model-uri", "m", "--concurrency", "0"], "EVERWARM_CONCURRENCY: Input should be greater than or equal"),
        (["--model-uri", "m", "--drain-seconds", "-1"], "EVERWARM_DRAIN_SECONDS"),
        (["--model-uri", "m", "--device", "tpu"], "EVERWARM_DEVICE"),
        (["--model-uri", "s3://bucket/a b"], "EVERWARM_MODEL_NAME"),
        (["--model-uri", "m", "--model-name", "a/b"], "EVERWARM_MODEL_NAME"),
    ],
)
def test_a_wrong_setting_is_named_as_in_the_environment(flags: list[str], sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence):
        read(flags)


def test_a_wrong_value_is_not_repeated_since_it_may_be_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERWARM_CONCURRENCY", "hunter2")
    with pytest.raises(SettingsError) as failure:
        read(["--model-uri", "m"])
    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/models/digits", "digits"),
        ("/models/digits/", "digits"),
        ("file:///models/digits", "digits"),
        ("s3://bucket/team/fraud-v2/", "fraud-v2"),
        ("s3://bucket", "bucket"),
        ("https://example.org/a/model.tar.gz?version=3", "model"),
        (".", Path.cwd().name),
    ],
)
def test_the_name_of_a_model_is_the_last_part_of_its_uri(uri: str, name: str) -> None:
    assert default_name(uri) == name


def test_help_describes_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parser().parse_args(["--help"])
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert all(field.description for field in Settings.model_fields.values())
    assert all(f"EVERWARM_{name.upper()}" in text for name in Settings.model_fields)
