import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CG, CM, IB, VL, Context, Encoder, cr, dr, headline, run
from planning import SETTINGS, TEXT, corpora, keys, lab, plan
from toy_steps import make_step

from reactions.core.types import leaves
from reactions.data.corpora import IdCorpus
from reactions.planning.plan import Plan, ordered, plan_json
from reactions.planning.planner import Planner
from reactions.products.bundles.bundle import load_bundle, write_bundle
from reactions.products.fuse import fuse

# --- the shape of a plan ---


def test_the_steps_of_the_papers_reaction():
    planned = plan()
    steps = list(planned.steps())
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
    assert planned.notices == ()


def test_inputs_come_before_what_needs_them_and_nothing_twice():
    planned = plan()
    keys_seen = set()
    for step in planned.steps():
        assert all(child.key in keys_seen for _, child in step.inputs)
        assert step.key not in keys_seen
        keys_seen.add(step.key)
    assert list(planned.steps())[-1] is planned.targets[0]


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
    assert collect.together == steps["collect CLAP_m audio for text"].together
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
    planned = plan(cr(IB, dr(CM, CG)))
    counts = Counter(step.kind for step in planned.steps())
    # Leaves: 3 + 2 + 2; the expert: 2. CM and CG share both their modalities: 3 subsets.
    assert counts == {"embed": 9, "collect": 4 + 10, "train": 3 + 7, "assemble": 1}


def test_costs_add_up():
    planned = plan()
    steps = list(planned.steps())
    # Similarities that serve several columns are computed once.
    passes = {step.together: step.cost.shared_flops for step in steps if step.together}
    assert len(passes) < sum(step.together != "" for step in steps)
    own_flops = sum(step.cost.flops - step.cost.shared_flops for step in steps)
    assert planned.cost.flops == pytest.approx(own_flops + sum(passes.values()))
    assert planned.cost.size_bytes == sum(step.cost.size_bytes for step in steps)
    assert planned.cost.memory_bytes == max(step.cost.memory_bytes for step in steps)
    assert all(step.cost.size_bytes > 0 for step in steps)
    assert all(step.cost.flops > 0 for step in steps if step.kind != "assemble")


def test_plans_as_json():
    planned = plan()
    rows = json.loads(json.dumps(plan_json(planned)))
    assert [row["key"] for row in rows] == [step.key for step in planned.steps()]
    keys_seen = set()
    for row in rows:
        assert set(row["inputs"].values()) <= keys_seen
        keys_seen.add(row["key"])
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

    closed_corpora = {
        m: Closed(m, m, [str(i) for i in range(5)]) for m in ("audio", "image", "text")
    }
    assert len(list(plan(laboratory=lab(closed_corpora)).steps())) == 60


# --- recipes ---


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
def test_another_recipe_trains_one_projector_on_all_pairs_unless_a_subset_is_named(recipe):
    for space, label in ((cr(IB, CM, recipe=recipe), "TVA"), (dr(IB, VL, recipe=recipe), "TVA")):
        trained = [step.label for step in plan(space).steps() if step.kind == "train"]
        assert [name.rpartition(" ")[2] for name in trained] == [label]
    reported = plan(cr(IB, CM, recipe=recipe, anchors=("audio", "text")))
    assert [s.label.rpartition(" ")[2] for s in reported.steps() if s.kind == "train"] == ["TA"]


def test_recipes_share_embeddings_and_pairs_and_nothing_else():
    keys_by_label = [keys(plan(cr(IB, CM, recipe=r))) for r in ("paper", "cmcr", "exmcr")]
    for label in set.intersection(*map(set, keys_by_label)):
        shared = label.startswith(("embed", "collect"))
        assert len({labelled[label] for labelled in keys_by_label}) == (1 if shared else 3), label


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
@pytest.mark.parametrize("stage", [cr(IB, CM, CG), dr(IB, VL)])
def test_a_bundle_of_another_recipe_embeds_as_the_steps_do(tmp_path, recipe, stage):
    experts = tuple(replace(expert, recipe=recipe) for expert in stage.experts)
    space = replace(stage, experts=experts)
    planner, artifacts = Planner(lab()), {}
    artifact = run(planner.react(TEXT, space).targets[0], Context(), artifacts)
    bundle = load_bundle(write_bundle(tmp_path / "b", artifact.meta, artifact.arrays))
    assert bundle.space == space
    corpus = corpora()["text"]
    expected = run(planner.embed(space, corpus), Context(), artifacts).arrays["embeddings"]
    rows = {
        leaf: torch.from_numpy(
            np.array(run(planner.embed(leaf, corpus), Context(), artifacts).arrays["embeddings"])
        )
        for leaf in leaves(space)
    }
    # The same float32 operations on the same rows.
    np.testing.assert_allclose(
        fuse(space, "text", rows, bundle.parts()).numpy(), expected, atol=1e-6
    )


# --- a plan that is run ---


def test_a_plan_makes_a_bundle_that_embeds_as_its_steps_do(tmp_path):
    planned = plan(laboratory=lab(settings=replace(SETTINGS, dtype="float32")))
    artifacts = {}
    artifact = run(planned.targets[0], Context(), artifacts)
    write_bundle(tmp_path / "b", artifact.meta, artifact.arrays)
    for step in planned.steps():
        stored = sum(rows.nbytes for rows in artifacts[step.key].arrays.values())
        assert step.cost.size_bytes == stored, step.label
    bundle = load_bundle(tmp_path / "b")
    assert bundle.space == headline()
    assert set(bundle.record["losses"]) == set(bundle.record["steps"])
    heads = bundle.parts()
    assert [len(mixture) for mixture in heads.values()] == [7, 7, 7]
    corpus = corpora()["text"]
    rows = {
        leaf: torch.from_numpy(Encoder(leaf.spec).embed("text", corpus.items(0, 12)))
        for leaf in leaves(bundle.space)
    }
    inner = fuse(bundle.space.base, "text", rows, heads)
    step = next(s for s in planned.steps() if s.label == "embed (ImageBind + Dr(InternVL)) text")
    # The same fp32 sums, whether a step makes them or inference does.
    np.testing.assert_allclose(artifacts[step.key].arrays["embeddings"], inner, atol=1e-5)
    assert fuse(bundle.space, "text", rows, heads).shape == (12, 6)


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
def test_recipes_of_others_say_where_their_constants_come_from(recipe):
    (notice,) = plan(cr(IB, CM, recipe=recipe)).notices
    assert notice.startswith(f"recipe {recipe}:")
    assert "quoted from memory" in notice
