import pytest

from everwarm_server.batching.compute import Trial
from everwarm_server.batching.trial import FIRST_PAUSE, TRIALS, Verdict


def trial(per_row: float, per_batch: float, requests: int = 4, rows: int = 4) -> Trial:
    """What a model of this cost shows."""
    apart, together = per_row * rows + per_batch * requests, per_row * rows + per_batch
    return Trial(requests, rows, True, apart, together)


@pytest.mark.parametrize(
    ("per_row", "per_batch", "pays"),
    [(0.001, 0.002, True), (0.002, 0.001, False), (0.0, 0.005, True), (0.005, 0.0, False)],
)
@pytest.mark.parametrize(("requests", "rows"), [(2, 2), (8, 8), (3, 12)])
def test_it_is_on_where_a_batchs_own_cost_is_more_than_a_rows(
    per_row: float, per_batch: float, pays: bool, requests: int, rows: int
) -> None:
    verdict = Verdict()
    for _ in range(TRIALS):
        assert verdict.wants_trial
        verdict.tried(trial(per_row, per_batch, requests, rows))
    assert (verdict.is_on, verdict.wants_trial) == (pays, False)


def test_one_slow_trial_does_not_decide() -> None:
    verdict = Verdict()
    verdict.tried(Trial(4, 4, True, 0.010, 1.0))
    for _ in range(TRIALS - 1):
        verdict.tried(trial(0.001, 0.005))
    assert verdict.is_on


def test_trials_that_had_begun_before_the_last_change_nothing_unless_answers_differ() -> None:
    verdict = Verdict()
    for _ in range(TRIALS):
        verdict.tried(trial(0.0, 0.005))
    for _ in range(2 * TRIALS):
        verdict.tried(trial(0.005, 0.0))
    assert verdict.is_on
    verdict.tried(Trial(4, 4, False, 1.0, 0.1))
    assert not verdict.is_on


def test_one_other_answer_decides_for_ever() -> None:
    verdict = Verdict()
    verdict.tried(trial(0.0, 0.005))
    verdict.tried(Trial(4, 4, False, 1.0, 0.1))
    for _ in range(10 * FIRST_PAUSE):
        verdict.ran_apart()
    assert (verdict.is_on, verdict.wants_trial) == (False, False)


def test_what_did_not_pay_is_tried_again_later_and_then_later_still() -> None:
    verdict = Verdict()
    for pause in (FIRST_PAUSE, 2 * FIRST_PAUSE):
        for _ in range(TRIALS):
            verdict.tried(trial(0.005, 0.0))
        for _ in range(pause):
            assert not verdict.wants_trial
            verdict.ran_apart()
        assert verdict.wants_trial
