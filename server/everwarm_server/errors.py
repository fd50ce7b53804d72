"""What can go wrong in the server, as one tree. No HTTP or gRPC here: each transport maps these to its own codes, once.

ServingError
├── InvalidInput         the request is wrong; the sentence says how to mend it
│   └── TooLarge         it is over a limit of this server
├── ModelNotFound        no model of that name or version here
├── ModelNotReady        the model is still being loaded, or the server drains: try again later
├── Overloaded           too many requests wait already: try again later
│   └── TooManyRequests  too many of this tenant's: there is room for others
├── DeadlineExceeded     the answer would come later than the client can use it
├── Unauthorized         no valid token came with the request
├── Forbidden            this server does not do that by request
├── InferenceFailed      the model itself raised
└── ModelError           the model can't be served at all (bad files, unknown format, missing package)
"""


class ServingError(Exception):
    """Base of all errors that a client or an operator of the server may see; its text is one clear sentence."""


class InvalidInput(ServingError):
    """The request is wrong."""


class TooLarge(InvalidInput):
    """The request is over a limit of this server."""


class ModelNotFound(ServingError):
    """No model of that name or version is served here."""


class ModelNotReady(ServingError):
    """The model is not ready, or the server drains."""


class Overloaded(ServingError):
    """The queue is full; `retry_after_seconds` says when to try again."""

    def __init__(self, message: str, retry_after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooManyRequests(Overloaded):
    """This tenant has more requests here than its share."""


class DeadlineExceeded(ServingError):
    """The request's deadline is over, or would be before its answer.

    `retry_after_seconds` says when its like would be answered in time; None: nobody knows, or a later one would fare
    no better.
    """

    def __init__(self, message: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Unauthorized(ServingError):
    """No valid token came with the request."""


class Forbidden(ServingError):
    """This server is set not to do that by request."""


class InferenceFailed(ServingError):
    """The model raised while it computed an answer."""


class ModelError(ServingError):
    """The model can't be served."""
