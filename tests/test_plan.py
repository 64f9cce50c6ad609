import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes import CG, CM, IB, VL, Context, Encoder, changed, cr, dr, headline, run, spec

from reactions.bundle import load_bundle, write_bundle
from reactions.data.corpora import IdCorpus, ListCorpus, TextCorpus
from reactions.errors import DataError, NotSupportedYet, UsageError
from reactions.kinds import Corpus, Item, Leaf, Tuned, leaves
from reactions.labs.lab import Lab, ReactionSettings
from reactions.plan import Plan, Planner, ordered, plan_json
from reactions.registry import Catalogue
from reactions.spaces.fuse import fuse
from reactions.spaces.precomputed import resolve
from reactions.steps.step import make_step

TEXT = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
SETTINGS = ReactionSettings(
    hidden_dim=6, batch_size=8, dr_epochs=1, cr_epochs=2, dtype="float32", shard_rows=10
)


@dataclass(frozen=True)
class FakeLab(Lab):
    held: Mapping[str, Corpus] = field(default_factory=dict)

    def corpus(self, modality):
        return self.held.get(modality)


def corpora(n=12, **others):
    images = [Item(f"i{k}", "image", np.full((1, 1, 3), k, np.uint8)) for k in range(n + 2)]
    return {
        "text": TextCorpus("captions", [f"text {k}" for k in range(n)]),
        "image": ListCorpus("pictures", "image", images),
        "audio": IdCorpus("sounds", "audio", [f"a{k}" for k in range(n - 2)]),
        **others,
    }


def lab(held=None, settings=SETTINGS, **changes):
    given = {"name": "tests", "label": "tests", "path": Path("molspace.toml"), "seed": 0}
    held = corpora() if held is None else held
    return FakeLab(**{**given, **changes}, catalogue=Catalogue({}), settings=settings, held=held)


def plan(space=None, laboratory=None, expression=TEXT):
    return Planner(laboratory or lab()).react(expression, space or headline())


def keys(made):
    """Label to key; labels are unique in the plans of these tests."""
    found = {step.label: step.key for step in made.steps()}
    assert len(found) == len(list(made.steps()))
    return found


# --- the shape of a plan ---


def test_the_steps_of_the_papers_reaction():
    made = plan()
    steps = list(made.steps())
    assert Counter(step.kind for step in steps) == {
        "embed": 9 + 3,
        # Four columns of the base serve both CLAPs.
        "collect": 10 + 4 + 2 * 6,
        "train": 7 + 14,
        "assemble": 1,
    }
    labels = [step.label for step in steps]
    stage_1, stage_2 = "ImageBind + Dr(InternVL)", "(ImageBind + Dr(InternVL))"
    assert set(labels) == {
        *(f"embed {leaf.label} {m}" for leaf in (IB, VL, CM, CG) for m in leaf.modalities),
        *(f"embed {stage_2} {m}" for m in ("audio", "image", "text")),
        # Equations 4, 5 and 6.
        "collect InternVL image for text",
        "collect ImageBind image for text",
        "collect ImageBind audio for text",
        "collect InternVL text for image",
        "collect ImageBind audio for image",
        "collect ImageBind text for image",
        "collect ImageBind image for audio",
        "collect InternVL image for audio by ImageBind",
        "collect ImageBind text for audio",
        "collect InternVL text for audio by ImageBind",
        # Equations 11, 12 and 13.
        *(f"collect {stage_2} {m}" for m in ("image for text", "image for audio")),
        *(f"collect {stage_2} {m}" for m in ("audio for image", "text for image")),
        *(
            f"collect {column}"
            for x in ("CLAP_m", "CLAP_g")
            for column in (
                f"{x} audio for text",
                f"{stage_2} audio for text by {x}",
                f"{x} text for audio",
                f"{stage_2} text for audio by {x}",
                f"{x} audio for image by {stage_2}",
                f"{x} text for image by {stage_2}",
            )
        ),
        *(f"train {stage_1} on {s}" for s in ("T", "V", "A", "TV", "TA", "VA", "TVA")),
        *(
            f"train {stage_2} + Cr({x}) on {s}"
            for x in ("CLAP_m", "CLAP_g")
            for s in ("T", "V", "A", "TV", "TA", "VA", "TVA")
        ),
        "assemble the bundle",
    }
    assert made.notices == ()


