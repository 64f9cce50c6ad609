import json
from dataclasses import replace

import numpy as np
import pytest

from reactions.core.errors import DataError, DimensionMismatch, UsageError
from reactions.data.corpora import IdCorpus, TextCorpus
from reactions.eval import protocol
from reactions.eval.prompts import class_embeddings
from reactions.eval.registry import get_task
from reactions.eval.task_data import ClassificationData, MultilabelData, RetrievalData


def ids(modality: str, n: int) -> IdCorpus:
    return IdCorpus(modality, modality, [str(row) for row in range(n)])


def one_hot(*indices: int, dim: int = 4) -> np.ndarray:
    return np.eye(dim, dtype=np.float32)[list(indices)]


ESC50 = ClassificationData(
    queries=ids("audio", 5),
    labels=np.array([0, 1, 2, 0, 1]),
    classes=("dog", "cat", "door_knock"),
    folds=np.array([1, 1, 2, 2, 2]),
    expected=2000,
)
AUDIOSET = MultilabelData(
    queries=ids("audio", 3),
    targets=np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], bool),
    classes=("a", "b", "never"),
)
CAPTIONS = RetrievalData(
    left=ids("audio", 3),
    right=TextCorpus("captions", list("uvwxy")),
    owner=np.array([0, 0, 1, 2, 2]),
    expected=964,
)


def test_classification_embeds_queries_and_prompts() -> None:
    corpora = protocol.corpora(get_task("esc50"), ESC50)
    assert list(corpora) == ["queries", "prompts"]
    assert corpora["queries"] is ESC50.queries
    assert [item.value for item in corpora["prompts"].items(0, 9)] == [
        "This is a sound of dog.",
        "This is a sound of cat.",
        "This is a sound of door knock.",
    ]


def test_accuracy_overall_and_by_fold() -> None:
    score = protocol.score(
        get_task("esc50"),
        ESC50,
        {"queries": one_hot(0, 1, 2, 1, 0), "prompts": one_hot(0, 1, 2)},
    )
    assert dict(score.metrics) == pytest.approx(
        {"accuracy": 60.0, "fold_1": 100.0, "fold_2": 100 / 3}
    )
    assert (score.main, score.value) == ("accuracy", score.metrics["accuracy"])
    assert (score.n, score.n_other, score.expected) == (5, 3, 2000)
    assert score.arrays["correct"].tolist() == [[True], [True], [True], [False], [False]]
    json.dumps(score.to_json())


def test_templates_are_averaged_after_normalising() -> None:
    prompts = np.array([[10, 0], [0, 1], [0, 3], [0, 5]], np.float32)
    embeddings = class_embeddings(prompts, 2)
    # float32 square roots of 0.5
    np.testing.assert_allclose(embeddings, [[0.5**0.5, 0.5**0.5], [0, 1]], atol=1e-7)
    imagenet = get_task("imagenet")
    data = ClassificationData(ids("image", 1), np.array([1]), ("cat", "dog"))
    assert len(protocol.corpora(imagenet, data)["prompts"]) == 2 * len(imagenet.templates)
    k = len(imagenet.templates)
    rows = np.concatenate([one_hot(*[0] * k), one_hot(*[1] * k)])
    assert protocol.score(imagenet, data, {"queries": one_hot(1), "prompts": rows}).value == 100


def test_class_embeddings_refuse_what_they_cannot_average() -> None:
    with pytest.raises(DimensionMismatch, match="3 prompt embeddings do not fit 2"):
        class_embeddings(one_hot(0, 1, 2), 2)
    with pytest.raises(DataError, match="prompt embeddings: 1 of 2"):
        class_embeddings(np.array([[1, 0], [0, 0]], np.float32), 1)
    with pytest.raises(DataError, match="class embeddings: 1 of 1"):
        class_embeddings(np.array([[1, 0], [-1, 0]], np.float32), 2)


def test_mean_average_precision_leaves_absent_classes_out() -> None:
    queries = np.array([[0.9, 0.1], [0.5, 0.6], [0.6, 0.7]], np.float32)
    prompts = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    score = protocol.score(get_task("audioset"), AUDIOSET, {"queries": queries, "prompts": prompts})
    # class a: ranking 0, 2, 1 has precision 1 and 2/3; class b: 2, 1, 0 has 1 and 1.
    assert score.value == pytest.approx(100 * ((1 + 2 / 3) / 2 + 1) / 2)
    assert list(score.metrics) == ["mAP"]
    assert (score.n, score.n_other) == (3, 2)
    precisions = score.arrays["average_precision"]
    assert precisions.shape == (3, 1)
    assert np.isnan(precisions[2, 0])


