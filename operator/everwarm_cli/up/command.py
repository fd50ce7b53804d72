"""`everwarm up`: settings in; runs until a signal, the duration or a failure, and leaves nothing behind."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping

from rich.console import Console

from everwarm_cli.errors import CommandError
from everwarm_cli.up import run, summary, terminal
from everwarm_cli.up.replicas import Launch
from everwarm_cli.up.settings import UpSettings

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def up(settings: UpSettings, output: Console, talk: Console) -> None:
    """Run it; data goes to `output`, all else to `talk`.

    Raises:
        CommandError: it can't run; all processes are gone by then.
    """
    if settings.min_replicas > settings.max_replicas:
        raise CommandError(
            f"--min-replicas {settings.min_replicas} is over --max-replicas {settings.max_replicas}.", exit_code=2
        )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_up(settings, output, talk))


async def _up(settings: UpSettings, output: Console, talk: Console) -> None:
    live = output.is_terminal and not settings.plain
    listener = run.listen(settings.port)
    with listener:
        # The load has its own: hundreds of its connections may wait, and the gateway would search among them.
        async with run.client() as client, run.client() as load_client:
            whole = run.Up(settings, launch(settings, os.environ), listener, client, load_client)
            _stop_at_signals(whole)
            talk.print(f"{settings.model_name} answers at {whole.url}; Ctrl-C stops everything.", highlight=False)
            with terminal.showing(output, live=live) as show:
                await whole.run(show)
    if whole.frame is not None:
        terminal.print_lines(output, summary.lines(whole.frame))


def launch(settings: UpSettings, environment: Mapping[str, str]) -> Launch:
    """How a replica is started: the server's own settings, and none that happen to lie in our environment."""
    inherited = {
        name: value for name, value in environment.items() if not name.startswith("EVERWARM_") and name != "PORT"
    }
    own = {
        "EVERWARM_MODEL_URI": settings.model_uri,
        "EVERWARM_MODEL_NAME": settings.model_name,
        "EVERWARM_CONCURRENCY": str(settings.concurrency),
        "EVERWARM_DRAIN_SECONDS": "0",  # the gateway has stopped sending before a replica is told to end
        "EVERWARM_SHUTDOWN_SECONDS": "10",
        "PYTHONUNBUFFERED": "1",
    }
    if settings.model_format is not None:
        own["EVERWARM_MODEL_FORMAT"] = settings.model_format
    return Launch([sys.executable, "-m", "everwarm_server"], {**inherited, **own}, cpus=settings.cpus)


def _stop_at_signals(whole: run.Up) -> None:
    """The first signal stops, the second one kills."""
    loop = asyncio.get_running_loop()

    def handle() -> None:
        if whole.stop.is_set():
            whole.kill()
        whole.stop.set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, handle)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop, twice as fast for a proxy, where it is installed (not on Windows)."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.Loop
