"""What a model has counted since it was loaded, as one value."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts, and sums of seconds.

    Attributes:
        successes: requests that were answered as they wanted, and ...
        failures: the others, but for those whose clients left.
        success_seconds: from their arrival to their answer, all together.
        failure_seconds: the same of the others.
        inferences: requests that were computed.
        executions: calls of the model: fewer where requests were computed together.
        queue_seconds: from the arrival to the computation.
        inference_seconds: in the model.
        last_arrival_seconds: unix time of the last request; 0: none yet.
    """

    successes: int
    failures: int
    success_seconds: float
    failure_seconds: float
    inferences: int
    executions: int
    queue_seconds: float
    inference_seconds: float
    last_arrival_seconds: float
