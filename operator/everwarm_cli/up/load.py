"""The load of `--load bursts`: real V2 requests through the gateway, open loop; answers are checked against labels.

A request of one image would be answered faster than any machine could send them, and no replica would ever be busy. So
the load first measures: it doubles the rows of a request until one takes 20 ms, and sizes the bursts by what one
replica then answers. Nothing in the server is slowed down.
"""

import asyncio
import contextlib
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from everwarm_cli.errors import CommandError
from everwarm_cli.up.bursts import BURST_REPLICAS, arrivals, phases

_GOAL_SECONDS = 0.02
_MOST_ROWS = 8192
_MOST_BYTES = 4 << 20
_REQUESTS_PREPARED = 4
_MOST_PER_SECOND = 150.0  # this process can send and forward no more without becoming the bottleneck itself
_MOST_OUTSTANDING = 2000


@dataclass(slots=True)
class LoadStats:
    """What the load did so far; `note` says in words how it was sized."""

    phase: str = "starting"
    note: str = ""
    rate_per_second: float = 0.0
    sent: int = 0
    right: int = 0
    wrong: int = 0
    unchecked: int = 0
    failed: int = 0
    first_answer_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    headers: dict[str, str]
    body: bytes
    labels: Any


class BurstLoad:
    """Sends bursts to `url` until it is cancelled."""

    def __init__(self, client: httpx.AsyncClient, url: str, model_name: str, samples: Path, seed: int) -> None:
        self._client = client
        self._url = f"{url}/v2/models/{model_name}"
        self._samples = samples
        # A load pattern needs no secrets, and the same seed must give the same pattern.
        self._random = random.Random(seed)  # noqa: S311
        self.stats = LoadStats()

    async def run(self) -> None:
        """Measure, then send without end.

        Raises:
            CommandError: the model can't be asked, or nothing is known of what it takes.
        """
        began = time.monotonic()
        requests, service_seconds, rows = await self._measure(began)
        capacity = min(1 / service_seconds, _MOST_PER_SECOND)
        self.stats.note = _note(rows, service_seconds, capacity)
        async with asyncio.TaskGroup() as group:
            outstanding: set[asyncio.Task[None]] = set()
            for phase in phases(self._random):
                self.stats.phase, self.stats.rate_per_second = phase.name, phase.replicas * capacity
                start = time.monotonic()
                for at in arrivals(phase, capacity, self._random):
                    await asyncio.sleep(start + at - time.monotonic())
                    if len(outstanding) < _MOST_OUTSTANDING:
                        task = group.create_task(self._send(self._random.choice(requests)))
                        outstanding.add(task)
                        task.add_done_callback(outstanding.discard)
                await asyncio.sleep(start + phase.seconds - time.monotonic())

    async def _measure(self, began: float) -> tuple[Sequence[_Prepared], float, int]:
        self.stats.phase = "measuring"
        metadata = await self._metadata()
        builder = _builder(metadata, self._samples)
        rows = 1
        while True:
            requests = [builder.build(rows, self._random) for _ in range(_REQUESTS_PREPARED)]
            times = []
            for request in requests:
                start = time.monotonic()
                await self._send(request)
                times.append(time.monotonic() - start)
                if self.stats.first_answer_seconds is None:
                    self.stats.first_answer_seconds = time.monotonic() - began
            service = statistics.median(times)  # on a machine that others use too, the least would promise too much
            enough = service >= _GOAL_SECONDS or rows >= _MOST_ROWS or len(requests[0].body) * 2 > _MOST_BYTES
            if enough or not builder.stretches:
                return requests, service, rows
            rows *= 2

    async def _metadata(self) -> dict[str, Any]:
        try:
            response = await self._client.get(self._url, timeout=120.0)
            response.raise_for_status()
            content: dict[str, Any] = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise CommandError(f"The load could not read the model's metadata: {error}") from error
        return content

    async def _send(self, request: _Prepared) -> None:
        self.stats.sent += 1
        try:
            response = await self._client.post(
                f"{self._url}/infer", content=request.body, headers=request.headers, timeout=120.0
            )
        except httpx.HTTPError:
            self.stats.failed += 1
            return
        if response.status_code != httpx.codes.OK:
            self.stats.failed += 1
        elif request.labels is None:
            self.stats.unchecked += 1
        elif _is_right(response, request.labels):
            self.stats.right += 1
        else:
            self.stats.wrong += 1


def _is_right(response: httpx.Response, labels: Any) -> bool:
    from everwarm_cli.up import v2

    with contextlib.suppress(ValueError):
        answer = v2.first_output(response.headers, response.content)
        return answer.shape == labels.shape and bool((answer == labels).all())
    return False


def _note(rows: int, service_seconds: float, capacity: float) -> str:
    each = "1 row" if rows == 1 else f"{rows} rows"
    bound = "" if service_seconds * capacity > 0.99 else f" (used: {capacity:.0f}/s)"
    return (
        f"{each} take {service_seconds * 1000:.0f} ms: a replica answers {1 / service_seconds:.0f}/s{bound}, "
        f"bursts ask {min(BURST_REPLICAS):g} to {max(BURST_REPLICAS):g} times that"
    )


class _Builder:
    """Makes requests of any number of rows, from labelled samples or from zeros."""

    def __init__(self, metadata: dict[str, Any], images: Any, labels: Any, output: str | None) -> None:
        from everwarm_cli.up import v2

        self._specs = v2.inputs(metadata)
        self._images, self._labels, self._output = images, labels, output
        self.stretches = bool(self._specs[0].shape) and self._specs[0].shape[0] < 0

    def build(self, rows: int, source: random.Random) -> _Prepared:
        from everwarm_cli.up import v2

        if self._images is None:
            encoded = v2.encode({spec: v2.zeros(spec, rows) for spec in self._specs}, None)
            return _Prepared(dict(encoded.headers), encoded.body, None)
        chosen = source.choices(range(len(self._images)), k=rows)
        encoded = v2.encode({self._specs[0]: v2.fitting(self._specs[0], self._images[chosen])}, self._output)
        return _Prepared(dict(encoded.headers), encoded.body, self._labels[chosen])


def _builder(metadata: dict[str, Any], samples: Path) -> _Builder:
    """From MODEL/samples.npz (arrays `images` and `labels`) where the model has one input and an integer output."""
    try:
        import numpy as np
    except ModuleNotFoundError as error:
        raise CommandError("--load needs numpy: pip install 'everwarm[server]'.") from error
    integers = [o["name"] for o in metadata.get("outputs", ()) if o["datatype"] in {"INT64", "INT32"}]
    try:
        if samples.is_file() and integers and len(metadata.get("inputs", ())) == 1:
            with np.load(samples) as content:
                return _Builder(metadata, content["images"], content["labels"], integers[0])
        return _Builder(metadata, None, None, None)
    except (ValueError, KeyError, OSError) as error:
        raise CommandError(f"The load can't make requests for this model: {error}.") from error
