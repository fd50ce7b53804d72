"""What can go wrong at the operator's edges. No HTTP library's types inside.

OperatorError
  KubeError            the API server refused, failed or was not reached; `status` is its HTTP status, 0 if none came
    NotLeader          this process does not hold the Lease
  PrometheusError      no trustworthy answer
    Unreachable        refused, timed out, or a status that says so
    BadAnswer          answered with something that is no answer: HTML, truncated JSON, a warning, too much
  InvalidSpec          a spec that the API server let pass and nobody can follow
  WakeError            a revision at zero was not reached by the request that should wake it
"""


class OperatorError(Exception):
    """Root of the tree; the text is a sentence for a person."""


class KubeError(OperatorError):
    """The API server refused, failed or was not reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotLeader(KubeError):
    """This process may not write, for it does not hold the Lease."""


class PrometheusError(OperatorError):
    """No trustworthy answer."""


class Unreachable(PrometheusError):
    """No answer within the time, or one that says that Prometheus is not there."""


class BadAnswer(PrometheusError):
    """An answer that can't be believed."""


class WakeError(OperatorError):
    """A request that should wake a revision did not get through."""


class InvalidSpec(OperatorError):
    """A spec that the API server let pass and nobody can follow."""
