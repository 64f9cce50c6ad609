import json

import pytest
from knowledge_rows import METADATA, ROWS

from reactions.core.errors import UsageError
from reactions.knowledge.base import KnowledgeTable
from reactions.knowledge.summary import summarise

KB = KnowledgeTable("pets", ROWS, METADATA)


def test_counts():
    summary = summarise(KB)
    assert (summary.n_rows, summary.n_blank) == (8, 1)
    assert summary.sources == {"LLM": 3, "label": 1, "human": 1, "MLLM": 3}
    assert summary.modalities == {"": 5, "image": 2, "audio": 1}
    assert (summary.models, summary.prompts) == ({"m": 1, "": 7}, {"p": 1, "": 7})
    dog, cat = summary.categories
    assert (dog.category, dog.descriptions, dog.names, dog.items) == ("dog", 2, 1, {"audio": 1})
    assert (cat.category, cat.descriptions, cat.names, cat.items) == ("cat", 2, 0, {"image": 2})
    json.dumps(summary.to_json())


@pytest.mark.parametrize(
    ("n", "ids"),
    [
        (0, []),
        (1, ["dog/0"]),
        (3, ["dog/0", "dog/name", "y.wav"]),
        (4, ["dog/0", "dog/1", "dog/name", "y.wav"]),
        (9, ["dog/0", "dog/1", "dog/name", "y.wav"]),
    ],
)
def test_examples_are_of_each_kind(n, ids):
    assert [row.id for row in summarise(KB, "", n).examples] == ids


def test_examples_of_a_category():
    assert {row.category for row in summarise(KB, "cat", 9).examples} == {"cat"}
    with pytest.raises(UsageError, match="did you mean 'cat'"):
        summarise(KB, "cats")
