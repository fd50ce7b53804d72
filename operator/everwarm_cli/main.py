"""The command `everwarm`: arguments -> the functions that do the work -> exit code.

0: done. 1: it failed, and one sentence says why. 2: it was asked wrongly. Data goes to stdout, all else to stderr.
"""

import importlib
import sys
from importlib import metadata
from typing import Annotated

import typer
from rich.console import Console

from everwarm_cli import plan, serve, simulate
from everwarm_cli.backtest import command as backtest
from everwarm_cli.errors import CommandError
from everwarm_cli.options import duration_option
from everwarm_cli.reproduce import command as reproduce
from everwarm_cli.traces import command as traces
from everwarm_cli.up.settings import LoadKind, PolicyKind, UpSettings

app = typer.Typer(
    help="Model serving whose models are warm when the request arrives.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"everwarm {metadata.version('everwarm')}\n")
        raise typer.Exit


@app.callback()
def _everwarm(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    del version


app.command("plan")(plan.plan)
app.command("simulate")(simulate.simulate)
app.command("backtest")(backtest.backtest)
app.command("reproduce")(reproduce.reproduce)
app.command("traces")(traces.traces)

_ServeModel = Annotated[
    str | None, typer.Argument(metavar="[MODEL]", help="A directory, or a URI: s3://, gs://, az://, https://.")
]
_LocalModel = Annotated[str, typer.Argument(metavar="MODEL", help="A directory of a model, or its URI.")]
_Name = Annotated[str | None, typer.Option(help="The model's name; by default the last part of MODEL.")]
_Format = Annotated[
    str | None, typer.Option("--format", help="onnx, torch, sklearn, python or kserve; else as the files say.")
]


@app.command("serve")
def serve_model(
    model: _ServeModel = None,
    name: _Name = None,
    model_format: _Format = None,
    models: Annotated[str | None, typer.Option(help="Instead of MODEL: a directory of models, or a list.")] = None,
    model_memory_bytes: Annotated[int | None, typer.Option(min=1, help="What all models may take in memory.")] = None,
    host: Annotated[str | None, typer.Option(help="Off loopback EVERWARM_API_TOKEN must be set.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="8080 by default.")] = None,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Put /metrics there only.")] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Requests computed at once.")] = None,
    queue_size: Annotated[int | None, typer.Option(min=0, help="Requests that may wait.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
) -> None:
    """Serve a model, or several, in this process. More settings are EVERWARM_* variables of the environment."""
    if (model is None) == (models is None):
        raise CommandError("everwarm serve takes a MODEL, or --models with a directory or list of them.", exit_code=2)
    options = {
        "model_uri": None if model is None else serve.model_uri(model),
        "models": None if models is None else serve.model_uri(models),
        "model_memory_bytes": model_memory_bytes,
        "model_name": name,
        "model_format": model_format,
        "host": host,
        "port": port,
        "metrics_port": metrics_port,
        "concurrency": concurrency,
        "queue_size": queue_size,
        "device": device,
    }
    serve.become_server(serve.environment(options))


@app.command("crd")
def print_crd() -> None:
    """Print the CustomResourceDefinition of ModelService as YAML."""
    try:
        schema = importlib.import_module("everwarm_operator.api.schema")
    except ModuleNotFoundError as error:
        raise CommandError(f"everwarm crd needs the package {error.name}: pip install 'everwarm[operator]'.") from error
    sys.stdout.write(schema.crd_yaml())


@app.command("up")
def up_model(
    model: _LocalModel,
    name: _Name = None,
    model_format: _Format = None,
    min_replicas: Annotated[int, typer.Option(min=0, help="0 allows scale to zero.")] = 1,
    max_replicas: Annotated[int, typer.Option(min=1)] = 4,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests that one replica gets at once.")] = 1,
    cpus: Annotated[int, typer.Option(min=0, help="CPUs of each replica, as a pod's limit; 0: all.")] = 1,
    target_p95: Annotated[float, duration_option("The latency objective.", "300ms")] = 0.3,
    policy: Annotated[PolicyKind, typer.Option(help="Who moves the floor.")] = PolicyKind.HYBRID,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of the gateway, on loopback; 0: any.")] = 8080,
    interval: Annotated[float, duration_option("How often to observe and decide.", "2s")] = 2.0,
    window: Annotated[float, duration_option("What one observation looks back on.", "15s")] = 15.0,
    stable_window: Annotated[float | None, duration_option("The autoscaler's; 60s, with a load 10s.")] = None,
    low_utilization: Annotated[float, duration_option("Policy paper: idle for so long, one less.", "30s")] = 30.0,
    load: Annotated[LoadKind, typer.Option(help="bursts: send a load from here, answers checked.")] = LoadKind.NONE,
    duration: Annotated[float | None, duration_option("Stop after this long.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of the live view.")] = False,
) -> None:
    """Run a model here without Kubernetes.

    Replicas are processes behind a gateway; the planner moves their floor.
    """
    settings = UpSettings(
        model_uri=(uri := serve.model_uri(model)),
        model_name=name or serve.model_name(uri),
        model_format=model_format,
        port=port,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        concurrency=concurrency,
        cpus=cpus,
        target_p95_seconds=target_p95,
        policy=policy,
        interval_seconds=interval,
        window_seconds=window,
        stable_window_seconds=stable_window or (10.0 if load is LoadKind.BURSTS else 60.0),
        low_utilization_seconds=low_utilization,
        load=load,
        duration_seconds=duration,
        plain=plain,
    )
    importlib.import_module("everwarm_cli.up.command").up(settings, Console(), Console(stderr=True))


def main() -> None:
    """Run the command line and exit."""
    try:
        app(prog_name="everwarm")
    except CommandError as error:
        sys.stderr.write(f"everwarm: {error}\n")
        sys.stderr.writelines(f"    {line}\n" for line in error.details)
        sys.exit(error.exit_code)
