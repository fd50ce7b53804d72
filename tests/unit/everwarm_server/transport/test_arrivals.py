import math
import time

import pytest

from everwarm_server.dataplane import Arrival
from everwarm_server.errors import DeadlineExceeded, InvalidInput
from everwarm_server.telemetry.watch import Watch
from everwarm_server.transport.arrivals import arrival, check

TRACEPARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def came(head):
    return arrival(head, 100.0, 1000.0, Watch())


def test_a_plain_request_has_no_deadline():
    head = {b"content-length": b"3", b"x-request-start": b"t=999"}
    assert came(head) == Arrival(100.0, 1000.0, b"t=999")
    check(head, came(head))


@pytest.mark.parametrize(
    ("head", "left_seconds"),
    [
        ({b"x-request-timeout-ms": b"250"}, 0.25),
        ({b"x-request-timeout-ms": b"0"}, 0.0),
        ({b"x-request-timeout-ms": b"1.5"}, 0.0015),
        ({b"x-envoy-expected-rq-timeout-ms": b"15000"}, 15.0),
        ({b"x-envoy-expected-rq-timeout-ms": b"garbage"}, math.inf),
        ({b"grpc-timeout": b"2H"}, 7200.0),
        ({b"grpc-timeout": b"3M"}, 180.0),
        ({b"grpc-timeout": b"4S"}, 4.0),
        ({b"grpc-timeout": b"5m"}, 0.005),
        ({b"grpc-timeout": b"6u"}, 6e-6),
        ({b"grpc-timeout": b"7n"}, 7e-9),
        ({b"grpc-timeout": b"123456789S"}, math.inf),  # eight digits at most
        ({b"x-request-timeout-ms": b"900", b"x-envoy-expected-rq-timeout-ms": b"300", b"grpc-timeout": b"1S"}, 0.3),
    ],
)
def test_the_earliest_deadline_counts(head, left_seconds):
    assert came(head).deadline_seconds == pytest.approx(100.0 + left_seconds)


def test_tenant_and_trace_are_passed_on():
    head = {b"x-tenant-id": b"acme", b"traceparent": TRACEPARENT}
    assert came(head) == Arrival(100.0, 1000.0, None, math.inf, "acme", TRACEPARENT)


@pytest.mark.parametrize(
    ("head", "sentence"),
    [
        (
            {b"x-request-timeout-ms": b"10s"},
            "The header X-Request-Timeout-Ms is '10s'; it must be milliseconds, such as 250.",
        ),
        (
            {b"x-request-timeout-ms": b"-5"},
            "The header X-Request-Timeout-Ms is '-5'; it must be milliseconds, such as 250.",
        ),
        (
            {b"x-request-timeout-ms": b"5,6"},
            "The header X-Request-Timeout-Ms is '5,6'; it must be milliseconds, such as 250.",
        ),
        ({b"x-tenant-id": b"a" * 257}, "The header X-Tenant-Id is longer than 256 bytes."),
    ],
)
def test_what_the_client_wrote_wrongly_is_said(head, sentence):
    with pytest.raises(InvalidInput) as error:
        check(head, came(head))
    assert str(error.value) == sentence


def test_a_deadline_that_has_passed_is_said_at_once():
    head = {b"x-request-timeout-ms": b"0"}
    with pytest.raises(DeadlineExceeded, match="had passed when it arrived"):
        check(head, arrival(head, time.perf_counter(), time.time(), Watch()))


@pytest.mark.parametrize(
    ("timeout", "deadline_seconds"), [(500_000, 100.5), (0, math.inf), (-1, math.inf), ("5", math.inf), (1.5, math.inf)]
)
def test_a_request_may_name_its_own_deadline_as_in_tritons_protocol(timeout, deadline_seconds):
    assert came({}).within({"timeout": timeout}).deadline_seconds == deadline_seconds
    head = {b"x-request-timeout-ms": b"100"}
    assert came(head).within({"timeout": timeout}).deadline_seconds == pytest.approx(100.1)
