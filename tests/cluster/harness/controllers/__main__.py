"""The controllers as one process: `python -m harness.controllers RUN`, ended by SIGTERM."""

import asyncio
import signal
import sys
from pathlib import Path

from harness.controllers.api import client
from harness.controllers.ingress import IngressController
from harness.controllers.targets import write_targets
from harness.knative import INGRESS_CLASS
from harness.paths import API_SERVER, HOST_ADDRESS, LOCAL_ADDRESS


async def work(run: Path) -> None:
    """Serves the cluster whose certificates lie in `run`."""
    listeners = {"public": HOST_ADDRESS, "local": LOCAL_ADDRESS}
    async with client(run, API_SERVER) as server, asyncio.TaskGroup() as tasks:
        tasks.create_task(IngressController(server, run / "xds", INGRESS_CLASS, listeners).run())
        tasks.create_task(write_targets(server, run / "targets.json"))


async def main(run: Path) -> None:
    """Works until SIGTERM."""
    working = asyncio.create_task(work(run))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, working.cancel)
    await asyncio.wait([working])
    if not working.cancelled():
        working.result()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
