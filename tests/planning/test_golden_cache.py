"""Results that an earlier version stored are found, and its bundle is read and evaluated.

Its cache cannot be made anew (tests/data/make_cache_v1.py): a failure here means that the
caches of users are lost. Raising a step's version does that on purpose: then its entries, and
those of what depends on it, may miss.
"""

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from small_sets import ITEMS, load_small_lab

from reactions.eval.registry import get_task
from reactions.products.bundles.bundle import load_bundle
from reactions.run.events import PlanFinished, PlanStarted
from reactions.session import Session
from reactions.store import Store

GOLDEN = Path(__file__).parents[1] / "data" / "cache_v1"
HEADLINE = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
OTHER = "ImageBind + Cr(CLAP_m, centre=true, recipe=cmcr)"
TASKS = ("esc50", "audioset", "audiocaps")


@pytest.fixture
def events():
    return []


@pytest.fixture
def session(tmp_path, events):
    with tarfile.open(GOLDEN / "cache.tar.xz") as packed:
        packed.extractall(tmp_path, filter="data")
    store = Store(tmp_path / "cache")
    return Session(load_small_lab(GOLDEN / "lab.toml"), store, device="cpu", events=events.append)


def as_recorded(assembled, bundle):
    """The step that assembles a bundle as it was, with the record's spaces and version.

    Weights lay elsewhere, and the mini lab's ImageBind had no further senses.
    """
    recorded = {name: bundle.record[name] for name in ("spaces", "modalities", "molspace")}
    return replace(assembled, record={**assembled.record, **recorded})


def assert_hits(session, events, steps):
    session.run(steps)
    started, finished = (
        [event for event in events if isinstance(event, kind)]
        for kind in (PlanStarted, PlanFinished)
    )
    assert [(event.steps, event.hits) for event in started] == [(0, len(steps))]
    assert [event.executed for event in finished] == [0]


def test_every_step_of_a_reaction_is_found(session, events, tmp_path):
    *steps, assembled = session.plan(session.check(HEADLINE)).steps()
    kinds = {step.kind for step in steps}
    assert kinds == {"embed", "mean", "collect", "train", "quality"}
    assert_hits(session, events, [*steps, as_recorded(assembled, load_bundle(tmp_path / "bundle"))])


def test_so_are_those_of_another_recipe_and_of_a_centred_space(session, events):
    *steps, assembled = session.plan(session.check(OTHER)).steps()
    assert assembled.kind == "assemble"
    labels = {step.label for step in steps}
    assert {"centre CLAP_m audio", "train ImageBind + Cr(CLAP_m) on TVA"} <= labels
    assert_hits(session, events, steps)


def test_scores_of_its_bundle_are_found(session, events, tmp_path):
    target = session.target(tmp_path / "bundle")
    plan = session.scores(target, [get_task(name) for name in TASKS])
    assert_hits(session, events, plan.targets)


def test_its_bundle_is_evaluated_to_the_same_scores(session, tmp_path):
    target = session.target(tmp_path / "bundle")
    tasks = [get_task(name) for name in TASKS]
    anew = replace(session, store=Store(tmp_path / "empty"))
    recorded, computed = session.evaluate(target, tasks), anew.evaluate(target, tasks)
    for before, after in zip(recorded, computed, strict=True):
        assert before.record["task"] == after.record["task"]
        # One item may change places on a processor that rounds otherwise.
        for name, value in before.record["metrics"].items():
            assert after.record["metrics"][name] == pytest.approx(value, abs=100 / ITEMS), name


def test_the_assembled_tensors_are_those_of_the_bundle(session, events, tmp_path):
    bundle = load_bundle(tmp_path / "bundle")
    *_, assembled = session.plan(session.check(HEADLINE)).steps()
    artifact = session.store.lookup(as_recorded(assembled, bundle).key)
    bundle_record = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert {name: bundle_record[name] for name in artifact.meta} == json.loads(
        json.dumps(artifact.meta)
    )
