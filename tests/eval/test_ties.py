"""Right answers that tie with wrong ones: counted, and a miss or a hit as is asked for."""

import numpy as np
import pytest
from test_protocol import CAPTIONS, ESC50, one_hot

from reactions.data.corpora import IdCorpus, TextCorpus
from reactions.eval import protocol
from reactions.eval.registry import get_task
from reactions.eval.task_data import RetrievalData

# Sounds 1 and 2 are the same recording, each with a caption of its own.
TWICE = RetrievalData(
    left=IdCorpus("sounds", "audio", ["0", "1", "2"]),
    right=TextCorpus("captions", list("abc")),
    owner=np.arange(3),
)
EMBEDDED = {"left": one_hot(0, 1, 1), "right": one_hot(0, 1, 1)}


@pytest.mark.parametrize(("ties", "hits"), [("strict", 1), ("lenient", 3)])
def test_duplicated_items_of_a_retrieval(ties, hits):
    score = protocol.score(get_task("audiocaps"), TWICE, EMBEDDED, ties)
    assert score.metrics["mean R@1"] == pytest.approx(100 * hits / 3)
    assert score.metrics["mean R@5"] == pytest.approx(100)
    assert score.ties == ties
    assert dict(score.tied) == {"text->audio": (3, 2), "audio->text": (3, 2)}
    assert score.to_json()["tied"]["text->audio"] == {"of": 3, "n": 2}


@pytest.mark.parametrize(("ties", "accuracy"), [("strict", 0), ("lenient", 100)])
def test_a_space_that_cannot_tell_classes_apart(ties, accuracy):
    # Not the share of the first class (2 of 5), which argmax would give.
    same = np.full((5, 4), 0.5, np.float32)
    score = protocol.score(get_task("esc50"), ESC50, {"queries": same, "prompts": same[:3]}, ties)
    assert score.metrics["accuracy"] == accuracy
    assert dict(score.tied) == {"classes": (5, 5)}


def test_without_ties_both_rules_agree():
    embedded = {"left": one_hot(0, 1, 2), "right": one_hot(0, 0, 1, 2, 2)}
    strict, lenient = (
        protocol.score(get_task("audiocaps"), CAPTIONS, embedded, ties) for ties in protocol.TIES
    )
    assert strict.metrics == lenient.metrics
    assert all(n == 0 for _, n in strict.tied.values())


def test_the_rule_is_in_the_key():
    strict, lenient = (protocol.identity(get_task("esc50"), ESC50, ties) for ties in protocol.TIES)
    assert strict != lenient
    assert protocol.identity(get_task("esc50"), ESC50) == strict
