import numpy as np
import pytest

from reactions.core.errors import UsageError
from reactions.dsl import parse
from reactions.experiments.findings.contrasts import (
    BESIDE,
    CONTRASTS,
    CONTROLS,
    FAMILIES,
    MEANS,
    SPACES,
    STATEMENTS,
    TOLERANCE,
    Comparison,
    parse_findings,
)
from reactions.experiments.findings.judge import judge
from reactions.experiments.findings.measure import Findings

RNG = np.random.default_rng(0)


def strata(gain: float, n: int = 400) -> dict[tuple[str, str], list[np.ndarray]]:
    """Two seeds of one task; ``x`` scores ``gain`` (a share) above ``y`` on every item."""
    base = [RNG.integers(0, 2, n) * 0.5 for _ in range(2)]
    return {("x", "f"): [b + gain for b in base], ("y", "f"): base}


@pytest.mark.parametrize(
    ("claim", "gain", "holds"),
    [
        ("beats", 0.001, True),
        ("beats", 0.0, False),
        ("lifts a lot", 0.051, True),
        ("lifts a lot", 0.049, False),
        ("reaches", -TOLERANCE / 100 + 0.001, True),
        ("reaches", -TOLERANCE / 100 - 0.001, False),
        ("costs a little", -0.02, True),
        ("costs a little", -0.06, False),
        ("costs a little", 0.01, False),
        ("gains a little", 0.001, True),
        ("gains a little", 0.049, True),
        ("gains a little", 0.0, False),
        ("gains a little", 0.051, False),
        ("equals", 0.0, True),
        ("equals", 1e-9, False),
        ("differs", 0.3, None),
    ],
)
def test_a_claim_holds_only_with_its_whole_interval(claim, gain, holds):
    verdict = judge(Comparison(1, "x", claim, "y", "f"), strata(gain), 2)
    assert verdict.holds is holds
    assert verdict.difference.mean == pytest.approx(100 * gain)
    assert verdict.by_seed == pytest.approx((100 * gain, 100 * gain))


def test_noise_around_nothing_beats_nothing():
    scores = {(name, "f"): [RNG.integers(0, 2, 300).astype(float)] for name in ("x", "y")}
    verdict = judge(Comparison(1, "x", "beats", "y", "f"), scores, 1)
    assert not verdict.holds
    assert verdict.difference.low < 0 < verdict.difference.high


@pytest.mark.parametrize(
    ("claim", "gain"),
    [("beats", 0.02), ("lifts a lot", 0.07), ("reaches", 0.0), ("costs a little", -0.03)],
)
def test_a_mean_on_the_right_side_is_not_enough(claim, gain):
    # Differences of +-1 about the gain: the mean fits the claim, 60 items are too few to tell.
    noise = np.tile([1.0, -1.0], 30)
    scores = {("x", "f"): [noise + gain], ("y", "f"): [np.zeros(60)]}
    verdict = judge(Comparison(1, "x", claim, "y", "f"), scores, 1)
    assert verdict.difference.mean == pytest.approx(100 * gain, abs=1e-9)
    assert not verdict.holds


def test_the_wider_interval_judges():
    # Every item agrees within a seed, so items show no spread at all; the seeds do.
    gains = (0.001, 0.012, 0.003, 0.003, 0.003)
    scores = {("x", "f"): [np.full(40, g) for g in gains], ("y", "f"): [np.zeros(40)] * 5}
    verdict = judge(Comparison(1, "x", "beats", "y", "f"), scores, 5)
    assert verdict.difference.low == pytest.approx(verdict.difference.high)
    # Student's t with 4 degrees of freedom, by hand: 2.776 * 0.4336 / sqrt(5).
    assert verdict.over_seeds == pytest.approx((0.44, -0.0983, 0.9783), abs=1e-3)
    assert not verdict.holds
    # Seeds that agree do not narrow what items leave open.
    noise = np.tile([1.0, -1.0], 30) + 0.02
    scores = {("x", "f"): [noise] * 5, ("y", "f"): [np.zeros(60)] * 5}
    verdict = judge(Comparison(1, "x", "beats", "y", "f"), scores, 5)
    assert verdict.over_seeds.low == pytest.approx(2)
    assert not verdict.holds


