"""Reads /metrics of each ready replica into the ledger; says in a sentence what could not be read."""

import asyncio
from collections.abc import Sequence

import httpx

from everwarm_cli.up import counts
from everwarm_cli.up.counts import Ledger
from everwarm_cli.up.replicas import Replica

_TIMEOUT_SECONDS = 1.5


async def read(client: httpx.AsyncClient, replicas: Sequence[Replica], ledger: Ledger) -> str | None:
    """Read all at once; the sentence of the first failure, `None` if every one was read."""
    failures = await asyncio.gather(*(_read_one(client, replica, ledger) for replica in replicas))
    return next((failure for failure in failures if failure is not None), None)


async def _read_one(client: httpx.AsyncClient, replica: Replica, ledger: Ledger) -> str | None:
    try:
        response = await client.get(f"{replica.backend.url}/metrics", timeout=_TIMEOUT_SECONDS)
        response.raise_for_status()
        ledger.note(f"{replica.number}", counts.parse(response.text))
    except httpx.HTTPError as error:
        return f"replica {replica.number} did not give its metrics: {type(error).__name__}"
    except counts.NotOurMetrics as error:
        return f"replica {replica.number} could not be read: {error}"
    return None
