from dataclasses import replace

import pytest
from fakes import CG, CM, IB, VL, changed, cr, dr
from planning import SETTINGS, corpora, keys, lab, plan

from reactions.data.corpora import IdCorpus, TextCorpus

MODALITIES = ("audio", "image", "text")
EMBEDS = {
    leaf.label: {f"embed {leaf.label} {m}" for m in leaf.modalities} for leaf in (IB, VL, CM, CG)
}


def affected(space=None, laboratory=None):
    """Labels of the steps whose keys are new, by the labels of the headline plan."""
    before, after = keys(plan()), keys(plan(space, laboratory))
    assert set(before) == set(after)
    return {label for label in before if before[label] != after[label]}


def everything(*parts):
    """All labels that contain one of the parts, and the assembly."""
    labels = {label for label in keys(plan()) if any(part in label for part in parts)}
    return labels | {"assemble the bundle"}


TEXT_AND_IMAGE = ("image for text", "text for image")
TEXT_AND_SOUND = ("audio for text", "text for audio")
WITHOUT_TEXT = {
    "ImageBind image for audio",
    "ImageBind audio for image",
    "InternVL image for audio by ImageBind",
}
COLLECT_STAGE_1 = ("collect ImageBind", "collect InternVL")
DOWNSTREAM_OF_STAGE_1 = (
    "embed (ImageBind",
    "collect (ImageBind",
    "by (ImageBind",
    "train (ImageBind",
)


def rebuilt(**new):
    """The headline with some of its leaves changed."""
    ib, vl, cm, cg = (new.get(leaf.label, leaf) for leaf in (IB, VL, CM, CG))
    return cr(dr(ib, vl), cm, cg)


def test_moving_weights_changes_nothing():
    moved = {leaf.label: changed(leaf, source="/moved") for leaf in (IB, VL, CM, CG)}
    assert affected(rebuilt(**moved)) == {"assemble the bundle"}


def test_renaming_spaces_changes_nothing_but_the_record():
    new = {leaf.label: changed(leaf, name=f"My{leaf.label}") for leaf in (IB, VL, CM, CG)}
    before = [step.key for step in plan().steps()]
    after = [step.key for step in plan(rebuilt(**new)).steps()]
    assert before[:-1] == after[:-1]
    assert before[-1] != after[-1]


@pytest.mark.parametrize(
    "other",
    [
        lab(settings=replace(SETTINGS, shard_rows=3)),
        lab(name="other", label="mini (other)"),
        lab({**corpora(), "thermal": IdCorpus("t", "thermal", ["0"])}),
        lab(corpora(text=TextCorpus("renamed", [f"text {k}" for k in range(12)]))),
    ],
    ids=["shard_rows", "label", "corpus of no use", "name of a corpus"],
)
def test_what_cannot_change_a_projector_changes_no_key(other):
    assert affected(laboratory=other) <= {"assemble the bundle"}


def test_factors_of_the_last_stage_and_weights_of_experts_train_nothing_anew():
    assert affected(cr(dr(IB, VL), CM, CG, factors={"audio": 0.8, "text": 0.5})) == {
        "assemble the bundle"
    }
    assert affected(cr(dr(IB, VL), CM, CG, weights=[0.7, 0.3])) == {"assemble the bundle"}


def test_how_experts_are_averaged_trains_nothing_anew():
    product = replace(cr(dr(IB, VL), CM, CG), mean="unit")
    assert affected(product) == {"assemble the bundle"}


def test_how_experts_of_an_earlier_stage_are_averaged_changes_what_stands_on_it():
    inner = cr(IB, CM, CG)
    before = keys(plan(dr(inner, VL)))
    after = keys(plan(dr(replace(inner, mean="unit"), VL)))
    changed = {label for label in before if before[label] != after[label]}
    embeds = {m: f"embed {inner.label} {m}" for m in MODALITIES}
    # Neither its images, which have no expert, nor how the experts themselves are trained.
    assert changed & set(embeds.values()) == {embeds["audio"], embeds["text"]}
    assert not any("Cr(CLAP_m) on" in label for label in changed)
    assert any("Dr(InternVL) on" in label for label in changed)


def test_factors_of_an_earlier_stage_change_what_stands_on_it():
    space = cr(dr(IB, VL, factors={"image": 0.8, "text": 0.8}), CM, CG)
    product = "(ImageBind + Dr(InternVL))"  # whose audio the factors leave alone
    expected = everything(*DOWNSTREAM_OF_STAGE_1) - {
        f"embed {product} audio",
        f"collect {product} audio for text by CLAP_m",
        f"collect {product} audio for text by CLAP_g",
    }
    assert affected(space) == expected


