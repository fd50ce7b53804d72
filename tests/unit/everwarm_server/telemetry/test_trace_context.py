import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.telemetry.trace_context import Parent, Sampler, Trace, UnknownSampler, parse, sampler

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = f"00-{TRACE}-{SPAN}-01".encode()
UNSAMPLED = f"00-{TRACE}-{SPAN}-00".encode()


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (SAMPLED, True),
        (UNSAMPLED, False),
        (SAMPLED[:-2] + b"03", True),  # flags that are not known yet
        (SAMPLED[:-2] + b"fe", False),
        (b" " + SAMPLED + b" ", True),
        (b"cc" + SAMPLED[2:], True),  # a version that is not known yet
        (b"cc" + SAMPLED[2:] + b"-what-the-future-holds", True),
    ],
)
def test_a_parent_is_read(header, sampled):
    assert parse(header) == Parent(int(TRACE, 16), int(SPAN, 16), sampled)


@pytest.mark.parametrize(
    "header",
    [
        None,
        b"",
        b"garbage",
        b"ff" + SAMPLED[2:],
        SAMPLED + b"-more",
        SAMPLED[:-1],
        SAMPLED.upper(),
        SAMPLED + b"," + SAMPLED,  # sent twice
        f"00-{'0' * 32}-{SPAN}-01".encode(),
        f"00-{TRACE}-{'0' * 16}-01".encode(),
        b"cc" + SAMPLED[2:] + b"more",
    ],
)
def test_what_is_no_parent_is_as_none(header):
    assert parse(header) is None


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_not(header):
    parent = parse(header)
    assert parent is None or parent.trace_id > 0 < parent.span_id


@pytest.mark.parametrize(
    ("name", "argument", "root", "of_sampled", "of_unsampled"),
    [
        ("", "", True, True, False),
        ("parentbased_always_on", "", True, True, False),
        ("parentbased_always_off", "", False, True, False),
        ("always_on", "", True, True, True),
        ("always_off", "", False, False, False),
        ("parentbased_traceidratio", "0", False, True, False),
        ("Parentbased_TraceIdRatio", "1.0", True, True, False),
        ("traceidratio", "", True, True, True),
    ],
)
def test_samplers_are_those_of_opentelemetry(name, argument, root, of_sampled, of_unsampled):
    made = sampler(name, argument)
    found = [made.begin(header) is not None for header in (None, SAMPLED, UNSAMPLED)]
    assert found == [root, of_sampled, of_unsampled]


def test_a_ratio_is_that_of_traces_that_begin_here():
    made = Sampler(0.25, ids=random.Random(1))
    assert sum(made.begin(None) is not None for _ in range(10_000)) == pytest.approx(2500, abs=150)


def test_a_ratio_decides_by_the_trace_as_other_servers_do():
    made = sampler("traceidratio", "0.5")
    low, high = (f"00-{'1' * 16}{half}-{SPAN}-00".encode() for half in ("7" + "f" * 15, "8" + "0" * 15))
    assert made.begin(low) is not None
    assert made.begin(high) is None


def test_a_trace_goes_on_with_a_span_of_its_own():
    trace = Sampler(ids=random.Random(1)).begin(SAMPLED)
    assert trace == Trace(int(TRACE, 16), random.Random(1).getrandbits(64), int(SPAN, 16))
    assert trace.trace_hex == TRACE


@pytest.mark.parametrize(("name", "argument"), [("jaeger_remote", ""), ("traceidratio", "many"), ("traceidratio", "2")])
def test_an_unknown_sampler_is_refused(name, argument):
    with pytest.raises(UnknownSampler, match="is no sampler"):
        sampler(name, argument)
