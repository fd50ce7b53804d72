"""The command line: what it asks for, what it refuses and with which exit code."""

import sys
from pathlib import Path
from typing import Any

import pytest

from everwarm_cli import main, serve
from everwarm_cli.errors import CommandError
from everwarm_cli.up import command, replicas
from everwarm_cli.up.settings import LoadKind, UpSettings


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["everwarm", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["up"], "Missing argument 'MODEL'"),
        (["up", "there-is-none"], "everwarm: There is no model at "),
        (["up", ".", "--interval", "0"], "'0' is no duration over zero; write for example 300ms, 2s or 5m"),
        (["up", ".", "--min-replicas", "5"], "everwarm: --min-replicas 5 is over --max-replicas 4."),
        (["up", ".", "--load", "some"], "'some' is not one of"),
        (["serve", "there-is-none"], "everwarm: There is no model at "),
        (["serve"], "everwarm: everwarm serve takes a MODEL, or --models"),
        (["serve", ".", "--models", "."], "everwarm: everwarm serve takes a MODEL, or --models"),
        (["dance"], "No such command 'dance'"),
    ],
    ids=" ".join,
)
def test_wrong_arguments_end_with_2_and_a_sentence_on_stderr(
    arguments: list[str], sentence: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert sentence in err
    assert "Traceback" not in err


def test_a_failure_ends_with_1_its_sentence_and_the_lines_that_show_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise CommandError("The server ended:", ("ImportError: no torch", "bye"))

    monkeypatch.setattr(command, "up", fail)
    assert run(monkeypatch, "up", ".") == 1
    assert capsys.readouterr().err == "everwarm: The server ended:\n    ImportError: no torch\n    bye\n"


def test_the_crd_is_data_on_stdout(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "crd") == 0
    assert "kind: CustomResourceDefinition" in capsys.readouterr().out


def test_up_hands_on_every_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[UpSettings] = []
    monkeypatch.setattr(command, "up", lambda settings, *_: asked.append(settings))
    options = (
        "--name m --format python --min-replicas 0 --max-replicas 7 --concurrency 3 --cpus 2 --target-p95 250ms "
        "--port 1234 --interval 500ms --window 20s --stable-window 6s --low-utilization 2m --load bursts "
        "--duration 1m --plain"
    )
    assert run(monkeypatch, "up", str(tmp_path), *options.split()) == 0
    assert asked == [
        UpSettings(
            model_uri=str(tmp_path),
            model_name="m",
            model_format="python",
            port=1234,
            min_replicas=0,
            max_replicas=7,
            concurrency=3,
            cpus=2,
            target_p95_seconds=0.25,
            interval_seconds=0.5,
            window_seconds=20.0,
            stable_window_seconds=6.0,
            low_utilization_seconds=120.0,
            load=LoadKind.BURSTS,
            duration_seconds=60.0,
            plain=True,
        )
    ]


def test_serve_turns_options_into_the_servers_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setattr(serve, "become_server", asked.append)
    assert run(monkeypatch, "serve", str(tmp_path), "--port", "9", "--format", "onnx", "--concurrency", "2") == 0
    assert asked == [
        {
            "EVERWARM_MODEL_URI": str(tmp_path),
            "EVERWARM_MODEL_FORMAT": "onnx",
            "EVERWARM_PORT": "9",
            "EVERWARM_CONCURRENCY": "2",
        }
    ]


def test_serve_takes_several_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, str]] = []
    monkeypatch.setattr(serve, "become_server", asked.append)
    assert run(monkeypatch, "serve", "--models", str(tmp_path), "--model-memory-bytes", "1000") == 0
    assert asked == [{"EVERWARM_MODELS": str(tmp_path), "EVERWARM_MODEL_MEMORY_BYTES": "1000"}]


def test_serve_becomes_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr("os.execve", lambda *call: calls.append(call))
    monkeypatch.setenv("EVERWARM_API_TOKEN", "secret")
    serve.become_server({"EVERWARM_PORT": "9"})
    ((program, command_line, environment),) = calls
    assert (program, command_line) == (sys.executable, [sys.executable, "-m", "everwarm_server"])
    assert (environment["EVERWARM_PORT"], environment["EVERWARM_API_TOKEN"]) == ("9", "secret")


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/models/digits", "digits"),
        ("/models/digits/", "digits"),
        ("/models/digits.onnx", "digits"),
        ("s3://bucket/models/bert", "bert"),
        ("https://models.example/bert.tar.gz?version=3", "bert"),
    ],
)
def test_a_model_is_named_after_the_last_part_of_where_it_lies(uri: str, name: str) -> None:
    assert serve.model_name(uri) == name


def test_a_uri_is_left_to_the_server() -> None:
    assert serve.model_uri("s3://bucket/model") == "s3://bucket/model"


def test_a_replica_gets_its_own_settings_and_none_of_ours() -> None:
    settings = UpSettings(model_uri="/m", model_name="m", model_format="onnx", concurrency=2, cpus=3)
    ours = {"PATH": "/bin", "PORT": "1", "EVERWARM_METRICS_PORT": "2", "EVERWARM_API_TOKEN": "x"}
    launch = command.launch(settings, ours)
    assert launch.command == [sys.executable, "-m", "everwarm_server"]
    assert launch.cpus == 3
    assert launch.environment == {
        "PATH": "/bin",
        "EVERWARM_MODEL_URI": "/m",
        "EVERWARM_MODEL_NAME": "m",
        "EVERWARM_MODEL_FORMAT": "onnx",
        "EVERWARM_CONCURRENCY": "2",
        "EVERWARM_DRAIN_SECONDS": "0",
        "EVERWARM_SHUTDOWN_SECONDS": "10",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.mark.parametrize(
    ("each", "available", "dealt"),
    [
        (1, (0, 1), [{0}, {1}, {0}]),
        (2, (0, 1, 2), [{0, 1}, {2, 0}, {1, 2}]),
        (0, (0, 1), [set(), set(), set()]),
        (2, (0, 1), [set(), set(), set()]),
        (1, (), [set(), set(), set()]),
    ],
)
def test_cpus_are_dealt_in_turn(each: int, available: tuple[int, ...], dealt: list[set[int]]) -> None:
    assert [replicas.cpus_of(number, each, available) for number in range(3)] == dealt