@pytest.mark.parametrize(
    "change",
    [
        {"weights_digest": "f" * 64},
        {"adapter": "another"},
        {"preprocessing": (("audio", "audio-2"), ("text", "text-2"))},
    ],
)
def test_new_weights_of_one_parallel_expert_leave_the_other(change):
    space = rebuilt(CLAP_m=changed(CM, **change))
    assert affected(space) == everything(
        "embed CLAP_m", "collect CLAP_m", "by CLAP_m", "+ Cr(CLAP_m)"
    )


def test_new_weights_of_the_displacing_expert():
    space = rebuilt(InternVL=changed(VL, weights_digest="f" * 64))
    assert affected(space) == everything(
        "embed InternVL",
        "collect InternVL",
        "train ImageBind + Dr",
        *DOWNSTREAM_OF_STAGE_1,
    )


def test_new_preprocessing_of_one_modality_leaves_the_others_embeddings():
    tags = (("audio", "audio-2"), ("image", "image-1"), ("text", "text-1"))
    space = rebuilt(ImageBind=changed(IB, preprocessing=tags))
    assert affected(space) == everything(
        "embed ImageBind audio",
        "collect ImageBind audio",
        *(f"collect {x} {m} for audio" for x in ("ImageBind", "InternVL") for m in MODALITIES),
        "train ImageBind + Dr",
        *DOWNSTREAM_OF_STAGE_1,
    )


@pytest.mark.parametrize(
    ("modality", "columns_kept"),
    [
        # Columns that neither start from the modality, nor pass through it, nor hold it.
        ("text", WITHOUT_TEXT),
        ("image", {f"{x} {c}" for x in ("CLAP_m", "CLAP_g") for c in TEXT_AND_SOUND}),
        ("audio", {f"{x} {c}" for x in ("ImageBind", "InternVL") for c in TEXT_AND_IMAGE}),
    ],
)
def test_a_new_corpus_leaves_the_embeddings_of_the_others(modality, columns_kept):
    other = {modality: IdCorpus("new", modality, [f"n{k}" for k in range(9)])}
    leaves_kept = {
        label for labels in EMBEDS.values() for label in labels if not label.endswith(modality)
    }
    columns_kept = leaves_kept | {f"collect {column}" for column in columns_kept}
    assert affected(laboratory=lab(corpora(**other))) == set(keys(plan())) - columns_kept


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"collect_temperature": 0.02}, ("collect", "train", "embed (ImageBind")),
        ({"precision": "exact"}, ("collect", "train", "embed (ImageBind")),
        ({"info_nce_temperature": 0.03}, ("train ImageBind + Dr", *DOWNSTREAM_OF_STAGE_1)),
        ({"hidden_dim": 7}, ("train ImageBind + Dr", *DOWNSTREAM_OF_STAGE_1)),
        ({"learning_rate": 2e-3}, ("train ImageBind + Dr", *DOWNSTREAM_OF_STAGE_1)),
        ({"batch_size": 9}, ("train ImageBind + Dr", *DOWNSTREAM_OF_STAGE_1)),
        ({"dr_epochs": 9}, ("train ImageBind + Dr", *DOWNSTREAM_OF_STAGE_1)),
        ({"cr_epochs": 9}, ("train (ImageBind",)),
        ({"dtype": "float16"}, ("embed", "collect", "train")),
    ],
    ids=lambda x: str(x)[:24],
)
def test_settings_change_what_is_downstream(change, parts):
    other = lab(settings=replace(SETTINGS, **change))
    assert affected(laboratory=other) == everything(*parts)


def test_a_new_seed_trains_anew_on_the_same_pairs():
    expected = everything("train ImageBind + Dr", *DOWNSTREAM_OF_STAGE_1)
    assert affected(laboratory=lab(seed=1)) == expected


def test_golden_keys():
    # Pinned: keys may only change with a step's version and an entry under Cache in the changelog.
    keys_by_label = keys(plan())
    pinned = {
        "embed ImageBind text": "fbefa7152868a2cf",
        "embed CLAP_g audio": "aa9a365b437ee900",
        "collect InternVL text for audio by ImageBind": "0b5e92aeaeacb29b",
        "train ImageBind + Dr(InternVL) on TVA": "59cb28353c013172",
        "embed (ImageBind + Dr(InternVL)) text": "e042e124d0357eec",
        "collect (ImageBind + Dr(InternVL)) audio for text by CLAP_m": "791313d1650494b0",
        "train (ImageBind + Dr(InternVL)) + Cr(CLAP_g) on TA": "8f7e0ad6b7a42bf0",
    }
    assert {label: keys_by_label[label][:16] for label in pinned} == pinned