def test_captions_in_both_directions() -> None:
    left = one_hot(0, 1, 2)
    # Captions: right; wrong (says item 1); right; wrong (says 0); right.
    right = one_hot(0, 1, 1, 0, 2)
    score = protocol.score(get_task("audiocaps"), CAPTIONS, {"left": left, "right": right})
    assert list(score.metrics) == [
        "text->audio R@1",
        "text->audio R@5",
        "text->audio R@10",
        "audio->text R@1",
        "audio->text R@5",
        "audio->text R@10",
        "mean R@1",
        "mean R@5",
        "mean R@10",
    ]
    # Items 0 and 1 tie with a stranger's caption, which counts against them.
    assert score.arrays["rank_backward"].tolist() == [[2], [2], [1]]
    assert score.arrays["rank_forward"].tolist() == [[1], [3], [1], [3], [1]]
    assert score.metrics["text->audio R@1"] == pytest.approx(60)
    assert score.metrics["audio->text R@1"] == pytest.approx(100 / 3)
    assert score.value == pytest.approx((60 + 100 / 3) / 2)
    assert score.metrics["mean R@5"] == 100
    assert (score.n, score.n_other, score.expected) == (3, 5, 964)


def test_the_best_of_the_captions_counts_and_all_are_pooled() -> None:
    left = one_hot(0, 1)
    right = np.array([[0, 0, 0, 1], [0.9, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]], np.float32)
    data = RetrievalData(
        ids("image", 2), TextCorpus("t", list("abcd")), owner=np.array([0, 0, 1, 1])
    )
    score = protocol.score(get_task("coco"), data, {"left": left, "right": right})
    assert score.metrics["image->text R@1"] == 100
    assert score.metrics["text->image R@1"] == 50
    assert list(protocol.corpora(get_task("coco"), data)) == ["left", "right"]


@pytest.mark.parametrize(
    ("task", "data", "words"),
    [
        ("esc50", replace(ESC50, labels=np.array([0, 1, 2, 0])), "labels are (4,) for 5"),
        ("esc50", replace(ESC50, labels=np.array([0, 1, 2, 0, 3])), "outside 0 to 2"),
        ("esc50", replace(ESC50, labels=np.array([0, 1, 2, 0, -1])), "outside 0 to 2"),
        ("esc50", replace(ESC50, folds=np.array([1])), "folds are (1,)"),
        ("esc50", replace(ESC50, queries=ids("image", 5)), "asks for audio"),
        ("esc50", CAPTIONS, "retrieval data"),
        ("audiocaps", ESC50, "classification data"),
        ("audioset", replace(AUDIOSET, targets=np.ones((3, 2), bool)), "targets are (3, 2)"),
        ("audioset", replace(AUDIOSET, targets=np.zeros((3, 3), bool)), "no item has any"),
        ("clotho", replace(CAPTIONS, owner=np.array([0, 0, 0, 2, 2])), "1 left items own no"),
        ("clotho", replace(CAPTIONS, owner=np.array([0, 1, 2])), "owner are (3,)"),
        ("clotho", replace(CAPTIONS, owner=np.array([0, 0, 1, 2, 3])), "outside 0 to 2"),
        ("vggss", CAPTIONS, "asks for image"),
    ],
)
def test_data_that_does_not_fit(task: str, data: protocol.BenchmarkData, words: str) -> None:
    with pytest.raises(DataError, match=f"task '{task}'") as caught:
        protocol.corpora(get_task(task), data)
    assert words in caught.value.why


def test_embeddings_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "_CHECK_ROWS", 2)
    good = {"queries": one_hot(0, 1, 2, 1, 0), "prompts": one_hot(0, 1, 2)}
    with pytest.raises(DimensionMismatch, match="4 embeddings for 5 queries"):
        protocol.score(get_task("esc50"), ESC50, {**good, "queries": one_hot(0, 1, 2, 1)})
    with pytest.raises(DimensionMismatch, match="4 and 5 dimensions"):
        protocol.score(get_task("esc50"), ESC50, {**good, "prompts": one_hot(0, 1, 2, dim=5)})
    bad = good["queries"].copy()
    bad[3, 1] = np.nan
    with pytest.raises(DataError, match="not finite") as caught:
        protocol.score(get_task("esc50"), ESC50, {**good, "queries": bad})
    assert caught.value.fields["row"] == 3


