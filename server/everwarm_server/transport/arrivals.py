"""The headers of an HTTP request in, its Arrival out: when it is too late, whose it is, whose trace it belongs to.

Deadlines come as the time that is left: from clients in X-Request-Timeout-Ms, from Envoy (Knative's ingress) in
x-envoy-expected-rq-timeout-ms, from gRPC's gateways in grpc-timeout. The earliest counts. Triton's parameter `timeout`
of a request (microseconds) is one more; the data plane reads it.
"""

import math
import re
import time
from typing import Final

from everwarm_server.dataplane import Arrival
from everwarm_server.errors import DeadlineExceeded, InvalidInput
from everwarm_server.protocol.sentences import shown
from everwarm_server.telemetry.watch import Watch
from everwarm_server.transport.http import Head

CLIENTS_TIMEOUT: Final = b"x-request-timeout-ms"
TENANT: Final = b"x-tenant-id"
_ENVOYS_TIMEOUT: Final = b"x-envoy-expected-rq-timeout-ms"
_GRPC_TIMEOUT: Final = b"grpc-timeout"
_TRACEPARENT: Final = b"traceparent"
_SPECIAL: Final = frozenset({CLIENTS_TIMEOUT, _ENVOYS_TIMEOUT, _GRPC_TIMEOUT, TENANT, _TRACEPARENT})
_MILLISECONDS: Final = re.compile(rb"\d{1,15}(\.\d{0,6})?")
_GRPC: Final = re.compile(rb"(\d{1,8})([HMSmun])")  # gRPC over HTTP/2, "Timeout"
_GRPC_UNITS: Final = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}
_TENANT_BYTES: Final = 256


def arrival(head: Head, monotonic_seconds: float, unix_seconds: float, watch: Watch) -> Arrival:
    """How a request came. What of it can't be read is left out here; `check` says so."""
    request_start = head.get(b"x-request-start")
    if _SPECIAL.isdisjoint(head):  # nearly all: for them this is the whole of it
        if not watch.is_on:
            return Arrival(monotonic_seconds, unix_seconds, request_start)
        return Arrival(monotonic_seconds, unix_seconds, request_start, watched=watch.begin(None))
    traceparent, tenant = head.get(_TRACEPARENT), head.get(TENANT, b"")[:_TENANT_BYTES].decode("latin-1")
    return Arrival(
        monotonic_seconds,
        unix_seconds,
        request_start,
        monotonic_seconds + _left_seconds(head),
        tenant,
        traceparent,
        watch.begin(traceparent, tenant) if watch.is_on else None,
    )


def _left_seconds(head: Head) -> float:
    left = math.inf
    for name in (CLIENTS_TIMEOUT, _ENVOYS_TIMEOUT):
        given = head.get(name, b"")
        if _MILLISECONDS.fullmatch(given):
            left = min(left, float(given) / 1000)
    grpc = _GRPC.fullmatch(head.get(_GRPC_TIMEOUT, b""))
    return left if grpc is None else min(left, int(grpc[1]) * _GRPC_UNITS[grpc[2]])


def check(head: Head, came: Arrival) -> None:
    """See that the request's own headers can be read, and that an answer would still be of use.

    Raises:
        InvalidInput: a header of the client's can't be read; those of proxies are left out then.
        DeadlineExceeded: its time was over before anything was done for it.
    """
    if _SPECIAL.isdisjoint(head):
        return
    given = head.get(CLIENTS_TIMEOUT)
    if given is not None and _MILLISECONDS.fullmatch(given) is None:
        text = shown(given.decode("latin-1"))
        raise InvalidInput(f"The header X-Request-Timeout-Ms is {text}; it must be milliseconds, such as 250.")
    if len(head.get(TENANT, b"")) > _TENANT_BYTES:
        raise InvalidInput(f"The header X-Tenant-Id is longer than {_TENANT_BYTES} bytes.")
    if came.deadline_seconds <= time.perf_counter():
        raise DeadlineExceeded("The deadline of this request had passed when it arrived.")