def test_inputs_come_before_what_needs_them_and_nothing_twice():
    made = plan()
    seen = set()
    for step in made.steps():
        assert all(child.key in seen for _, child in step.inputs)
        assert step.key not in seen
        seen.add(step.key)
    assert list(made.steps())[-1] is made.targets[0]


def test_order_of_a_diamond():
    def make(name, *inputs):
        return make_step(
            "train", name, {"n": name}, [(s.label, s) for s in inputs], lambda *_: None
        )

    a = make("a")
    b, c = make("b", a), make("c", a)
    d = make("d", c, b, a)
    assert [step.label for step in ordered([d])] == ["a", "c", "b", "d"]
    assert [step.label for step in ordered([c, d, c])] == ["a", "c", "b", "d"]
    twin = make("b", a)  # the same key counts as the same step
    assert [step.label for step in ordered([b, twin])] == ["a", "b"]
    assert list(ordered([])) == []


def test_what_the_steps_take():
    steps = {step.label: step for step in plan().steps()}
    stage = "(ImageBind + Dr(InternVL))"
    # Pairs from text: the expert's weights serve both sides (equation 11).
    collect = steps[f"collect {stage} audio for text by CLAP_m"]
    assert {name: child.label for name, child in collect.inputs} == {
        "queries": "embed CLAP_m text",
        "keys": "embed CLAP_m audio",
        "values": f"embed {stage} audio",
    }
    assert collect.n_rows == 12
    assert collect.together.name == steps["collect CLAP_m audio for text"].together.name
    # A second hop starts where the first one ended.
    second = dict(steps["collect ImageBind audio for text"].inputs)
    assert second["queries"].label == "collect ImageBind image for text"
    embed = steps[f"embed {stage} text"]
    assert [name for name, _ in embed.inputs][:2] == ["base", "expert.0"]
    assert [name for name, _ in embed.inputs][2:] == [
        f"head.base.{s}" for s in ("T", "V", "A", "TV", "TA", "VA", "TVA")
    ]
    audio = steps[f"embed {stage} audio"]
    assert [name for name, _ in audio.inputs][:2] == ["base", "head.base.T"]
    train = steps[f"train {stage} + Cr(CLAP_m) on TA"]
    assert {name: child.label for name, child in train.inputs} == {
        "audio.base.audio": f"embed {stage} audio",
        "audio.base.image": f"collect {stage} image for audio",
        "audio.base.text": f"collect {stage} text for audio by CLAP_m",
        "audio.expert.audio": "embed CLAP_m audio",
        "audio.expert.text": "collect CLAP_m text for audio",
        "text.base.audio": f"collect {stage} audio for text by CLAP_m",
        "text.base.image": f"collect {stage} image for text",
        "text.base.text": f"embed {stage} text",
        "text.expert.audio": "collect CLAP_m audio for text",
        "text.expert.text": "embed CLAP_m text",
    }
    params = train.preimage["params"]
    assert (params["epochs"], params["op"]) == (2, "cr")
    assert steps["train ImageBind + Dr(InternVL) on T"].preimage["params"]["epochs"] == 1
    assert params["modalities"] == [["audio", "image", "text"], ["audio", "text"]]
    assembled = steps["assemble the bundle"]
    assert [n for n, _ in assembled.inputs] == [
        f"{i}.{s}" for i in range(3) for s in ("T", "V", "A", "TV", "TA", "VA", "TVA")
    ]
    record = assembled.preimage["params"]["record"]
    assert record["steps"] == {name: child.key for name, child in assembled.inputs}
    assert record["expression"] == TEXT


def test_one_subset_trains_one_projector():
    product = cr(IB, CG, anchors=("audio", "text"))
    counts = Counter(step.kind for step in plan(product).steps())
    assert counts == {"embed": 5, "collect": 3 + 3, "train": 1, "assemble": 1}


def test_a_product_as_an_expert():
    made = plan(cr(IB, dr(CM, CG)))
    counts = Counter(step.kind for step in made.steps())
    # Leaves: 3 + 2 + 2; the expert: 2. CM and CG share both their modalities: 3 subsets.
    assert counts == {"embed": 9, "collect": 4 + 10, "train": 3 + 7, "assemble": 1}


