"""The one rule of verdicts: every branch, from a difference to an outcome and from outcomes to a verdict."""

import pytest

from mmm4rec_lite.study.protocol.verdict import (
    CONTRADICTED,
    INCONCLUSIVE,
    INKS,
    NOT_TESTED,
    PARTLY,
    SUPPORTED,
    VERDICTS,
    case_outcome,
    graded,
    verdict,
)


@pytest.mark.parametrize(
    "difference, error, obstacle, outcome",
    [
        (2.0, 1.0, "", SUPPORTED),
        (1.9, 1.0, "", INCONCLUSIVE),
        (-2.0, 1.0, "", CONTRADICTED),
        (-1.9, 1.0, "", INCONCLUSIVE),
        (0.0, 0.0, "", INCONCLUSIVE),
        (float("nan"), 1.0, "", NOT_TESTED),
        (9.0, 1.0, "one seed", NOT_TESTED),
        (-9.0, 1.0, "training was cut", NOT_TESTED),
    ],
)
def test_a_case_counts_from_two_standard_errors_on_and_only_where_its_runs_can_tell(
    difference, error, obstacle, outcome
):
    assert case_outcome(difference, error, obstacle) == outcome


@pytest.mark.parametrize(
    "outcomes, complete, word",
    [
        ([SUPPORTED, SUPPORTED], True, SUPPORTED),
        ([SUPPORTED, SUPPORTED], False, PARTLY),
        ([SUPPORTED, CONTRADICTED], True, PARTLY),
        ([SUPPORTED, INCONCLUSIVE], True, PARTLY),
        ([SUPPORTED, NOT_TESTED], True, PARTLY),
        ([CONTRADICTED, INCONCLUSIVE], True, CONTRADICTED),
        ([CONTRADICTED, NOT_TESTED], False, CONTRADICTED),
        ([INCONCLUSIVE, NOT_TESTED], True, INCONCLUSIVE),
        ([NOT_TESTED], True, NOT_TESTED),
        ([], True, NOT_TESTED),
    ],
)
def test_a_verdict_follows_from_the_outcomes(outcomes, complete, word):
    assert verdict(outcomes, complete) == word


def test_cases_decided_by_themselves_are_graded_by_the_same_rule():
    assert [graded(n, 3) for n in (0, 1, 3)] == [CONTRADICTED, PARTLY, SUPPORTED] and set(INKS) == set(VERDICTS)
