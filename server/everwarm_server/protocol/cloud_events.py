"""CloudEvents around V1: an event in, its data out; an answer in, an event of the same mode out.

Sources: CloudEvents 1.0, HTTP Protocol Binding 3.1 (binary: attributes in headers) and 3.2 (structured: all in a JSON
object); the answer's type and source are those that KServe gives (kserve/protocol/dataplane.py).
"""

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from everwarm_server.errors import InvalidInput
from everwarm_server.protocol.sentences import shown
from everwarm_server.protocol.v2_json import Body, Chunks, Headers, parse_object

STRUCTURED: Final = b"application/cloudevents+json"
_BATCH: Final = b"application/cloudevents-batch+json"
_VERSIONS: Final = frozenset({"1.0", "0.3"})
_NEEDED: Final = ("specversion", "id", "source", "type")


@dataclass(frozen=True, slots=True)
class Event:
    """What an answer needs to know of the event that it answers."""

    is_structured: bool
    specversion: str


def unwrap(head: Mapping[bytes, bytes], body: Body) -> tuple[Event | None, Body]:
    """The data of an event; None and the body itself if the request is none.

    Args:
        head: the request's headers by their lower-case names, among them content-type and ce-*.
        body: of the request.

    Raises:
        InvalidInput: it is an event that is not as CloudEvents are.
    """
    if b"ce-specversion" in head:
        attributes: dict[str, Any] = {name: head.get(f"ce-{name}".encode(), b"").decode("latin-1") for name in _NEEDED}
        return _event(attributes, is_structured=False), body
    kind = head.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind == _BATCH:
        raise InvalidInput("Batches of CloudEvents are not accepted; send each event by itself.")
    if kind != STRUCTURED:
        return None, body
    document = parse_object(memoryview(body))
    event = _event(document, is_structured=True)
    return event, _data(document)


def _event(attributes: Mapping[str, Any], *, is_structured: bool) -> Event:
    for name in _NEEDED:
        value = attributes.get(name)
        if type(value) is not str or not value:
            raise InvalidInput(f"The CloudEvent has {shown(value)} as {name}; it needs a text there.")
    version = str(attributes["specversion"])
    if version not in _VERSIONS:
        raise InvalidInput(f"The CloudEvent has the specversion {shown(version)}; it must be 1.0.")
    return Event(is_structured, version)


def _data(document: Mapping[str, Any]) -> bytes:
    encoded = document.get("data_base64")
    if encoded is None:
        return orjson.dumps(document.get("data"))
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidInput("The CloudEvent's data_base64 is not base64.") from None


def wrap(event: Event, model_name: str, answer: tuple[Chunks, Headers]) -> tuple[Chunks, Headers]:
    """An answer of JSON as an event of the same mode."""
    chunks, headers = answer
    attributes = {
        "specversion": event.specversion,
        "id": str(uuid.uuid4()),
        "source": f"io.kserve.inference.{model_name}",
        "type": "io.kserve.inference.response",
    }
    if not event.is_structured:
        return chunks, [*headers, *((f"ce-{name}".encode(), value.encode()) for name, value in attributes.items())]
    data = orjson.Fragment(b"".join(chunks))
    body = orjson.dumps(attributes | {"datacontenttype": "application/json", "data": data})
    return [body], [(b"content-type", STRUCTURED), (b"content-length", b"%d" % len(body))]
