"""Conditions keep the time of their last transition."""

import pytest

from everwarm_operator.api import conditions
from everwarm_operator.api.conditions import Claim

OLD = {
    "type": "Ready",
    "status": "True",
    "observedGeneration": 1,
    "reason": "Serving",
    "message": "fine",
    "lastTransitionTime": "2027-01-01T00:00:00Z",
}
NOW = "2027-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("old", "claim", "since"),
    [
        ([], Claim("Ready", "True", "Serving", "fine"), NOW),
        ([OLD], Claim("Ready", "True", "Serving", "fine"), OLD["lastTransitionTime"]),
        ([OLD], Claim("Ready", "True", "Other", "in other words"), OLD["lastTransitionTime"]),
        ([OLD], Claim("Ready", "False", "Serving", "fine"), NOW),
        ([OLD], Claim("Ready", "Unknown", "Serving", "fine"), NOW),
        ([{**OLD, "lastTransitionTime": ""}], Claim("Ready", "True", "Serving", "fine"), NOW),
    ],
    ids=["new", "the same", "other words", "turned false", "not known any more", "time was lost"],
)
def test_the_time_changes_with_the_status_only(old: list, claim: Claim, since: str) -> None:
    assert conditions.merge(old, [claim], generation=2, now=NOW) == [
        {
            "type": "Ready",
            "status": claim.status,
            "observedGeneration": 2,
            "reason": claim.reason,
            "message": claim.message,
            "lastTransitionTime": since,
        }
    ]


def test_conditions_of_others_are_kept() -> None:
    other = {**OLD, "type": "Paused"}
    merged = conditions.merge([other, OLD], [Claim("Ready", "True", "Serving", "fine")], generation=1, now=NOW)
    assert merged == [OLD, other]
