"""Inference without ASGI: the headers of a request that a connection has read in, or its whole body, an answer out.

uvicorn makes a task, an event and some dictionaries for each request, which together take as long as a small model.
What is plain (a POST with a length, uncompressed, not pipelined, with its token, in good time) needs none of them.
Everything else goes the way of ASGI, which has the answers for all that may be wrong.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from everwarm_server.admission import Client
from everwarm_server.protocol.v2_json import Body
from everwarm_server.telemetry.metrics import CLIENT_GONE
from everwarm_server.transport import arrivals
from everwarm_server.transport.http import Answer, Head, authorized
from everwarm_server.transport.inference import Endpoint, Inference, Job, stopped_answer

_UNUSUAL: Final = frozenset({b"transfer-encoding", b"content-encoding"})


class Hot:
    """What connections may answer by themselves.

    Args:
        inference: how requests are answered.
        endpoints: by the whole URL as it stands in a request; whoever made it changes it as models come and go.
        token: what a request must carry, if anything.
    """

    def __init__(self, inference: Inference, endpoints: Mapping[bytes, Endpoint], token: bytes | None) -> None:
        self._inference = inference
        self._endpoints = endpoints
        self._token = token

    def endpoint(self, url: bytes) -> Endpoint | None:
        """Who answers at a URL, if somebody does."""
        return self._endpoints.get(url)

    def takes(self, head: Head) -> bool:
        """Whether a request with these headers is a plain one."""
        length = head.get(b"content-length", b"")
        return (
            length.isdigit()
            and int(length) <= self._inference.max_body_bytes
            and _UNUSUAL.isdisjoint(head)
            and (self._token is None or authorized(head, self._token))
        )

    def cycle(self, endpoint: Endpoint, head: Head, client: Client, write: Callable[[Answer, bool], None]) -> "Cycle":
        """A request whose headers have been read; `write` gets its answer, and whether the connection lives on."""
        return Cycle(self._inference, endpoint, (head, client), write)


class _NoEvent:
    """uvicorn tells its cycles by an event that something came; ours are called."""

    def set(self) -> None:
        """Nobody waits."""


class Cycle:
    """One request of a connection, where uvicorn keeps its RequestResponseCycle: it has what a connection looks at."""

    __slots__ = (
        "_arrival", "_endpoint", "_inference", "_job", "_request", "_write", "disconnected", "keep_alive",
        "response_complete",
    )  # fmt: skip
    message_event: Final = _NoEvent()

    def __init__(
        self,
        inference: Inference,
        endpoint: Endpoint,
        request: tuple[Head, Client],
        write: Callable[[Answer, bool], None],
    ) -> None:
        self._inference = inference
        self._endpoint = endpoint
        self._request = request
        self._write = write
        self._arrival = arrivals.arrival(request[0], time.perf_counter(), time.time(), inference.watch)
        self._job: Job | None = None
        self.keep_alive = True
        self.disconnected = False
        self.response_complete = False

    @property
    def outlived(self) -> bool:
        """Whether the model was unloaded or replaced since the headers were read: then who answers is asked anew."""
        return self._endpoint.plane.retired

    def start(self, body: Body) -> None:
        """The body is whole."""
        self._endpoint.plane.metrics.arrived(self._arrival.unix_seconds)
        job = self._job = self._inference.job(self._endpoint, self._arrival, self._request, self._finish)
        job.start(body)

    def broken_off(self) -> None:
        """The connection ended before the body did."""
        self._endpoint.plane.metrics.arrived(self._arrival.unix_seconds)
        self._count(CLIENT_GONE)

    def refuse(self, answer: Answer) -> None:
        """End it, and the connection with it, before its body is whole."""
        self._endpoint.plane.metrics.arrived(self._arrival.unix_seconds)
        self.keep_alive = False
        self._finish(answer)

    def stop(self) -> None:
        """The server's time is over."""
        job = self._job
        if job is not None:
            self._finish(stopped_answer())
            job.give_up()

    def _finish(self, answer: Answer | None) -> None:
        if self.response_complete:
            return
        self.response_complete = True
        self._job = None  # it knows us, and holds the request: without this both would wait for the garbage collector
        if answer is None or self._request[1].gone:
            self._count(CLIENT_GONE)
            return
        self._write(answer, self.keep_alive)
        self._count(answer.code)

    def _count(self, code: int) -> None:
        self._inference.ended(self._endpoint.plane, self._arrival, code)