def test_one_seed_shows_nothing():
    verdict = judge(Comparison(1, "x", "beats", "y", "f"), {**strata(0.5)}, 1)
    assert verdict.difference.low > 0
    assert not verdict.holds
    row = Findings("mini", (0,), {}, (verdict,)).to_json()["contrasts"][0]
    assert row["low_over_seeds"] is row["high_over_seeds"] is None


def test_every_finding_has_contrasts_between_known_spaces():
    assert {contrast.finding for contrast in CONTRASTS} == set(STATEMENTS)
    for contrast in (*CONTRASTS, *CONTROLS, *MEANS):
        assert set(contrast.spaces) <= set(SPACES)
        assert contrast.family in FAMILIES
    assert not {contrast.claim for contrast in CONTRASTS} & {"differs"}
    compared = {space for c in (*CONTRASTS, *CONTROLS, *MEANS) for space in c.spaces}
    compared_beside = {space for spaces in BESIDE.values() for space in spaces}
    assert compared | compared_beside == set(SPACES)


def test_reactions_are_canonical():
    for reaction, _ in SPACES.values():
        assert str(parse(reaction).result) == reaction


def test_a_finding_holds_only_if_all_its_contrasts_do():
    good = judge(Comparison(1, "x", "beats", "y", "f"), strata(0.1), 2)
    bad = judge(Comparison(1, "x", "beats", "y", "f"), strata(-0.1), 2)
    assert Findings("mini", (0, 1), {}, (good,)).holds(1)
    assert not Findings("mini", (0, 1), {}, (good, bad)).holds(1)
    assert Findings("mini", (0, 1), {}, (good,)).to_json()["findings"][0]["holds"]


def test_equal_on_average_is_not_equal():
    swapped = {("x", "f"): [np.array([1.0, 0.0])], ("y", "f"): [np.array([0.0, 1.0])]}
    verdict = judge(Comparison(10, "x", "equals", "y", "f"), swapped, 1)
    assert verdict.difference.mean == 0
    assert not verdict.holds


def test_a_gain_beyond_a_control_is_the_difference_of_two_gains():
    scores = {
        (name, "f"): [np.full(50, score), np.full(50, score)]
        for name, score in {"x": 0.5, "y": 0.3, "control": 0.45, "untuned": 0.4}.items()
    }
    beyond = Comparison(10, "x", "beats", "y", "f", ("control", "untuned"))
    verdict = judge(beyond, scores, 2)
    assert verdict.difference.mean == pytest.approx(15)
    assert verdict.by_seed == pytest.approx((15, 15))
    assert verdict.holds
    assert verdict.to_json()["beyond"] == ["control", "untuned"]
    assert not judge(
        Comparison(10, "y", "beats", "x", "f", ("control", "untuned")), scores, 2
    ).holds


def test_controls_and_means_decide_nothing():
    good = judge(Comparison(10, "x", "beats", "y", "f"), strata(0.1), 2)
    bad = judge(Comparison(10, "x", "beats", "y", "f"), strata(-0.1), 2)
    findings = Findings("mini", (0, 1), {}, (good,), controls=(bad,), means=(bad,))
    assert findings.holds(10)
    assert [row["holds"] for row in findings.to_json()["controls"]] == [False]
    assert findings.to_json()["findings"] == [
        {"finding": 10, "statement": STATEMENTS[10], "holds": True}
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [(None, tuple(range(1, 11))), ("7", (7,)), ("8, 7,7", (7, 8)), ("10,1", (1, 10))],
)
def test_findings_by_number(text, numbers):
    assert parse_findings(text) == numbers


@pytest.mark.parametrize("text", ["0", "11", "x", "-1", "1.5", "\u0663", " , "])
def test_findings_that_are_not_there(text):
    with pytest.raises(UsageError, match="--only") as caught:
        parse_findings(text)
    assert "7,8" in caught.value.fix
