"""How requests fared apart and together in, whether a model's requests may be and are worth being batched out.

Metadata can't tell it: a first dimension of any size may be a sequence's length, and a model may look at all rows at
once. So the first requests that wait at the same time are computed one by one, which answers them, and once more as
one batch. If every trial gives the same answers, and most of them show that it pays, requests are batched.

It pays where a batch's fixed cost is more than a row's: with seconds T(n) = a n + b, n requests that wait together
are done at (n + 1) (a + b) / 2 on average one by one, and at a n + b as a batch, which is sooner if b > a. So
throughput and mean latency gain, for every n.
"""

from typing import Final

from everwarm_server.batching.compute import Trial

TRIALS: Final = 3
FIRST_PAUSE: Final = 1000  # requests until trials that did not pay are repeated; doubled each time
LONGEST_PAUSE: Final = 2**20


class Verdict:
    """What is known of one model."""

    def __init__(self) -> None:
        self.is_on = False
        self._trials = self._paid = 0
        self._left = 0
        self._pause = FIRST_PAUSE
        self._never = False

    @property
    def wants_trial(self) -> bool:
        """Whether the next batch should be computed both ways."""
        return not (self.is_on or self._never or self._left)

    def never(self) -> None:
        """Its answers differ: its requests can't be batched."""
        self._never, self.is_on = True, False

    def ran_apart(self) -> None:
        """A request was computed alone."""
        if self._left:
            self._left -= 1

    def tried(self, trial: Trial) -> None:
        """A trial is over; some may have begun before the last that was needed had ended."""
        if not trial.alike:
            self.never()
        if not self.wants_trial:
            return
        per_batch_seconds = (trial.apart_seconds - trial.together_seconds) / (trial.requests - 1)
        per_row_seconds = (trial.together_seconds - per_batch_seconds) / trial.rows
        self._trials += 1
        self._paid += per_batch_seconds > per_row_seconds
        if self._trials < TRIALS:
            return
        self.is_on = 2 * self._paid > TRIALS
        self._trials = self._paid = 0
        if not self.is_on:
            self._left = self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
