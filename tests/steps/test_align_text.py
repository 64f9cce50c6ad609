"""Lcl end to end on a small mini lab: planned, killed and run again, in bundles, composed."""

import numpy as np
import pytest
import torch
from aligned_lab import LCL, Texts, aligning, pictures, plan, react_after_a_kill, row, session

from reactions.core.errors import DataError, UsageError
from reactions.data.corpora import IdCorpus
from reactions.knowledge.base import KnowledgeMetadata, WriterModel
from reactions.ops.lcl import LayerTrainer, align
from reactions.planning.planner import Planner
from reactions.products.bundles.bundle import load_bundle


@pytest.fixture(scope="module")
def session_and_bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("aligned")
    lab_session = session(folder)
    return lab_session, lab_session.react(
        lab_session.check(LCL), out=folder / "bundle", current=False
    )


# --- plans and keys ---


def test_a_plan_names_what_is_aligned_and_on_what(tmp_path):
    lab_session = session(tmp_path)
    planned = plan(lab_session, LCL)
    steps = aligning(planned)
    assert list(steps) == ["audio", "image"]
    assert steps["audio"].label == "align audio of ImageBind with text"
    assert steps["audio"].cost.flops > 0
    assert [(count.modality, count.rows) for count in planned.rows] == [
        ("audio", 64),
        ("image", 64),
    ]
    # A layer knows nothing of the other's.
    alone = aligning(plan(lab_session, "ImageBind + Lcl(few, modalities=audio)"))
    assert alone["audio"].key == steps["audio"].key


@pytest.mark.parametrize(
    ("options", "acts"),
    [
        ("temperature=0.1", False),  # the lab's
        ("epochs=3, batch=16", False),
        ("targets=descriptions, norms=unit", False),
        ("temperature=1", True),
        ("symmetric=true", True),
        ("duplicates=negatives", True),
        ("init=identity", True),
        ("lr=0.001", True),
        ("batch=8", True),
        ("epochs=4", True),
        ("preset=ESC", True),
        ("targets=labels", True),
    ],
)
def test_a_key_changes_with_what_acts(options, acts, session_and_bundle):
    lab_session, _ = session_and_bundle
    plain, other = (
        aligning(plan(lab_session, f"ImageBind + Lcl(few, modalities=audio{more})"))["audio"].key
        for more in ("", f", {options}")
    )
    assert (plain != other) is acts


def test_options_come_before_presets_and_these_before_the_lab(session_and_bundle):
    lab_session, _ = session_and_bundle
    (step,) = aligning(
        plan(lab_session, 'ImageBind + Lcl(few, preset="N-cal", epochs=7, modalities=audio)')
    ).values()
    settings = step.settings
    assert (settings.batch_size, settings.learning_rate, settings.epochs) == (128, 1e-4, 7)
    assert (settings.temperature, settings.duplicates, settings.init) == (
        1.0,
        "negatives",
        "default",
    )
    assert settings.checkpoint_minutes == 0  # the lab's


def test_a_preset_on_unit_rows_and_a_batch_that_is_too_large_are_told(session_and_bundle):
    lab_session, _ = session_and_bundle
    notices = plan(lab_session, "ImageBind + Lcl(few, preset=cal, modalities=image)").notices
    assert any("64 described items are fewer than a batch of 128" in n for n in notices)
    assert any(n.startswith("preset cal: trained on rows of norm 1") for n in notices)
    assert not any("fewer than a batch" in n for n in plan(lab_session, LCL).notices)


# --- what may be aligned ---


def test_items_are_found_by_their_ids_and_what_is_left_out_is_told(tmp_path, monkeypatch):
    lab_session = session(tmp_path)
    rows = [row(k) for k in (5, 3, 3, 20, 21, 22)]
    Texts(monkeypatch, lab_session.lab, pictures(8), rows)
    planned = plan(lab_session, "ImageBind + Lcl(few, batch=2)")
    (step,) = aligning(planned).values()
    # In the corpus's order: p3 with two (equal) texts, then p5.
    assert len(step.described) == 2
    assert [item.id for item in step.rows.corpus.items(0, 9)] == ["p3", "p5"]
    assert step.described.texts.tolist() == [0, 0, 1]
    texts = step.texts.corpus
    assert [item.value for item in texts.items(0, 9)] == ["a thing 3", "a thing 5"]
    notices = " ".join(planned.notices)
    assert "3 of 5 described image items are not in pictures" in notices
    assert "6 of 8 items have no description in knowledge base 'few'" in notices
    assert "knowledge base 'few' describes no items of audio, " in notices
    assert "which stay as in ImageBind" in notices