def test_costs_add_up():
    made = plan()
    steps = list(made.steps())
    # Similarities that serve several columns are computed once.
    passes = {step.together.name: step.cost.shared_flops for step in steps if step.together}
    assert len(passes) < sum(step.together is not None for step in steps)
    own = sum(step.cost.flops - step.cost.shared_flops for step in steps)
    assert made.cost.flops == pytest.approx(own + sum(passes.values()))
    assert made.cost.size_bytes == sum(step.cost.size_bytes for step in steps)
    assert made.cost.memory_bytes == max(step.cost.memory_bytes for step in steps)
    assert all(step.cost.size_bytes > 0 for step in steps)
    assert all(step.cost.flops > 0 for step in steps if step.kind != "assemble")


def test_plans_as_json():
    made = plan()
    rows = json.loads(json.dumps(plan_json(made)))
    assert [row["key"] for row in rows] == [step.key for step in made.steps()]
    known = set()
    for row in rows:
        assert set(row["inputs"].values()) <= known
        known.add(row["key"])
    assert set(rows[0]) == {
        "kind",
        "label",
        "key",
        "inputs",
        "flops",
        "size_bytes",
        "memory_bytes",
    }


# --- sharing ---


def test_reactions_share_what_they_have_in_common():
    planner = Planner(lab())
    first = planner.react("1", cr(dr(IB, VL), CM))
    second = planner.react("2", cr(dr(IB, VL), CG))
    both = Plan((*first.targets, *second.targets))
    ours = {step.label: step for step in first.steps()}
    shared = [s for s in second.steps() if s.label in ours and ours[s.label].key == s.key]
    # IB, VL: 5 embeds; stage 1 whole: 10 + 7; its product's 3 embeddings, and the 4 columns
    # that it retrieves for itself.
    assert Counter(step.kind for step in shared) == {"embed": 5 + 3, "collect": 10 + 4, "train": 7}
    assert len(list(both.steps())) == len(ours) + len(list(second.steps())) - len(shared)


def test_different_planners_agree_on_keys():
    assert keys(plan()) == keys(plan())


def test_parts_of_a_larger_reaction_are_already_there():
    larger, smaller = keys(plan()), keys(plan(dr(IB, VL)))
    del smaller["assemble the bundle"]
    assert smaller.items() <= larger.items()


def test_planning_runs_nothing_and_reads_no_items():
    class Closed(IdCorpus):
        def items(self, start, stop):
            raise AssertionError("read while planning")

    held = {m: Closed(m, m, [str(i) for i in range(5)]) for m in ("audio", "image", "text")}
    assert len(list(plan(laboratory=lab(held)).steps())) == 60


# --- keys ---

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
    found = {label for label in keys(plan()) if any(part in label for part in parts)}
    return found | {"assemble the bundle"}


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
    ("modality", "kept"),
    [
        # Columns that neither start from the modality, nor pass through it, nor hold it.
        ("text", WITHOUT_TEXT),
        ("image", {f"{x} {c}" for x in ("CLAP_m", "CLAP_g") for c in TEXT_AND_SOUND}),
        ("audio", {f"{x} {c}" for x in ("ImageBind", "InternVL") for c in TEXT_AND_IMAGE}),
    ],
)
def test_a_new_corpus_leaves_the_embeddings_of_the_others(modality, kept):
    other = {modality: IdCorpus("new", modality, [f"n{k}" for k in range(9)])}
    leaves_kept = {
        label for labels in EMBEDS.values() for label in labels if not label.endswith(modality)
    }
    kept = leaves_kept | {f"collect {column}" for column in kept}
    assert affected(laboratory=lab(corpora(**other))) == set(keys(plan())) - kept


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
    found = keys(plan())
    pinned = {
        "embed ImageBind text": "fbefa7152868a2cf",
        "embed CLAP_g audio": "aa9a365b437ee900",
        "collect InternVL text for audio by ImageBind": "0b5e92aeaeacb29b",
        "train ImageBind + Dr(InternVL) on TVA": "0fed249565ff4d9b",
        "embed (ImageBind + Dr(InternVL)) text": "6d9e56db2849025d",
        "collect (ImageBind + Dr(InternVL)) audio for text by CLAP_m": "1fe707398df1077f",
        "train (ImageBind + Dr(InternVL)) + Cr(CLAP_g) on TA": "c69e4c1cea721a36",
    }
    assert {label: found[label][:16] for label in pinned} == pinned


