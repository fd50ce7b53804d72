"""Documents of description.py to serialized gRPC messages."""

from typing import Any

from google.protobuf import json_format

from everwarm_server.protocol.grpc_messages import message_class


def serialized(message: str, document: dict[str, Any]) -> bytes:
    """A message of the package `inference`, by its name, with the fields that the document has.

    Raises:
        json_format.ParseError: the document has a field that the message has not.
    """
    filled: bytes = json_format.ParseDict(document, message_class(f"inference.{message}")()).SerializeToString()
    return filled