def test_labels_take_one_prompt_a_category(tmp_path, monkeypatch):
    lab_session = session(tmp_path)
    Texts(monkeypatch, lab_session.lab, pictures(6), [row(k) for k in range(6)])
    (step,) = aligning(plan(lab_session, "ImageBind + Lcl(few, targets=labels)")).values()
    assert [item.value for item in step.texts.corpus.items(0, 9)] == [
        "a photo of a c0.",
        "a photo of a c1.",
        "a photo of a c2.",
    ]
    assert step.described.texts.tolist() == [0, 1, 2, 0, 1, 2]
    assert step.settings.duplicates == "masked"
    (step,) = aligning(
        plan(lab_session, "ImageBind + Lcl(few, targets=labels, duplicates=negatives)")
    ).values()
    assert step.settings.duplicates == "negatives"
    Texts(monkeypatch, lab_session.lab, pictures(6), [row(1), row(1, category="c0"), row(2)])
    with pytest.raises(DataError, match="an item of several categories: c1, c0"):
        plan(lab_session, "ImageBind + Lcl(few, targets=labels)")


@pytest.mark.parametrize(
    ("rows", "reaction", "what", "fix"),
    [
        ([row(1)], "", "describes 1 of the 8 items of pictures", "kb describe"),
        ([row(40), row(41)], "", "describes 0 of the 8 items of pictures", "kb describe"),
        ([row(1), row(2)], ", modalities=audio", "describes no audio items", "image"),
        ([row(1, modality="smell")], "", "describes nothing that ImageBind embeds", "kb describe"),
        ([row(k, "a thing") for k in range(4)], "", "have one description", "one by one"),
        (
            [row(k, category="unlabelled") for k in range(4)],
            ", targets=labels",
            "are all of the category 'unlabelled'",
            "targets=descriptions",
        ),
    ],
)
def test_items_that_cannot_be_aligned(rows, reaction, what, fix, tmp_path, monkeypatch):
    lab_session = session(tmp_path)
    Texts(monkeypatch, lab_session.lab, pictures(8), rows)
    with pytest.raises((DataError, UsageError), match=what) as caught:
        plan(lab_session, f"ImageBind + Lcl(few{reaction})")
    assert fix in caught.value.fix


@pytest.mark.parametrize(("n_others", "reported"), [(1, True), (7, False)])
def test_items_that_meet_no_other_text_are_told(n_others, reported, tmp_path, monkeypatch):
    lab_session = session(tmp_path)
    rows = [row(k, f"thing {k}" if k < n_others else "a thing") for k in range(8)]
    Texts(monkeypatch, lab_session.lab, pictures(8), rows)
    notices = " ".join(
        plan(lab_session, "ImageBind + Lcl(few, batch=4, duplicates=masked)").notices
    )
    assert ("one text describes 88 % of what is described" in notices) is reported
    assert ("meet no other in their batch" in notices) is reported


def test_items_without_ids_of_their_own(tmp_path, monkeypatch):
    lab_session = session(tmp_path)
    corpus = IdCorpus("rows", "image", [f"p{k}" for k in range(8)], positional=True)
    Texts(monkeypatch, lab_session.lab, corpus, [row(1), row(2)])
    with pytest.raises(DataError, match="no ids of their own"):
        plan(lab_session, "ImageBind + Lcl(few)")


def test_a_knowledge_base_that_is_not_there(session_and_bundle):
    lab_session, _ = session_and_bundle
    with pytest.raises(UsageError, match="no knowledge base 'fwe'") as caught:
        plan(lab_session, "ImageBind + Lcl(fwe)")
    assert "did you mean 'few'?" in caught.value.fix


# --- training ---


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(
    session_and_bundle, tmp_path, monkeypatch
):
    _, undisturbed = session_and_bundle
    bundle = react_after_a_kill(LCL, LayerTrainer, tmp_path, monkeypatch)
    assert (bundle.path / "part-0.safetensors").read_bytes() == (
        undisturbed.path / "part-0.safetensors"
    ).read_bytes()
    assert bundle.record["losses"] == undisturbed.record["losses"]


def test_any_number_of_threads_gives_the_same_bytes(session_and_bundle, tmp_path):
    _, undisturbed = session_and_bundle
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        lab_session = session(tmp_path)
        bundle = lab_session.react(lab_session.check(LCL), out=tmp_path / "bundle", current=False)
    finally:
        torch.set_num_threads(before)
    name = "part-0.safetensors"
    assert (bundle.path / name).read_bytes() == (undisturbed.path / name).read_bytes()


def test_the_bundle_says_what_was_trained_on_what(session_and_bundle):
    lab_session, bundle = session_and_bundle
    (part,) = bundle.record["parts"]
    about = part["about"]
    assert (part["kind"], part["node"]) == ("lcl", "")
    assert about["knowledge"]["name"] == "few"
    assert about["knowledge"]["digest"] == lab_session.lab.knowledge("few").digest
    assert about["models"][0]["licence"]
    assert about["layers"]["image"] == {
        "corpus": lab_session.lab.knowledge("few").metadata.items["image"].corpus,
        "digest": lab_session.lab.item_corpus(lab_session.lab.knowledge("few"), "image").digest,
        "rows": 64,
        "texts": about["layers"]["image"]["texts"],
        "steps": 12,
    }
    assert about["settings"]["temperature"] == 0.1
    losses = bundle.record["losses"]
    assert set(losses) == {"part.0.audio", "part.0.image"}
    assert all(lab_session[-1] < lab_session[0] for lab_session in losses.values())
    layers = bundle.parts()[bundle.space, None].layers
    assert {m: tuple(w.shape) for m, (w, _) in layers.items()} == {
        "audio": (128, 128),
        "image": (128, 128),
    }