# --- recipes ---


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
def test_another_recipe_trains_one_projector_on_all_pairs_unless_told_otherwise(recipe):
    for space, label in ((cr(IB, CM, recipe=recipe), "TVA"), (dr(IB, VL, recipe=recipe), "TVA")):
        trained = [step.label for step in plan(space).steps() if step.kind == "train"]
        assert [name.rpartition(" ")[2] for name in trained] == [label]
    told = plan(cr(IB, CM, recipe=recipe, anchors=("audio", "text")))
    assert [s.label.rpartition(" ")[2] for s in told.steps() if s.kind == "train"] == ["TA"]


def test_recipes_share_embeddings_and_pairs_and_nothing_else():
    made = [keys(plan(cr(IB, CM, recipe=r))) for r in ("paper", "cmcr", "exmcr")]
    for label in set.intersection(*map(set, made)):
        shared = label.startswith(("embed", "collect"))
        assert len({found[label] for found in made}) == (1 if shared else 3), label


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
@pytest.mark.parametrize("stage", [cr(IB, CM, CG), dr(IB, VL)])
def test_a_bundle_of_another_recipe_embeds_as_the_steps_do(tmp_path, recipe, stage):
    experts = tuple(replace(expert, recipe=recipe) for expert in stage.experts)
    space = replace(stage, experts=experts)
    planner, done = Planner(lab()), {}
    artifact = run(planner.react(TEXT, space).targets[0], Context(), done)
    bundle = load_bundle(write_bundle(tmp_path / "b", artifact.meta, artifact.arrays))
    assert bundle.space == space
    corpus = corpora()["text"]
    expected = run(planner.embed(space, corpus), Context(), done).arrays["embeddings"]
    rows = {
        leaf: torch.from_numpy(
            np.array(run(planner.embed(leaf, corpus), Context(), done).arrays["embeddings"])
        )
        for leaf in leaves(space)
    }
    # The same float32 operations on the same rows.
    np.testing.assert_allclose(
        fuse(space, "text", rows, bundle.heads()).numpy(), expected, atol=1e-6
    )


# --- refusals ---


def test_a_space_is_no_reaction():
    with pytest.raises(UsageError, match="'ImageBind' is a space, not a reaction"):
        plan(IB)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (
            Tuned("ft", dr(IB, VL), ("audio", "image")),
            r"Ft cannot run.*leave out Ft\(audio~image\)",
        ),
        (Tuned("lcl", IB, ("kb",)), r"Lcl cannot run.*leave out Lcl\(kb\)"),
        (cr(Tuned("ft", dr(IB, VL), ("audio", "image")), CM), "Ft cannot run"),
        (cr(IB, Tuned("lcl", CG, ("kb",))), "Lcl cannot run"),
    ],
)
def test_what_this_version_cannot_run(space, words):
    with pytest.raises(NotSupportedYet, match=f"(?s){words}"):
        plan(space)


class Empty:
    name, modality, digest = "nothing", "text", "0" * 64

    def __len__(self):
        return 0


def test_an_empty_corpus():
    with pytest.raises(DataError, match="the text corpus is empty") as caught:
        plan(laboratory=lab(corpora(text=Empty())))
    assert caught.value.fields["corpus"] == "nothing"


def test_no_corpus_for_what_the_spaces_share():
    held = {m: c for m, c in corpora().items() if m == "image"}
    with pytest.raises(
        DataError, match="no corpus for any modality that ImageBind and CLAP_g"
    ) as e:
        plan(cr(IB, CG), lab(held))
    assert "audio, text" in e.value.why
    assert "[corpora.audio]" in e.value.fix


def test_a_modality_without_a_corpus_takes_no_part_and_is_told():
    held = {m: c for m, c in corpora().items() if m != "image"}
    made = plan(cr(IB, CG), lab(held))
    assert made.notices == ("no image corpus: image takes no part in training",)
    labels = keys(made)
    assert sum(label.startswith("train") for label in labels) == 3  # A, T, TA
    assert not any("image" in label for label in labels)
    # Without images there is no way through them: every pair counts as bound.
    assert {label for label in labels if label.endswith("for text")} == {
        "collect CLAP_g audio for text",
        "collect ImageBind audio for text",
    }


def test_a_notice_is_given_once():
    held = {m: c for m, c in corpora().items() if m != "image"}
    assert len(plan(cr(IB, CG, CM), lab(held)).notices) == 1


def test_a_subset_that_needs_a_missing_corpus():
    held = {m: c for m, c in corpora().items() if m != "image"}
    with pytest.raises(DataError, match="data=TV: no image corpus"):
        plan(cr(IB, CG, anchors=("image", "text")), lab(held))


