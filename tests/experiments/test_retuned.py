import pytest
from bundles import rewrite
from small_world import EXPRESSION, small_session, small_target

from reactions.core.errors import BundleError, UsageError
from reactions.eval.registry import parse_tasks
from reactions.experiments.choosing import retuned
from reactions.experiments.choosing.retuned import expression_with, with_factors, write_retuned
from reactions.products.bundles.bundle import load_bundle
from reactions.products.tree import Adjustment, effective_factors, fit_adjustment

TASKS = parse_tasks("audiocaps,esc50")
TUNED = {"objective": "x", "keep": ["coco >= base"], "seed": 0}


@pytest.fixture(scope="module")
def session_and_target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    session = small_session(folder)
    return session, small_target(session, folder)


@pytest.mark.parametrize(
    "adjustment",
    [
        Adjustment(sigma={"": (0.7, 0.2)}),
        Adjustment(sigma={"CLAP_g": {"audio": 0.3, "text": 0.6}}, lambda_={"": 0.4}),
        Adjustment(sigma={"": 0.4}, experts=frozenset({"InternVL", "CLAP_g"})),
        Adjustment(experts=frozenset({"InternVL"})),
    ],
    ids=["sigma", "one expert", "fewer experts", "a stage less"],
)
def test_it_scores_as_the_adjustment_does(session_and_target, tmp_path, adjustment):
    session, target = session_and_target
    fitted = fit_adjustment(target.space, adjustment)
    path = write_retuned(target.bundle, fitted, tmp_path / "tuned", TUNED)
    bundle = load_bundle(path)
    assert bundle.record["tuned"] == {**TUNED, "from": target.bundle.digest}
    assert "quality" not in bundle.record
    other = session.target(path)
    tasks = [t for t in TASKS if {t.query, t.other} <= set(other.space.modalities)]
    expected = session.evaluate(target, tasks, fitted)
    for evaluation, result in zip(session.evaluate(other, tasks), expected, strict=True):
        for name, value in result.record["metrics"].items():
            assert evaluation.record["metrics"][name] == pytest.approx(value, abs=0.3)
    for name, factors in effective_factors(target.space, fitted).items():
        assert effective_factors(bundle.space)[name] == factors


@pytest.mark.parametrize("after", ["", " | Cr(CLAP_m, data=TVA)"], ids=["last", "before Cr"])
def test_factors_below_what_is_tuned_change_too(session_and_target, tmp_path, after):
    session = session_and_target[0]
    text = f"ImageBind + Dr(InternVL, data=TVA) | Ft(audio~image, epochs=1, batch=32){after}"
    target = small_target(session, tmp_path, text)
    fitted = fit_adjustment(target.space, Adjustment(lambda_={"": 0.3}))
    path = write_retuned(target.bundle, fitted, tmp_path / "tuned", TUNED)
    factors_below = effective_factors(load_bundle(path).space)
    assert factors_below == effective_factors(target.space, fitted)
    assert factors_below["lambda InternVL"] == {"image": 0.3, "text": 0.3}
    tasks = parse_tasks("vggss")
    (alone,) = session.evaluate(session.target(path), tasks)
    (scored,) = session.evaluate(target, tasks, fitted)
    assert alone.record["metrics"] == pytest.approx(scored.record["metrics"], abs=0.3)


def test_other_factors_than_those_scored_are_refused(session_and_target, tmp_path, monkeypatch):
    target = session_and_target[1]
    fitted = fit_adjustment(target.space, Adjustment(sigma={"": 0.4}))
    monkeypatch.setattr(retuned, "with_factors", lambda space, adjustment: space)
    with pytest.raises(BundleError, match="not those that were scored"):
        write_retuned(target.bundle, fitted, tmp_path / "tuned", TUNED)
    assert not (tmp_path / "tuned").exists()


def test_what_goes_by_the_place_of_an_expert_moves_with_it(session_and_target, tmp_path):
    session = session_and_target[0]
    text = EXPRESSION.replace("data=TVA", "data=TVA, recipe=procrustes")
    target = small_target(session, tmp_path, text)
    old = target.bundle.record
    adjustment = Adjustment(experts=frozenset({"InternVL", "CLAP_g"}))
    fitted = fit_adjustment(target.space, adjustment)
    new = load_bundle(write_retuned(target.bundle, fitted, tmp_path / "tuned", TUNED)).record
    assert [mixture["expert"] for mixture in new["mixtures"]] == ["InternVL", "CLAP_g"]
    for name in ("losses", "ranks", "steps"):
        assert "2.TVA" in old[name], name
        unmoved = {key: value for key, value in old[name].items() if not key[0].isdecimal()}
        assert new[name] == {**unmoved, "0.TVA": old[name]["0.TVA"], "1.TVA": old[name]["2.TVA"]}


def test_the_same_parts_are_in_it(session_and_target, tmp_path):
    target = session_and_target[1]
    fitted = fit_adjustment(target.space, Adjustment(sigma={"": 0.4}))
    bundle = load_bundle(write_retuned(target.bundle, fitted, tmp_path / "tuned", TUNED))
    assert bundle.record["files"] == target.bundle.record["files"]


@pytest.mark.parametrize(
    "change", [{"objective": 3}, {"keep": "all"}, {"keep": [1]}, {"seed": "0"}], ids=repr
)
def test_records_of_anyone_are_checked(session_and_target, tmp_path, change):
    target = session_and_target[1]
    fitted = fit_adjustment(target.space, Adjustment(sigma={"": 0.4}))
    path = write_retuned(target.bundle, fitted, tmp_path / "tuned", TUNED)
    rewrite(path, lambda record: record["tuned"].update(change))
    with pytest.raises(BundleError, match="incoherent"):
        load_bundle(path)


def test_the_reaction_says_so():
    text = "A + Dr(B) | 0.5*Cr(C) & 0.5*Cr(D, sigma=(0.1, 0.2))"
    assert (
        expression_with(text, Adjustment(sigma={"C": {"audio": 0.7, "text": 0.2}, "D": 0.4}))
        == "A + Dr(B) | 0.5*Cr(C, sigma=(audio=0.7, text=0.2)) & 0.5*Cr(D, sigma=0.4)"
    )
    dropped = Adjustment(lambda_={"": 0.3}, experts=frozenset({"B", "D"}))
    assert expression_with(text, dropped) == "A + Dr(B, lambda=0.3) | Cr(D, sigma=(0.1, 0.2))"
    assert expression_with("InternVL_IB++ of FreeBind", dropped) == "InternVL_IB++ of FreeBind"


def test_a_displacement_keeps_its_expert(session_and_target):
    with pytest.raises(UsageError, match="InternVL cannot be dropped"):
        with_factors(session_and_target[1].space, Adjustment(experts=frozenset({"CLAP_m"})))