def test_embedding_by_a_plan_and_by_the_bundle_are_the_same(session_and_bundle):
    lab_session, bundle = session_and_bundle
    corpus = lab_session.lab.item_corpus(lab_session.lab.knowledge("few"), "image")
    items = corpus.items(0, 20)
    rows = lab_session.embedder(lab_session.target(bundle.path)).embed("image", items)
    plain = lab_session.embedder(lab_session.target("ImageBind")).embed("image", items)
    weight, bias = bundle.parts()[bundle.space, None].layers["image"]
    by_hand = align(torch.from_numpy(plain), weight, bias).numpy()
    np.testing.assert_allclose(rows, by_hand, atol=1e-6)
    planner = Planner(lab_session.lab)
    planner.react(bundle.expression, bundle.space)
    step = planner.embed(bundle.space, corpus)
    planned = lab_session.run([step])[step.key].arrays["embeddings"][slice(0, 20)]
    np.testing.assert_allclose(planned.astype(np.float32), rows, atol=2e-3)
    # Texts stay as they are, and have no step of their own.
    texts = lab_session.lab.corpus("text")
    assert planner.embed(bundle.space, texts).key == planner.embed(bundle.space.base, texts).key
    np.testing.assert_array_equal(
        lab_session.embedder(lab_session.target(bundle.path)).embed("text", texts.items(0, 4)),
        lab_session.embedder(lab_session.target("ImageBind")).embed("text", texts.items(0, 4)),
    )


# --- with other reactions ---


@pytest.mark.parametrize(
    ("reaction", "kinds"),
    [
        (f"{LCL} | Cr(CLAP_m)", ["lcl"]),
        ("ImageBind + Cr(CLAP_m) | Lcl(few, modalities=(audio, image))", ["lcl"]),
        ("ImageBind + Dr(InternVL) | Lcl(few) | Cr((CLAP_m + Lcl(few)))", ["lcl", "lcl"]),
        (
            "ImageBind + Lcl(few, modalities=audio) | Dr(InternVL) | Ft(audio~image) "
            "| Lcl(few, targets=labels)",
            ["lcl", "ft", "lcl"],
        ),
    ],
)
def test_it_composes(reaction, kinds, tmp_path):
    lab_session = session(tmp_path, holdout=0.2)
    bundle = lab_session.react(lab_session.check(reaction), out=tmp_path / "bundle", current=False)
    assert [part["kind"] for part in bundle.record["parts"]] == kinds
    assert load_bundle(bundle.path).expression == bundle.expression
    assert bundle.record["quality"]["found_again"]
    target = lab_session.target(bundle.path)
    planner = Planner(lab_session.lab)
    planner.react(bundle.expression, bundle.space)
    for modality in ("audio", "image", "text"):
        corpus = lab_session.lab.corpus(modality)
        step = planner.embed(bundle.space, corpus)
        planned = lab_session.run([step])[step.key].arrays["embeddings"][slice(0, 12)]
        rows = lab_session.embedder(target).embed(modality, corpus.items(0, 12))
        np.testing.assert_allclose(planned.astype(np.float32), rows, atol=4e-3, err_msg=modality)
    (result,) = lab_session.evaluate(target, lab_session.lab.parse_tasks("esc50"))
    assert result.record["n"] == 2000


def test_ft_tunes_what_lies_around_a_layer(tmp_path):
    lab_session = session(tmp_path)
    reaction = "ImageBind + Lcl(few, modalities=audio) | Dr(InternVL) | Ft(audio~image)"
    steps = {step.kind: step for step in plan(lab_session, reaction).steps()}
    layer = steps["tune"].aligned
    assert list(layer) == ["0.0"]  # before the projectors of the displacement
    assert layer["0.0"].key == steps["align"].key
    after = "ImageBind + Dr(InternVL) | Lcl(few, modalities=audio) | Ft(audio~image)"
    (step,) = (step for step in plan(lab_session, after).steps() if step.kind == "tune")
    assert list(step.aligned) == ["1.0"]


def test_a_model_that_wrote_descriptions_is_named(tmp_path, monkeypatch):
    lab_session = session(tmp_path)
    metadata = KnowledgeMetadata("birds", models=(WriterModel("blip", "abc", "MIT"),))
    Texts(monkeypatch, lab_session.lab, pictures(6), [row(k) for k in range(6)], metadata)
    bundle = lab_session.react(
        lab_session.check("ImageBind + Lcl(few)"), out=tmp_path / "b", current=False
    )
    about = bundle.record["parts"][0]["about"]
    assert about["models"] == [{"name": "blip", "revision": "abc", "licence": "MIT"}]
    assert about["knowledge"]["dataset"] == "birds"
