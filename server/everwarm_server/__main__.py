"""`python -m everwarm_server`: the order of a cold start, and the exit codes: 0 served, 1 failed, 2 wrong settings."""

import os
import sys
from collections.abc import Sequence

from everwarm_server import loading
from everwarm_server.catalogue import start_plan
from everwarm_server.errors import ModelError


def main(arguments: Sequence[str]) -> int:
    """Serve by flags and environment until a signal; return the exit code."""
    loading.read_ahead(os.environ.get("EVERWARM_MODEL_URI", ""))
    from everwarm_server import settings as server_settings
    from everwarm_server.telemetry import logs, process

    start_seconds = process.start_seconds()
    try:
        settings = server_settings.read(arguments)
        plan = start_plan(settings.catalogue()().values(), settings.model_memory_bytes)
    except (server_settings.SettingsError, ModelError) as error:
        sys.stderr.write(f"everwarm: {error}\n")
        return 2
    logs.configure()
    # Whole before two threads need it: each of them may else find the other's half of it. The loads would wait for it.
    import numpy  # noqa: F401, ICN001

    loads = {source: loading.start(source) for source in plan.now}
    from everwarm_server import app

    try:
        return app.run(settings, start_seconds, plan, loads)
    except server_settings.SettingsError as error:
        sys.stderr.write(f"everwarm: {error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"everwarm: can't listen on {settings.host}: {error}\n")
        return 1


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit(): it would wait for threads, and a model may be stuck in one.
    os._exit(code)