def test_identity_sees_what_changes_a_score() -> None:
    esc50 = get_task("esc50")
    identities = [
        protocol.identity(esc50, ESC50),
        protocol.identity(esc50, replace(ESC50, labels=np.array([0, 1, 2, 0, 0]))),
        protocol.identity(esc50, replace(ESC50, folds=None)),
        protocol.identity(esc50, replace(ESC50, folds=np.array([1, 1, 1, 2, 2]))),
        protocol.identity(esc50, replace(ESC50, classes=("dog", "cat", "rain"))),
        protocol.identity(replace(esc50, templates=("{class}",)), ESC50),
        protocol.identity(replace(esc50, name="esc10"), ESC50),
        protocol.identity(esc50, replace(ESC50, expected=400)),
        protocol.identity(get_task("audioset"), AUDIOSET),
        protocol.identity(get_task("clotho"), CAPTIONS),
        protocol.identity(get_task("clotho"), replace(CAPTIONS, owner=np.array([0, 1, 1, 2, 2]))),
    ]
    assert len({json.dumps(identity) for identity in identities}) == len(identities)
    narrow = replace(ESC50, labels=ESC50.labels.astype(np.int32))
    assert protocol.identity(esc50, narrow) == identities[0]


# --- hits by class ---

PAIRED = get_task("ncaltech101_images")
BY_CLASS = replace(PAIRED, hit="class")
PAIRS = RetrievalData(
    left=ids("event", 4),
    right=ids("image", 4),
    owner=np.arange(4),
    left_labels=np.array([0, 0, 1, 1]),
    right_labels=np.array([0, 0, 1, 1]),
)


def test_hits_by_class_and_by_pair() -> None:
    # Recordings 0 and 1, of one class, find each other's picture; 2 finds one of class 0.
    rows = {"left": one_hot(0, 1, 2, 3), "right": one_hot(1, 0, 3, 3)}
    rows["left"][2] = one_hot(0)[0]
    pair = protocol.score(PAIRED, PAIRS, rows)
    alike = protocol.score(BY_CLASS, PAIRS, rows)
    assert [f"mean R@{k}" for k in (1, 5, 10, 20)] == list(pair.metrics)[-4:]
    assert pair.metrics["event->image R@1"] == 0
    assert alike.metrics["event->image R@1"] == 75
    assert alike.metrics["image->event R@1"] == 75
    assert alike.arrays["rank_backward"].ravel().tolist() == [1, 1, 3, 1]  # wrong ones tie


def test_both_directions_have_their_own_hits_by_class() -> None:
    # Every picture looks like recording 0; recordings of class 1 look like no picture.
    rows = {"left": one_hot(0, 1, 2, 3), "right": one_hot(0, 0, 0, 0)}
    rows["left"][1] = one_hot(0)[0]
    score = protocol.score(BY_CLASS, PAIRS, rows, "lenient")
    assert score.metrics["image->event R@1"] == 50  # of recordings, those of class 0 are nearest
    assert score.metrics["event->image R@1"] == 100  # all pictures tie
    assert score.arrays["rank_forward"].ravel().tolist() == [1, 1, 3, 3]
    assert score.tied == {"image->event": (4, 0), "event->image": (4, 4)}


def test_keys_of_pairs_are_those_of_before_there_were_classes() -> None:
    bare = replace(PAIRS, left_labels=None, right_labels=None)
    assert protocol.identity(PAIRED, PAIRS) == protocol.identity(PAIRED, bare)
    assert "hit" not in protocol.identity(PAIRED, PAIRS)
    identities = [protocol.identity(task, PAIRS) for task in (PAIRED, BY_CLASS)]
    other = replace(PAIRS, left_labels=np.array([0, 1, 1, 1]), right_labels=np.array([0, 1, 1, 1]))
    identities.append(protocol.identity(BY_CLASS, other))
    assert len({json.dumps(identity) for identity in identities}) == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"left_labels": None}, "one of its sides has classes"),
        ({"right_labels": np.array([0, 0, 1])}, "classes are (3,) for 4 items"),
        ({"right_labels": np.array([0, 1, 1, 1])}, "1 pairs have items of two classes"),
    ],
)
def test_classes_that_do_not_fit(change: dict[str, object], words: str) -> None:
    with pytest.raises(DataError) as caught:
        protocol.check(PAIRED, replace(PAIRS, **change))
    assert words in caught.value.why


def test_hits_by_class_need_classes() -> None:
    with pytest.raises(UsageError, match="its items have none") as caught:
        protocol.check(replace(get_task("clotho"), hit="class"), CAPTIONS)
    assert caught.value.fix == "--hit pair"
