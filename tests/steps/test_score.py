from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from fakes import CG, CM, IB, Context, Encoder, changed, cr, ready, run

from reactions.core.errors import UsageError
from reactions.data.corpora import IdCorpus, TextCorpus
from reactions.eval.protocol import corpora, score
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData
from reactions.ops.projector import Projector
from reactions.products import fuse as module
from reactions.products.fuse import fuse
from reactions.products.parts import ProjectorMixture, load_centring
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, needed_leaves
from reactions.steps.score import ScoreTask

PRODUCT = cr(IB, CG)
HEADS = {(PRODUCT, 0): ProjectorMixture(Projector(5, 8, 4, seed=k).eval() for k in range(2))}
SOUNDS = IdCorpus("sounds", "audio", [f"s{i}" for i in range(11)])
CLIPS = ClassificationData(SOUNDS, np.arange(11) % 3, ("dog", "rain", "sea_waves"))
PAIRS = RetrievalData(
    SOUNDS, TextCorpus("captions", [f"c{i}" for i in range(22)]), np.arange(22) // 2
)


@dataclass(frozen=True)
class Parts:
    """Trained parts that are there already."""

    parts: dict
    digest: str = "d"

    def load(self, device):
        return self.parts


def build(
    data=CLIPS, task="esc50", space=PRODUCT, adjustment=NO_ADJUSTMENT, digest="d", label="product"
):
    task = get_task(task)
    embedded = {
        f"{name}/{leaf.label}": ready(
            name, Encoder(leaf.spec).embed(corpus.modality, corpus.items(0, 99))
        )
        for name, corpus in corpora(task, data).items()
        for leaf in needed_leaves(space, corpus.modality, adjustment)
    }
    return ScoreTask(
        name=label,
        task=task,
        data=data,
        scored=space,
        embedded=embedded,
        trained=Parts(HEADS, digest=digest),
        adjustment=adjustment,
    )


def expected(data, task, space, adjustment=NO_ADJUSTMENT):
    embeddings = {}
    for name, corpus in corpora(get_task(task), data).items():
        rows = {
            leaf: torch.from_numpy(
                Encoder(leaf.spec).embed(corpus.modality, corpus.items(0, len(corpus)))
            )
            for leaf in (IB, CG)
        }
        embeddings[name] = fuse(space, corpus.modality, rows, HEADS, adjustment).numpy()
    return score(get_task(task), data, embeddings)


@pytest.mark.parametrize(("task", "data"), [("esc50", CLIPS), ("audiocaps", PAIRS)])
@pytest.mark.parametrize("space", [PRODUCT, IB, CG], ids=["product", "base", "expert"])
@pytest.mark.parametrize("chunk", [8192, 4])
def test_scores_are_those_of_the_fused_embeddings(monkeypatch, task, data, space, chunk):
    monkeypatch.setattr(module, "CHUNK_ROWS", chunk)
    artifact = run(build(data, task, space))
    result = expected(data, task, space)
    assert {name: artifact.meta[name] for name in result.to_json()} == result.to_json()
    assert set(artifact.arrays) == set(result.arrays)
    for name, rows in result.arrays.items():
        np.testing.assert_array_equal(artifact.arrays[name], rows)


def test_adjustments_act_and_are_recorded():
    chosen = Adjustment(sigma={"": (0.9, 0.8)})
    artifact = run(build(PAIRS, "audiocaps", adjustment=chosen))
    result = expected(PAIRS, "audiocaps", PRODUCT, chosen)
    assert dict(artifact.meta["metrics"]) == dict(result.metrics)
    np.testing.assert_array_equal(artifact.arrays["rank_forward"], result.arrays["rank_forward"])
    assert artifact.meta["factors"] == {"sigma CLAP_g": {"audio": 0.9, "text": 0.8}}
    plain = run(build(PAIRS, "audiocaps")).arrays["rank_forward"]
    assert (plain != artifact.arrays["rank_forward"]).any()


