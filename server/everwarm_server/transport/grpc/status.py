"""The one map from errors to gRPC statuses.

| error | status |
|---|---|
| InvalidInput | INVALID_ARGUMENT |
| Unauthorized | UNAUTHENTICATED |
| Forbidden | PERMISSION_DENIED |
| ModelNotFound | NOT_FOUND |
| ModelNotReady | UNAVAILABLE |
| Overloaded, TooLarge | RESOURCE_EXHAUSTED |
| DeadlineExceeded | DEADLINE_EXCEEDED |
| all others | INTERNAL |

When to try again is said twice: as the trailer `grpc-retry-pushback-ms`, which gRPC's own retries obey (gRFC A6), and
as google.rpc.RetryInfo in `grpc-status-details-bin`.
"""

import math
from typing import Any, Final, NamedTuple, NoReturn

import grpc

from everwarm_server.errors import (
    DeadlineExceeded,
    Forbidden,
    InvalidInput,
    ModelNotFound,
    ModelNotReady,
    Overloaded,
    ServingError,
    TooLarge,
    Unauthorized,
)
from everwarm_server.protocol.grpc_messages import RetryInfo
from everwarm_server.protocol.grpc_messages import Status as StatusMessage
from everwarm_server.transport.http import error_answer

# Subclasses before their bases.
_CODES: Final[tuple[tuple[type[ServingError], grpc.StatusCode], ...]] = (
    (TooLarge, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
    (Unauthorized, grpc.StatusCode.UNAUTHENTICATED),
    (Forbidden, grpc.StatusCode.PERMISSION_DENIED),
    (ModelNotFound, grpc.StatusCode.NOT_FOUND),
    (ModelNotReady, grpc.StatusCode.UNAVAILABLE),
    (Overloaded, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (DeadlineExceeded, grpc.StatusCode.DEADLINE_EXCEEDED),
)
_NOT_READY_SECONDS: Final = 1.0
_RETRY_INFO: Final = "type.googleapis.com/google.rpc.RetryInfo"


class Status(NamedTuple):
    """How a call ends, and the HTTP code under which it is counted."""

    code: grpc.StatusCode
    sentence: str
    trailers: tuple[tuple[str, str | bytes], ...]
    http_code: int


def status(error: BaseException) -> Status:
    """The status for an error; what is not one of ours is logged and becomes a plain INTERNAL."""
    http_code = error_answer(error).code
    if not isinstance(error, ServingError):
        sentence = "The server failed to answer this request; its log says why."
        return Status(grpc.StatusCode.INTERNAL, sentence, (), http_code)
    code = next((code for kind, code in _CODES if isinstance(error, kind)), grpc.StatusCode.INTERNAL)
    seconds = _NOT_READY_SECONDS if isinstance(error, ModelNotReady) else getattr(error, "retry_after_seconds", None)
    trailers = () if seconds is None else _retry(code, str(error), seconds)
    return Status(code, str(error), trailers, http_code)


def _retry(code: grpc.StatusCode, sentence: str, seconds: float) -> tuple[tuple[str, str | bytes], ...]:
    milliseconds = max(1, math.ceil(seconds * 1000))
    info = RetryInfo()
    info.retry_delay.FromMilliseconds(milliseconds)
    details = StatusMessage(code=code.value[0], message=sentence)
    details.details.add(type_url=_RETRY_INFO, value=info.SerializeToString())
    return (
        ("grpc-retry-pushback-ms", str(milliseconds)),
        ("grpc-status-details-bin", details.SerializeToString()),
    )


async def abort(context: Any, ended: Status) -> NoReturn:
    """End a call by a status; raises what grpc.aio ends handlers with."""
    await context.abort(ended.code, ended.sentence, ended.trailers)
    raise AssertionError("abort() returned")
