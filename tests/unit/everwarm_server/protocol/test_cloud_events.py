import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol import cloud_events
from everwarm_server.protocol.cloud_events import Event
from everwarm_server.protocol.v2_json import json_headers

BINARY = {b"ce-specversion": b"1.0", b"ce-id": b"7", b"ce-source": b"/a", b"ce-type": b"t", b"content-type": b"x/y"}
STRUCTURED = {b"content-type": b"application/cloudevents+json; charset=UTF-8"}
ATTRIBUTES = {"specversion": "1.0", "id": "7", "source": "/a", "type": "t"}
ROWS = {"instances": [[1, 2]]}


def structured(**more):
    return json.dumps({name: value for name, value in (ATTRIBUTES | more).items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("head", "body", "event", "data"),
    [
        ({}, b"{}", None, b"{}"),
        ({b"content-type": b"application/json"}, b"{}", None, b"{}"),
        (BINARY, b'{"instances":[1]}', Event(is_structured=False, specversion="1.0"), b'{"instances":[1]}'),
        (STRUCTURED, structured(data=ROWS), Event(is_structured=True, specversion="1.0"), ROWS),
        (
            STRUCTURED,
            structured(data_base64=base64.b64encode(json.dumps(ROWS).encode()).decode()),
            Event(is_structured=True, specversion="1.0"),
            ROWS,
        ),
        (STRUCTURED, structured(specversion="0.3"), Event(is_structured=True, specversion="0.3"), None),
    ],
)
def test_an_event_gives_its_data(head, body, event, data):
    got, unwrapped = cloud_events.unwrap(head, body)
    assert got == event
    assert unwrapped == data if isinstance(data, bytes) else json.loads(unwrapped) == data


@pytest.mark.parametrize(
    ("head", "body", "sentence"),
    [
        (BINARY | {b"ce-id": b""}, b"", "has '' as id; it needs a text there."),
        (BINARY | {b"ce-specversion": b"9"}, b"", "has the specversion '9'; it must be 1.0."),
        (STRUCTURED, structured(source=...), "has null as source"),
        (STRUCTURED, structured(type=5), "has 5 as type"),
        (STRUCTURED, structured(data_base64="!"), "data_base64 is not base64."),
        (STRUCTURED, structured(data_base64=5), "data_base64 is not base64."),
        (STRUCTURED, b"[]", "it must be a JSON object."),
        ({b"content-type": b"application/cloudevents-batch+json"}, b"[]", "send each event by itself."),
    ],
)
def test_what_is_no_event_is_refused(head, body, sentence):
    with pytest.raises(InvalidInput) as caught:
        cloud_events.unwrap(head, body)
    assert sentence in str(caught.value)


@given(st.binary(max_size=60), st.sampled_from([BINARY, STRUCTURED]), st.binary(max_size=5))
def test_arbitrary_bytes(body, head, value):
    try:
        cloud_events.unwrap(head | {b"ce-id": value} if head is BINARY else head, body)
    except InvalidInput as refused:
        sentence = str(refused)
    else:
        return
    assert sentence.endswith(".")


@pytest.mark.parametrize("is_structured", [False, True])
def test_an_answer_is_an_event_of_the_same_mode(is_structured):
    body = b'{"predictions":[0.1]}'
    chunks, headers = cloud_events.wrap(Event(is_structured, "1.0"), "m", ([body], json_headers(body)))
    told = dict(headers)
    assert told[b"content-length"] == b"%d" % len(b"".join(chunks))
    if is_structured:
        assert told[b"content-type"] == b"application/cloudevents+json"
        document = json.loads(b"".join(chunks))
        attributes, data = document, document["data"]
    else:
        attributes = {name[3:].decode(): value.decode() for name, value in headers if name.startswith(b"ce-")}
        data = json.loads(b"".join(chunks))
    assert data == {"predictions": [0.1]}
    assert attributes["id"]
    assert (attributes["specversion"], attributes["source"], attributes["type"]) == (
        "1.0",
        "io.kserve.inference.m",
        "io.kserve.inference.response",
    )
