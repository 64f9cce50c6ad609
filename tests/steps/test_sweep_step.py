from dataclasses import replace

import numpy as np
import pytest
from fakes import CG, CM, IB, VL, Encoder, cr, dr, ready, run
from test_score import CLIPS, PAIRS, SOUNDS, Parts

from reactions.core.types import Tuned
from reactions.eval.protocol import corpora
from reactions.eval.registry import get_task
from reactions.eval.task_data import MultilabelData
from reactions.ops.projector import Projector
from reactions.products.acting import reachable_leaves
from reactions.products.parts import ProjectorMixture
from reactions.products.tree import Adjustment, mixtures, needed_leaves
from reactions.products.tuned import TunedPath
from reactions.steps.score import ScoreTask
from reactions.steps.sweep import CellCorpus, SweepTask

TARGETS = np.zeros((11, 3), bool)
TARGETS[:4, 0] = TARGETS[2:7, 2] = True
LEFT = np.arange(len(SOUNDS)) % 3
SETS = {
    "esc50": CLIPS,
    "audiocaps": PAIRS,
    "audioset": MultilabelData(SOUNDS, TARGETS, ("dog", "rain", "sea")),
    "by class": replace(PAIRS, left_labels=LEFT, right_labels=LEFT[PAIRS.owner]),
}
TASKS = {name: get_task(name) for name in SETS if name != "by class"}
TASKS["by class"] = replace(get_task("audiocaps"), hit="class", cutoffs=(1, 2, 4))
STAGED = cr(dr(IB, VL), CM, CG)
UNIT = replace(STAGED, mean="unit")
REPAIRED = Tuned("ft", dr(IB, VL), ("audio", "image"))
TUNED = cr(REPAIRED, CM, CG)
INNER = cr(IB, cr(CG, CM))
CELLS = [
    Adjustment(),
    *(Adjustment(sigma={"": (a, t)}) for a in (0.0, 0.4, 1.0) for t in (0.0, 0.7)),
    *(Adjustment(lambda_={"": t}, sigma={"": (a, t)}) for a in (0.2, 0.9) for t in (0.3, 0.5)),
    *(Adjustment(sigma={"CLAP_m": t, "CLAP_g": 0.7}) for t in (0.0, 0.4, 0.8)),
    Adjustment(sigma={"CLAP_m": 0.3}, experts=frozenset({"CLAP_m"})),
    Adjustment(experts=frozenset()),
]


def trained(space):
    heads = mixtures_of(space)
    if space is TUNED:  # the audio encoder has been tuned, and so has its projector
        copies = mixtures_of(REPAIRED.base, seed=50)
        heads[REPAIRED, None] = TunedPath(copies, {}, None)
    return Parts(heads)


def mixtures_of(space, seed=0):
    heads = {}
    for fusion, i in mixtures(space):
        widths = (fusion.base.dim, fusion.experts[i].space.dim)
        d_in, d_out = widths if fusion.op == "dr" else widths[::-1]
        heads[fusion, i] = ProjectorMixture(
            Projector(d_in, d_out, 4, seed=seed + 7 * i + k).eval() for k in range(2)
        )
    return heads


def embedded(task, data, leaves_of):
    return {
        f"{name}/{leaf.label}": ready(
            name, Encoder(leaf.spec).embed(corpus.modality, corpus.items(0, 99))
        )
        for name, corpus in corpora(task, data).items()
        for leaf in leaves_of(corpus.modality)
    }


def sweep_step(name, space, cells, parts, **options):
    task = TASKS[name]
    return SweepTask(
        name="product",
        task=task,
        data=SETS[name],
        scored=space,
        embedded=embedded(task, SETS[name], lambda m: reachable_leaves(space, m)),
        trained=parts,
        cells=CellCorpus(space, cells),
        **options,
    )


def score_step(name, space, adjustment, parts, **options):
    task = TASKS[name]
    return ScoreTask(
        name="product",
        task=task,
        data=SETS[name],
        scored=space,
        embedded=embedded(task, SETS[name], lambda m: needed_leaves(space, m, adjustment)),
        trained=parts,
        adjustment=adjustment,
        **options,
    )


@pytest.mark.parametrize("ties", ["strict", "lenient"])
@pytest.mark.parametrize(
    "space",
    [STAGED, UNIT, TUNED, INNER],
    ids=["stages", "unit mean", "tuned", "a product as expert"],
)
@pytest.mark.parametrize("name", SETS)
def test_cells_have_the_scores_of_single_evaluations(name, space, ties):
    parts = trained(space)
    inner = [Adjustment(sigma={"CLAP_m": t, "": 0.4}) for t in (0.0, 0.2, 0.9)]
    cells = [*CELLS[:7], *inner] if space is INNER else CELLS
    artifact = run(sweep_step(name, space, cells, parts, ties=ties))
    for row, adjustment in enumerate(cells):
        alone = run(score_step(name, space, adjustment, parts, ties=ties)).meta
        assert artifact.meta["metrics"] == list(alone["metrics"])
        np.testing.assert_allclose(
            artifact.arrays["metrics"][row], list(alone["metrics"].values()), rtol=0, atol=1e-6
        )
        same = ("task", "main", "n", "n_other", "expected", "ties", "prompts")
        assert {k: artifact.meta[k] for k in same} == {k: alone[k] for k in same}


def test_hits_by_class_are_more_than_those_by_pair():
    parts = trained(STAGED)
    pair, alike = (
        run(sweep_step(name, STAGED, CELLS, parts)) for name in ("audiocaps", "by class")
    )
    first = [artifact.meta["metrics"].index("mean R@1") for artifact in (pair, alike)]
    hits = [a.arrays["metrics"][:, i] for a, i in zip((pair, alike), first, strict=True)]
    assert (hits[0] <= hits[1]).all()
    assert (hits[0] < hits[1]).any()


def test_scores_differ_between_cells():
    metrics = run(sweep_step("audiocaps", STAGED, CELLS, trained(STAGED))).arrays["metrics"]
    assert len({tuple(row) for row in metrics}) > 4


def test_keys_follow_what_acts_in_the_cells():
    parts = trained(STAGED)
    key = sweep_step("audiocaps", STAGED, CELLS, parts).key
    spelled = [Adjustment(sigma={"": (0.5, 0.1)}), *CELLS[1:]]  # the product's own factors
    assert sweep_step("audiocaps", STAGED, spelled, parts).key == key
    others = [
        sweep_step("audiocaps", STAGED, CELLS[1:], parts),
        sweep_step("audiocaps", STAGED, CELLS, parts, ties="lenient"),
        sweep_step("esc50", STAGED, CELLS, parts),
        sweep_step("audiocaps", STAGED, CELLS, Parts(parts.parts, digest="other")),
    ]
    assert len({key, *(step.key for step in others)}) == 5
