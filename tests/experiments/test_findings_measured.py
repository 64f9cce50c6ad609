"""Findings as measured, on a lab of fakes: the same seed gives the same figures."""

from dataclasses import replace

import fakes
import pytest
from fake_lab import fake_session

from reactions import session
from reactions.core.factor_defaults import FactorDefaults
from reactions.dsl import check, parse
from reactions.experiments.findings.contrasts import CONTRASTS, CONTROLS, MEANS, SPACES
from reactions.experiments.findings.measure import measure
from reactions.experiments.paper.spaces import FACTORS, PUBLISHED
from reactions.products.tree import effective_means
from reactions.run.events import PartStarted

ONLY = (4, 7, 10)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """A function that makes sessions of two seeds on a store by name."""
    folder = tmp_path_factory.mktemp("stores")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        patch.setattr(session, "load_encoder", lambda spec, device: fakes.Encoder(spec))
        patch.setattr(session, "check_space", lambda spec: None)

        def make(store):
            patch.setenv("XDG_DATA_HOME", str(folder / store / "data"))
            template = fake_session(folder / store)
            return [replace(template, lab=replace(template.lab, seed=seed)) for seed in (0, 1)]

        yield make


@pytest.fixture(scope="module")
def measured(sessions):
    return measure(sessions("first"), ONLY)


def test_the_same_seeds_give_the_same_figures(sessions, measured):
    few = ONLY[:1]
    assert measure(sessions("other"), few).to_json() == measure(sessions("first"), few).to_json()


def test_the_second_time_nothing_runs(sessions, measured):
    second_sessions, events = sessions("first"), []
    assert measure(second_sessions, ONLY, events=events.append).to_json() == measured.to_json()
    assert second_sessions[0].events.executed == 0
    labels = [event.label for event in events if isinstance(event, PartStarted)]
    assert labels[0] == "seed 0: ImageBind"
    assert len(labels) == len(set(labels)) == 2 * len(measured.scores)


def test_each_seed_is_another_measurement(sessions, measured):
    assert any(len(set(verdict.by_seed)) == 2 for verdict in measured.verdicts)


def test_only_what_was_asked_for_is_measured_and_judged(measured):
    assert measured.numbers == ONLY
    assert [v.contrast for v in measured.verdicts] == [c for c in CONTRASTS if c.finding in ONLY]
    assert [v.contrast for v in measured.controls] == list(CONTROLS)
    assert [v.contrast for v in measured.means] == list(MEANS)
    assert "only sequential" not in measured.scores
    body = measured.to_json()
    assert [entry["finding"] for entry in body["findings"]] == list(ONLY)
    assert len(body["means"]) == len(MEANS)


def test_what_ft_tuned_is_told_once_beside_what_the_paper_tunes(sessions, measured):
    (note,) = measured.to_json()["notes"]
    assert note.startswith(
        "Ft(audio~image) tuned the projectors alone on 40 pairs with image (fake pairs): batch 16, "
        "1 epoch (heads=only); the paper tunes the audio encoder"
    )
    assert measure(sessions("first"), (4,)).notes == ()


def test_tuning_leaves_image_text_untouched_and_changes_audio(measured):
    (untouched,) = (v for v in measured.verdicts if v.contrast.claim == "equals")
    assert untouched.holds
    assert untouched.by_seed == (0.0, 0.0)
    assert measured.scores["InternVL_IB†"]["audio-image"] != pytest.approx(
        measured.scores["InternVL_IB"]["audio-image"]
    )


def test_in_its_own_space_imagebind_stays_itself_but_for_audio(measured):
    own_space, base = measured.scores["own space"], measured.scores["ImageBind"]
    for family in ("image-text", "image classification"):
        assert own_space[family] == base[family]
        assert measured.scores["own space†"][family] == base[family]
    assert own_space["audio-image"] != base["audio-image"]


def test_the_unit_mean_changes_nothing_but_the_mixing_of_two_experts(measured):
    shifts = [v for v in measured.means if v.contrast.claim == "differs"]
    assert {v.holds for v in shifts} == {None}
    for setting in ("Ver.", "AT E."):
        unit = measured.scores[f"ImageBind++ {setting}, unit"]
        assert unit != measured.scores[f"ImageBind++ {setting}"]
    # Experts alone are the same either way, and measured once.
    means = {
        name: effective_means(
            check(parse(SPACES[name][0]), PUBLISHED, factors=FACTORS).space, SPACES[name][1]
        )
        for name in {name for contrast in MEANS for name in contrast.spaces}
    }
    assert {name for name, stages in means.items() if stages} == {
        "ImageBind++ Ver., unit",
        "ImageBind++ AT E., unit",
    }
    assert [name for name in SPACES if "unit" in SPACES[name][0] and not means.get(name)] == []


def test_the_factors_are_the_papers_whatever_the_labs_are(sessions, measured):
    factors = FactorDefaults(other_displacement=0.3, mean="unit")
    others = [
        replace(each_session, lab=replace(each_session.lab, factors=factors))
        for each_session in sessions("first")
    ]
    assert measure(others, ONLY).to_json() == measured.to_json()
    assert others[0].events.executed == 0
