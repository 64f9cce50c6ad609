"""Ft that tunes an encoder: the mini lab's, small; killed and run again; in bundles and infer."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from bundles import rewrite
from small_labs import SmallLab

from reactions.core.errors import BundleError, UsageError
from reactions.core.types import leaves
from reactions.encoders import registry, tuned_towers
from reactions.encoders.tuned_towers import changed_weights, give_weights, tower_to_tune
from reactions.labs.lab_file import load_lab
from reactions.ops.tuning import Tuner
from reactions.products.bundles.bundle import load_bundle
from reactions.products.tree import needed_leaves, tuned_leaves
from reactions.products.tuned import TunedKind
from reactions.run.counts import counts_of
from reactions.run.events import StoreWarning

LAB = """
[lab]
name = "small"
extends = "mini"

[reaction]
hidden_dim = 16
batch_size = 32
dr_epochs = 1
cr_epochs = 1
holdout = {holdout}

[tuning]
heads = true
epochs = 3
batch_size = 16
micro_batch = 8
checkpoint_minutes = 0

[corpora.text]
world = 60
[corpora.image]
world = 60
[corpora.audio]
world = 60

[pairs.scenes]
world = 64
default = true
"""
REACTION = "ImageBind + Dr(InternVL) | Ft(audio~image)"
SMALL = SmallLab(LAB)
session = SMALL.session


@pytest.fixture(scope="module")
def session_and_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    lab_session = session(folder)
    return lab_session, lab_session.react(
        lab_session.check(REACTION), out=folder / "bundle", current=False
    )


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    session_and_bundle, tmp_path, monkeypatch
):
    _, undisturbed = session_and_bundle
    bundle = SMALL.react_after_a_kill(REACTION, Tuner, tmp_path, monkeypatch)
    assert (bundle.path / "part-0.safetensors").read_bytes() == (
        undisturbed.path / "part-0.safetensors"
    ).read_bytes()
    assert bundle.record["losses"]["part.0"] == undisturbed.record["losses"]["part.0"]


def test_a_damaged_checkpoint_is_not_gone_on_from(session_and_bundle, tmp_path):
    lab_session = session(tmp_path)
    plan = lab_session.plan(lab_session.check(REACTION))
    (step,) = (step for step in plan.steps() if step.kind == "tune")
    place = lab_session.store.checkpoint(step.key)
    place.write({"done": np.array([1])})
    place.path.write_bytes(place.path.read_bytes()[:40])
    events = []
    lab_session.events = events.append
    bundle = lab_session.react(plan, out=tmp_path / "bundle", current=False)
    (warned,) = (event for event in events if isinstance(event, StoreWarning))
    assert "it is damaged" in warned.message
    assert bundle.record["losses"]["part.0"] == session_and_bundle[1].record["losses"]["part.0"]


def test_a_state_that_fits_no_more_is_told_and_not_gone_on_from(session_and_bundle, tmp_path):
    lab_session = session(tmp_path)
    plan = lab_session.plan(lab_session.check(REACTION))
    (step,) = (step for step in plan.steps() if step.kind == "tune")
    place = lab_session.store.checkpoint(step.key)
    place.write({"done": np.array([1]), "losses": np.zeros(12, np.float32)})
    events = []
    lab_session.events = events.append
    bundle = lab_session.react(plan, out=tmp_path / "bundle", current=False)
    (warned,) = (event for event in events if isinstance(event, StoreWarning))
    assert "another kind of device" in warned.message
    assert bundle.record["losses"]["part.0"] == session_and_bundle[1].record["losses"]["part.0"]
    assert not list((tmp_path / "store").glob("partial/*"))


def test_what_was_cut_of_the_items_it_is_tuned_on_is_counted(session_and_bundle):
    lab_session, _ = session_and_bundle
    (step,) = (
        step
        for step in lab_session.plan(lab_session.check(REACTION)).steps()
        if step.kind == "tune"
    )
    counts = counts_of(lab_session.store, [step])[step.key]
    assert (counts.space, counts.modality, counts.n_items) == ("ImageBind", "audio", 64)
    assert counts.n_uncounted == 0
    assert list(counts.counts.values()) == [0]


def test_the_bundle_holds_what_changed_and_nothing_else(session_and_bundle):
    _, bundle = session_and_bundle
    (part,) = bundle.record["parts"]
    about = part["about"]
    assert (part["node"], about["heads"], about["space"]) == ("", True, "ImageBind")
    assert about["pairs"]["rows"] == 64
    assert about["weights_digest"] == next(leaves(bundle.space)).spec.weights_digest
    names = about["shapes"]
    tower = registry.load(next(leaves(bundle.space)).spec).tower("audio")
    changed_names = {f"encoder.{name}" for name, _ in tower.named_parameters()}
    assert {name for name in names if name.startswith("encoder.")} == changed_names
    assert [leaf.spec.tuned for leaf in leaves(bundle.space)] == ["", ""]
    assert "tuned" not in bundle.record["spaces"][0]
    losses = bundle.record["losses"]["part.0"]
    assert losses[-1] < losses[0]


def test_embedding_by_a_plan_and_by_the_bundle_are_the_same(session_and_bundle):
    lab_session, bundle = session_and_bundle
    target = lab_session.target(bundle.path)
    (leaf,) = needed_leaves(bundle.space, "audio")
    assert [leaf] == tuned_leaves(bundle.space)
    pairs = lab_session.lab.pairs_of("audio", "image")
    items = pairs.corpus("audio").items(0, 20)
    rows = lab_session.embedder(target).embed("audio", items)
    untuned = lab_session.target("ImageBind + Dr(InternVL)")
    before = lab_session.embedder(untuned).embed("audio", items)
    assert np.abs(rows - before).max() > 1e-3
    np.testing.assert_array_equal(
        lab_session.embedder(target).embed("image", pairs.corpus("image").items(0, 5)),
        lab_session.embedder(untuned).embed("image", pairs.corpus("image").items(0, 5)),
    )
    from reactions.planning.planner import Planner

    planner = Planner(lab_session.lab)
    planner.react(bundle.expression, bundle.space)
    step = planner.embed(bundle.space, pairs.corpus("audio"))
    planned = lab_session.run([step])[step.key].arrays["embeddings"][slice(0, 20)]
    np.testing.assert_allclose(planned.astype(np.float32), rows, atol=2e-3)


def test_it_is_scored_and_stands_under_a_later_stage(session_and_bundle, tmp_path):
    lab_session, _ = session_and_bundle
    target = lab_session.target(f"{REACTION} | Cr(CLAP_m)")
    (result,) = lab_session.evaluate(target, lab_session.lab.parse_tasks("esc50"))
    assert result.record["n"] == 2000
    assert target.bundle.record["parts"][0]["node"] == "base"


def test_held_back_items_are_measured_with_the_tuned_encoder(tmp_path):
    lab_session = session(tmp_path, holdout=0.3)
    bundle = lab_session.react(lab_session.check(REACTION), out=tmp_path / "bundle", current=False)
    assert bundle.record["quality"]["found_again"]


def test_a_bundle_that_claims_other_weights_is_refused(session_and_bundle, tmp_path):
    _, bundle = session_and_bundle
    for change, words in (
        ({"weights_digest": "0" * 64}, "the reaction says"),
        ({"heads": "only"}, "the reaction says"),
        ({"lora": 4}, "not a factor of LoRA"),
        ({"subsets": []}, "mixtures of"),
        ({"licence": "MIT"}, "not what the reaction says"),
        ({"shapes": {}}, "shapes of 0 tensors"),
        ({"steps": -1}, "steps"),
        ({"settings": {"epochs": 0}}, "tuning.epochs is 0"),
    ):
        folder = shutil.copytree(bundle.path, tmp_path / next(iter(change)))
        rewrite(folder, lambda record, new=change: record["parts"][0]["about"].update(new))
        with pytest.raises(BundleError, match="incoherent") as caught:
            load_bundle(folder)
        assert words in caught.value.why


def test_the_rank_in_a_bundle_is_bounded_as_in_settings(session_and_bundle):
    _, bundle = session_and_bundle
    about = bundle.record["parts"][0]["about"]
    heads = {name: shape for name, shape in about["shapes"].items() if name.startswith("head.")}

    def shapes(rank):
        factors = {"encoder.x.lora_A.weight": [rank, 1]}
        claims = {**about, "lora": rank, "shapes": {**heads, **factors}}
        return TunedKind().shapes(bundle.space, claims)

    assert shapes(4096)["encoder.x.lora_A.weight"] == (4096, 1)
    with pytest.raises(ValueError, match="LoRA of rank 4097"):
        shapes(4097)


def test_weights_of_another_encoder_are_refused():
    spec = load_lab("mini").catalogue.by_name("ImageBind")
    with pytest.raises(BundleError, match="do not fit the audio encoder"):
        give_weights(registry.load(spec), "audio", {"audio.x": torch.zeros(2)}, rank=None)


@pytest.mark.parametrize("shape", [(4096, 1), (4096, 48)])
def test_no_factor_is_made_before_a_bundles_fit(shape, monkeypatch):
    spec = load_lab("mini").catalogue.by_name("ImageBind")

    def refuse(*args):
        raise AssertionError("factors were made")

    monkeypatch.setattr(tuned_towers, "_add_factors", refuse)
    weights = {"encoder.x.lora_A.weight": torch.zeros(shape)}
    with pytest.raises(BundleError, match="do not fit the audio encoder"):
        give_weights(registry.load(spec), "audio", weights, rank=4096)
    with pytest.raises(BundleError, match="do not fit the audio encoder") as caught:
        give_weights(registry.load(spec), "audio", {}, rank=4096)
    assert "not among them" in caught.value.why


def test_a_space_without_towers(tmp_path):
    lab_session = session(tmp_path)
    folder = tmp_path / "rows"
    folder.mkdir()
    for modality, dim in (("audio", 4), ("image", 4)):
        np.save(folder / f"{modality}.npy", np.random.default_rng(dim).normal(size=(30, dim)))
    with pytest.raises(UsageError, match="cannot be tuned") as caught:
        lab_session.plan(lab_session.check(f'"{folder}" + Dr(InternVL) | Ft(audio~image)'))
    assert "heads=only" in caught.value.fix


def test_lora_tunes_factors_alone():
    pytest.importorskip("peft")
    spec = load_lab("mini").catalogue.by_name("ImageBind")
    items = load_lab("mini").pairs_of("audio", "image").corpus("audio").items(0, 6)
    states = []
    for _ in range(2):
        encoder = registry.load(spec)
        before = encoder.embed("audio", items)
        tower = tower_to_tune(encoder, "audio", rank=2, seed=3)
        inputs = [encoder.preprocess("audio", item) for item in items]
        np.testing.assert_allclose(tower(inputs).detach().numpy(), before, atol=1e-6)
        for parameter in tower.parameters():
            parameter.grad = None
        (1 - tower(inputs)[:, 0]).sum().backward()
        with torch.no_grad():
            for parameter in tower.parameters():
                if parameter.requires_grad:
                    parameter -= 0.5 * parameter.grad
        states.append(changed_weights(tower, rank=2))
        after = encoder.embed("audio", items)
    assert all(".lora_A." in name or ".lora_B." in name for name in states[0])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert np.abs(after - before).max() > 1e-4
    other = registry.load(replace(spec, tuned="other"))
    give_weights(other, "audio", states[0], rank=2)
    np.testing.assert_allclose(other.embed("audio", items), after, atol=1e-6)
    with pytest.raises(BundleError, match="not among them"):
        give_weights(registry.load(spec), "audio", {}, rank=2)