def test_too_many_modalities_for_every_subset():
    more = ("depth", "thermal")
    wide = Leaf(spec("Wide", 4, "audio", "image", "text", *more))
    held = {**corpora(), **{m: IdCorpus(m, m, ["0", "1"]) for m in more}}
    with pytest.raises(UsageError, match="5 anchor modalities make 31 projectors"):
        plan(cr(wide, CG), lab(held))
    made = plan(cr(wide, CG, anchors=("text",)), lab(held))
    assert Counter(s.kind for s in made.steps())["train"] == 1


def test_two_spaces_of_one_name():
    twin = changed(CG, source="/elsewhere/CLAP_g", weights_digest="e" * 64)
    with pytest.raises(UsageError, match="two different spaces are called 'CLAP_g'") as caught:
        plan(cr(IB, CG, twin))
    assert "/weights/CLAP_g and /elsewhere/CLAP_g" in caught.value.why


# --- precomputed spaces bring their own items ---


def folder(path, **rows):
    path.mkdir()
    for modality, n in rows.items():
        values = np.random.default_rng(n).normal(size=(n, 4)).astype(np.float32)
        np.save(path / f"{modality}.npy", values)
    return Leaf(resolve(path))


def test_precomputed_spaces_need_no_corpora(tmp_path):
    base = folder(tmp_path / "clip", image=7, text=6)
    expert = folder(tmp_path / "clap", audio=5, text=6)
    made = plan(cr(base, expert), lab({}))
    rows = {s.label: s.n_rows for s in made.steps() if s.kind == "collect"}
    assert rows == {
        "collect clip image for audio": 5,
        "collect clip text for audio by clap": 5,
        "collect clap text for audio": 5,
        "collect clip text for image": 7,
        "collect clap text for image by clip": 7,
        "collect clap audio for image": 7,
        "collect clip image for text": 6,
        "collect clap audio for text": 6,
    }


def test_each_pair_of_precomputed_spaces_has_its_own_items(tmp_path):
    base = folder(tmp_path / "clip", image=7, text=6)
    x = folder(tmp_path / "x", audio=5, text=6)
    y = folder(tmp_path / "y", audio=8, text=6)
    made = plan(cr(base, x, y), lab({}))
    rows = {s.label: s.n_rows for s in made.steps() if s.kind == "collect"}
    assert rows["collect x text for audio"] == 5
    assert rows["collect y text for audio"] == 8
    # And every pair is checked, not only the first.
    z = folder(tmp_path / "z", audio=5, text=9)
    with pytest.raises(DataError, match="mismatched ids: text of 'z'"):
        plan(cr(base, x, z), lab({}))


def test_a_precomputed_space_beside_an_encoder_takes_the_labs_items(tmp_path):
    expert = folder(tmp_path / "clap", audio=5, text=6)
    made = plan(cr(IB, expert), lab())
    rows = {s.label: s.n_rows for s in made.steps() if s.kind == "embed"}
    assert rows["embed clap text"] == rows["embed ImageBind text"] == 12


# --- a plan that is run ---


def test_a_plan_makes_a_bundle_that_embeds_as_its_steps_do(tmp_path):
    made = plan(laboratory=lab(settings=replace(SETTINGS, dtype="float32")))
    done = {}
    artifact = run(made.targets[0], Context(), done)
    write_bundle(tmp_path / "b", artifact.meta, artifact.arrays)
    for step in made.steps():
        stored = sum(rows.nbytes for rows in done[step.key].arrays.values())
        assert step.cost.size_bytes == stored, step.label
    bundle = load_bundle(tmp_path / "b")
    assert bundle.space == headline()
    assert set(bundle.record["losses"]) == set(bundle.record["steps"])
    heads = bundle.heads()
    assert [len(mixture) for mixture in heads.values()] == [7, 7, 7]
    corpus = corpora()["text"]
    rows = {
        leaf: torch.from_numpy(Encoder(leaf.spec).embed("text", corpus.items(0, 12)))
        for leaf in leaves(bundle.space)
    }
    inner = fuse(bundle.space.base, "text", rows, heads)
    step = next(s for s in made.steps() if s.label == "embed (ImageBind + Dr(InternVL)) text")
    # The same fp32 sums, whether a step makes them or inference does.
    np.testing.assert_allclose(done[step.key].arrays["embeddings"], inner, atol=1e-5)
    assert fuse(bundle.space, "text", rows, heads).shape == (12, 6)