def test_which_means_are_rescaled_is_recorded():
    space = cr(IB, CG, CM)
    heads = {
        (space, i): ProjectorMixture([Projector(dim, 8, 4).eval()]) for i, dim in enumerate((5, 4))
    }
    records = {}
    for mean in ("eq10", "unit"):
        product = replace(space, mean=mean)
        trained = Parts({(product, i): part for (_, i), part in heads.items()})
        step = replace(build(PAIRS, "audiocaps", product), trained=trained)
        records[mean] = run(step).meta
    assert records["unit"]["means"] == {"CLAP_g & CLAP_m": "unit"}
    assert "means" not in records["eq10"]


def test_a_centred_leaf_is_scored_less_its_means():
    bare = changed(CG, centre=True)
    space = cr(IB, bare)
    heads = {(space, 0): HEADS[PRODUCT, 0]}
    means = {(bare, m): torch.full((5,), 0.3) for m in ("audio", "text")}
    task = get_task("audiocaps")
    rows = {
        (name, leaf): Encoder(leaf.spec).embed(corpus.modality, corpus.items(0, 99))
        for name, corpus in corpora(task, PAIRS).items()
        for leaf in (IB, bare)
    }
    embedded = {
        f"{name}/{leaf.label}": ready(name, leaf_rows) for (name, leaf), leaf_rows in rows.items()
    }
    chosen = Adjustment(sigma={"": 0.9})
    step = ScoreTask(
        name="x",
        task=task,
        data=PAIRS,
        scored=space,
        embedded=embedded,
        trained=Parts({**heads, **load_centring(means)}),
        adjustment=chosen,
    )
    embeddings = {}
    for name, corpus in corpora(task, PAIRS).items():
        leaf_rows = {leaf: torch.from_numpy(rows[name, leaf]) for leaf in (IB, bare)}
        less_mean = leaf_rows[bare] - 0.3
        by_hand = {IB: leaf_rows[IB], CG: less_mean / less_mean.norm(dim=1, keepdim=True)}
        fused = fuse(PRODUCT, corpus.modality, by_hand, HEADS, chosen)
        embeddings[name] = fused.numpy()
    result = score(task, PAIRS, embeddings)
    artifact = run(step)
    assert dict(artifact.meta["metrics"]) == dict(result.metrics)
    with pytest.raises(UsageError, match="its mean of audio is not known"):
        run(replace(step, trained=Parts(heads)))


def test_prompts_are_recorded():
    assert run(build()).meta["prompts"] == ["This is a sound of {class}."]


def test_only_leaves_with_a_share_are_inputs():
    assert {name for name, _ in build().inputs} == {
        f"{corpus}/{leaf}" for corpus in ("queries", "prompts") for leaf in ("ImageBind", "CLAP_g")
    }
    alone = Adjustment(experts=frozenset())
    assert {name for name, _ in build(adjustment=alone).inputs} == {
        "queries/ImageBind",
        "prompts/ImageBind",
    }


def test_a_class_without_examples_has_no_average_precision():
    targets = np.zeros((11, 3), bool)
    targets[:4, 0] = targets[2:7, 2] = True
    data = MultilabelData(SOUNDS, targets, ("dog", "rain", "sea"))
    artifact = run(build(data, "audioset"))
    assert artifact.arrays["average_precision"].shape == (2, 1)
    assert np.isfinite(artifact.arrays["average_precision"]).all()


def test_progress_is_reported():
    context = Context()
    run(build(PAIRS, "audiocaps"), context)
    assert context.reports == [(11, 11, "items"), (22, 22, "items")]


def test_keys_follow_what_can_change_the_score_only():
    labels = ClassificationData(SOUNDS, (np.arange(11) + 1) % 3, CLIPS.classes)
    assert build(label="another").key == build().key
    changed = [
        build(labels),
        build(space=IB),
        build(space=cr(IB, CG, factors={"audio": 0.6, "text": 0.1})),
        build(adjustment=Adjustment(sigma={"": 0.3})),
        build(adjustment=Adjustment(experts=frozenset())),
        build(digest="other heads"),
        build(PAIRS, "audiocaps"),
        build(PAIRS, "clotho"),
    ]
    assert len({build().key, *(step.key for step in changed)}) == len(changed) + 1
