"""Centres as steps, and scores by them, against what is computed by hand."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from fakes import CG, IB, Encoder, cr, ready, run, unit_rows

from reactions.core.centre_options import CentreOptions
from reactions.data.centre_file import CentreCategory, open_centre_file, write_centre_file
from reactions.data.corpora import IdCorpus
from reactions.eval.class_texts import class_texts
from reactions.eval.protocol import score
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData, MultilabelData
from reactions.ops.projector import Projector
from reactions.products.fuse import fuse
from reactions.products.parts import ProjectorMixture
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, needed_leaves
from reactions.steps.centres import Centres, FileCentres
from reactions.steps.score_centres import ScoreCentres

PRODUCT = cr(IB, CG)
HEADS = {(PRODUCT, 0): ProjectorMixture(Projector(5, 8, 4, seed=k).eval() for k in range(2))}
SOUNDS = IdCorpus("sounds", "audio", [f"s{i}" for i in range(11)])
CLASSES = ("dog", "rain", "sea_waves")
CLIPS = ClassificationData(SOUNDS, np.arange(11) % 3, CLASSES)
TAGS = MultilabelData(SOUNDS, np.eye(11, 3, dtype=bool), CLASSES)
TEXTS = {"dog": 9, "rain": 4, "sea_waves": 6}


@dataclass(frozen=True)
class Parts:
    """Trained parts that are there already."""

    parts: dict
    digest: str = "d"

    def load(self, device):
        return self.parts


def texts(counts=TEXTS):
    return class_texts("kb", CLASSES, lambda name: [f"{name} {i}" for i in range(counts[name])])


def encoded(prefix, corpus, space, adjustment):
    return {
        f"{prefix}/{leaf.label}": ready(
            prefix, Encoder(leaf.spec).embed(corpus.modality, corpus.items(0, len(corpus)))
        )
        for leaf in needed_leaves(space, corpus.modality, adjustment)
    }


def centres(options, space=PRODUCT, adjustment=NO_ADJUSTMENT, described=None, **more):
    described = described or texts()
    return Centres(
        name="x",
        options=options,
        spans=described.spans,
        dim=space.dim,
        scored=space,
        trained=Parts(HEADS),
        adjustment=adjustment,
        embedded=encoded("texts", described.corpus, space, adjustment) | more.pop("items", {}),
        **more,
    )


def by_hand(corpus, space, adjustment=NO_ADJUSTMENT):
    rows = {
        leaf: torch.from_numpy(
            Encoder(leaf.spec).embed(corpus.modality, corpus.items(0, len(corpus)))
        )
        for leaf in (IB, CG)
    }
    return fuse(space, corpus.modality, rows, HEADS, adjustment)


def nearest(rows, mean, k):
    return sorted(range(len(rows)), key=lambda i: (-float(rows[i] @ mean), i))[:k]


@pytest.mark.parametrize("space", [PRODUCT, IB, CG], ids=["product", "base", "expert"])
def test_centres_are_the_most_central_rows_in_the_product(space):
    described = texts()
    artifact = run(centres(CentreOptions(k=5), space))
    rows = by_hand(described.corpus, space)
    assert artifact.arrays["centres"].shape == (3, 5, space.dim)
    assert artifact.arrays["counts"].tolist() == [5, 4, 5]
    for index, (start, stop) in enumerate(described.spans):
        members = rows[start:stop]
        most_central = nearest(members, members.mean(dim=0), 5)
        n = len(most_central)
        assert artifact.arrays["places"][index].tolist() == most_central + [-1] * (5 - n)
        centre_rows = artifact.arrays["centres"][index]
        np.testing.assert_allclose(centre_rows[:n], members[most_central].numpy(), atol=1e-6)
        assert not centre_rows[n:].any()
    counted = artifact.meta["descriptions"]
    assert counted == {
        "used": 14,
        "of": 19,
        "least": 4,
        "most": 5,
        "classes_with_fewer_than_k": 1,
    }


def test_all_keeps_every_row_in_order():
    artifact = run(centres(CentreOptions(selection="all")))
    assert artifact.arrays["counts"].tolist() == [9, 4, 6]
    assert artifact.arrays["places"][1].tolist() == [0, 1, 2, 3, *[-1] * 5]
    assert artifact.meta == {
        "selection": "all",
        "descriptions": {
            "used": 19,
            "of": 19,
            "least": 4,
            "most": 9,
            "classes_with_fewer_than_k": 0,
        },
    }


def test_items_decide_which_rows_are_kept():
    items = IdCorpus("training", "audio", [f"t{i}" for i in range(12)])
    labels = np.array([0, 1, 2, -1] * 3)
    options = CentreOptions(k=2, selection="items", items="esc50:train")
    step = centres(
        options,
        items=encoded("items", items, PRODUCT, NO_ADJUSTMENT),
        item_modality="audio",
        item_classes=labels,
    )
    rows, item_rows = by_hand(texts().corpus, PRODUCT), by_hand(items, PRODUCT)
    artifact = run(step)
    for index, (start, stop) in enumerate(texts().spans):
        mean = item_rows[torch.from_numpy(labels == index)].mean(dim=0)
        assert artifact.arrays["places"][index].tolist() == nearest(rows[start:stop], mean, 2)
    assert artifact.meta["items"] == "esc50:train"
    other = replace(step, item_classes=np.roll(labels, 1))
    assert other.key != step.key


def test_medoids_are_of_the_seed():
    step = centres(CentreOptions(k=3, selection="medoids"), seed=4)
    assert run(step).arrays["counts"].tolist() == [3, 3, 3]
    assert step.key != replace(step, seed=5).key
    assert run(step).meta["seed"] == 4


def test_keys_follow_what_can_change_the_centres_only():
    plain = centres(CentreOptions(k=5))
    assert replace(plain, name="another", seed=3).key == plain.key
    # The rule is the score's, and does not make the centres anew.
    assert centres(CentreOptions(k=5, rule="nearest-row")).key == plain.key
    changed = [
        centres(CentreOptions(k=4)),
        centres(CentreOptions(k=5, selection="medoids")),
        centres(CentreOptions(k=5, selection="all")),
        centres(CentreOptions(k=5), IB),
        centres(CentreOptions(k=5), adjustment=Adjustment(sigma={"": 0.3})),
        centres(CentreOptions(k=5), described=texts({**TEXTS, "dog": 8})),
        replace(plain, trained=Parts(HEADS, digest="other")),
    ]
    assert len({plain.key, *(step.key for step in changed)}) == len(changed) + 1


def scored(options, data=CLIPS, task="esc50", space=PRODUCT, given_centres=None, **changes):
    given_centres = given_centres or centres(options, space)
    return ScoreCentres(
        name="product",
        task=get_task(task),
        data=data,
        scored=space,
        embedded=encoded("queries", SOUNDS, space, NO_ADJUSTMENT),
        trained=Parts(HEADS),
        adjustment=NO_ADJUSTMENT,
        centres=given_centres,
        options=options,
        about={"kb": "kb", "digest": "ab"},
        **changes,
    )


@pytest.mark.parametrize(("data", "task"), [(CLIPS, "esc50"), (TAGS, "audioset")])
def test_the_mean_scores_as_prompts_of_those_rows_would(data, task):
    options = CentreOptions(k=4)
    artifact = run(scored(options, data, task))
    rows = by_hand(texts().corpus, PRODUCT)
    prototypes = []
    for start, stop in texts().spans:
        members = rows[start:stop]
        mean = members[nearest(members, members.mean(dim=0), 4)].mean(dim=0)
        prototypes.append((mean / mean.norm()).numpy())
    # One prompt a class, embedded there.
    prompted = replace(get_task(task), templates=("{class}",))
    queries = by_hand(SOUNDS, PRODUCT).numpy()
    expected = score(prompted, data, {"queries": queries, "prompts": np.stack(prototypes)})
    assert dict(artifact.meta["metrics"]) == pytest.approx(dict(expected.metrics))
    for name, values in expected.arrays.items():
        finite = values[np.isfinite(values[:, 0])]
        np.testing.assert_allclose(artifact.arrays[name], finite)


@pytest.mark.parametrize(
    ("rule", "reduce"),
    [
        ("nearest-row", lambda cosines: cosines.max()),
        ("sum", lambda cosines: cosines.sum()),
        ("top-m", lambda cosines: np.sort(cosines)[-3:].mean()),
    ],
)
def test_other_rules_score_by_every_row(rule, reduce):
    options = CentreOptions(selection="all", rule=rule, m=3)
    artifact = run(scored(options))
    queries = by_hand(SOUNDS, PRODUCT).numpy()
    rows = by_hand(texts().corpus, PRODUCT).numpy()
    scores = np.array(
        [[reduce(rows[slice(*span)] @ query) for span in texts().spans] for query in queries]
    )
    correct = scores.argmax(axis=1) == CLIPS.labels
    assert artifact.arrays["correct"][:, 0].tolist() == correct.tolist()
    assert artifact.meta["metrics"]["accuracy"] == pytest.approx(100 * correct.mean())


def test_the_record_says_centres_in_place_of_prompts():
    meta = run(scored(CentreOptions(k=4, rule="top-m", m=2))).meta
    assert meta["prompts"] == []
    assert meta["classes"]["n"] == 3
    assert meta["centres"] == {
        "kb": "kb",
        "digest": "ab",
        "selection": "central",
        "k": 4,
        "rule": "top-m",
        "m": 2,
        "zero_shot": True,
        "descriptions": {
            "used": 12,
            "of": 19,
            "least": 4,
            "most": 4,
            "classes_with_fewer_than_k": 0,
        },
    }


def test_templates_do_not_enter_the_key_and_the_rule_does():
    plain = scored(CentreOptions(k=4))
    spoken = replace(get_task("esc50"), templates=("a {class}",))
    assert replace(plain, task=spoken).key == plain.key
    assert scored(CentreOptions(k=4, rule="sum")).key != plain.key
    assert replace(plain, ties="lenient").key != plain.key


def test_a_space_without_text_scores_by_a_file(tmp_path):
    rows = unit_rows(12, 8, 3)
    names = [CentreCategory(name, 4) for name in CLASSES]
    write_centre_file(tmp_path / "c.safetensors", rows, names, space="ImageBind", source="x")
    file = open_centre_file(tmp_path / "c.safetensors")
    options = CentreOptions(k=4, rule="nearest-row")
    spans = tuple(file.span(name) for name in CLASSES)
    from_file = FileCentres(name="x", options=options, spans=spans, dim=8, file=file)
    artifact = run(scored(options, space=IB, given_centres=from_file))
    queries = by_hand(SOUNDS, IB).numpy()
    best = (queries @ rows.T).argmax(axis=1) // 4
    assert artifact.arrays["correct"][:, 0].tolist() == (best == CLIPS.labels).tolist()


def test_keys_stay_what_they_are():
    """Golden: another key makes everybody's centres and scores anew."""
    class_centres = replace(centres(CentreOptions(k=5), IB), embedded={}, trained=None)
    step = replace(
        scored(CentreOptions(k=5), space=IB, given_centres=class_centres), embedded={}, trained=None
    )
    assert class_centres.key == "9735d6edc5fd91383e4966cc49715bb6d02ae4b0d3bf45f52704ccc8c02dcc16"
    assert step.key == "cd9bab59dea9f5f3c5817d2a6d622daa4be43f6bde2d9e57805f53cce59fee7e"
