import numpy as np
import pytest

from reactions.core.errors import UsageError
from reactions.experiments.unibind.claims import (
    ARMS,
    CLAIMS,
    CONTROLS,
    CUTOFFS,
    DIRECTIONS,
    GEOMETRY,
    POINT_DIRECTIONS,
    RECOGNITION,
    STATEMENTS,
    Claim,
    at,
    parse_findings,
)
from reactions.experiments.unibind.judge import judge

FAMILIES = {
    *RECOGNITION,
    *GEOMETRY,
    *(at(direction, k) for direction in DIRECTIONS for k in CUTOFFS),
    *(at(direction, 1) for direction in POINT_DIRECTIONS),
}


def strata(**values):
    """Per-item values of arms x and y, two seeds of one task each."""
    return {(arm, "image"): [np.array(v, float) for v in rows] for arm, rows in values.items()}


def test_every_claim_is_of_known_arms_families_and_findings():
    for claim in (*CLAIMS, *CONTROLS):
        assert claim.finding in STATEMENTS
        for arm, family in claim.measured:
            assert arm in ARMS
            assert family in FAMILIES
    assert {claim.finding for claim in CLAIMS} == set(STATEMENTS)


def test_arms_that_recognise_say_how_classes_are_described():
    for claim in (*CLAIMS, *CONTROLS):
        for arm, family in claim.measured:
            assert family not in RECOGNITION or ARMS[arm].classes is not None, arm


def test_a_margin_must_be_reached_by_the_mean():
    rows = strata(x=[[1] * 10, [1] * 10], y=[[0.9] * 10, [0.9] * 10])
    assert judge(Claim("U2", "x", "y", "image", 9.9), rows, 2).holds
    assert not judge(Claim("U2", "x", "y", "image", 10.1), rows, 2).holds


def test_a_claim_needs_its_wider_interval_above_zero():
    rows = strata(x=[[1] * 10, [0.1] * 10], y=[[0] * 10, [0] * 10])
    judged = judge(Claim("U2", "x", "y", "image"), rows, 2)
    assert judged.difference.low > 0 > judged.over_seeds.low
    assert not judged.holds


def test_what_is_relative_is_in_per_cent_of_the_arm():
    rows = strata(x=[[0.5], [0.25]], y=[[0.25], [0.125]])
    judged = judge(Claim("U4", "x", "y", "image", 50.0, relative=True), rows, 2)
    assert judged.by_seed == (50.0, 50.0)
    assert judged.holds


def test_a_second_difference_is_taken_off():
    rows = strata(x=[[1.0] * 4, [1.0] * 4], y=[[0.5] * 4, [0.5] * 4], z=[[0.7] * 4, [0.7] * 4])
    claim = Claim("U3", "x", "y", "image", beyond=("z", "y", "image"))
    assert judge(claim, rows, 2).difference.mean == pytest.approx(30)


def test_a_judgement_as_json_has_no_infinity():
    rows = strata(x=[[1, 1]], y=[[0, 1]])
    judgement = judge(Claim("U2", "x", "y", "image"), rows, 1).to_json()
    assert judgement["low_over_seeds"] is None
    assert judgement["holds"] is False


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        (None, tuple(STATEMENTS)),
        ("U3", ("U3",)),
        ("u3, U1", ("U1a", "U1b", "U1c", "U3")),
        ("U4c", ("U4c",)),
    ],
)
def test_findings_are_chosen_by_name(text, chosen):
    assert parse_findings(text) == chosen


@pytest.mark.parametrize("text", ["", ",", "U9", "U", "3"])
def test_unknown_findings_are_refused(text):
    with pytest.raises(UsageError):
        parse_findings(text)
