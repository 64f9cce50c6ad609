import dataclasses

import pytest
from knowledge_rows import METADATA, ROWS

from reactions.core.errors import DataError, UsageError
from reactions.knowledge.base import Description, KnowledgeTable, count_sources, rows_digest

KB = KnowledgeTable("pets", ROWS, METADATA)


def test_descriptions_of_a_category_are_neither_names_nor_blank_nor_of_items():
    assert KB.categories == ("dog", "cat")
    assert list(KB.of_category("dog")) == ["a dog in the rain", "two hounds run"]
    assert list(KB.of_category("cat")) == ["a cat on a wall"]
    assert (list(KB.synonyms("dog")), list(KB.synonyms("cat"))) == (["hound"], [])


def test_items_by_modality():
    assert KB.modalities == ("audio", "image")
    items = KB.items("image")
    assert len(items) == 2
    assert items.ids == ["x.png", "x.png"]
    assert items.categories == ["cat", "cat"]
    assert items.descriptions == ["something furry", "a kitten"]


def test_rows_left_out_are_told():
    assert KB.notices == (
        "knowledge base 'pets': 1 of 8 rows have no description and are left out",
    )
    assert KnowledgeTable("x", ROWS[:2], notices=("y",)).notices == ("y",)


def test_what_is_not_there():
    with pytest.raises(UsageError, match=r"no category 'Dogs'\n  fix: did you mean 'dog'"):
        KB.of_category("Dogs")
    with pytest.raises(UsageError, match="no category"):
        KB.synonyms("xyz")
    with pytest.raises(DataError, match=r"describes no depth items\n.*audio, image"):
        KB.items("depth")


def test_many_categories_are_not_listed():
    rows = [Description(str(i), f"class {i}", "x", "LLM") for i in range(30)]
    with pytest.raises(UsageError) as caught:
        KnowledgeTable("big", rows).of_category("zzz")
    assert caught.value.fix == "(all 30: molspace kb show big)"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": "llm"}, "the source is 'llm'\n  fix: did you mean 'LLM'"),
        ({"modality": "image"}, "LLM, the modality 'image'"),
        ({"source": "MLLM"}, "MLLM, and there is no modality"),
        ({"category": " "}, "the category is empty"),
        ({"id": ""}, "the id is empty"),
    ],
)
def test_rows_that_cannot_be_looked_up(change, words):
    row = dataclasses.replace(ROWS[0], **change)
    with pytest.raises(DataError, match=words) as caught:
        KnowledgeTable("pets", [ROWS[1], row])
    assert "row 2 of knowledge base 'pets'" in caught.value.what


def test_none_is_empty():
    with pytest.raises(DataError, match="is empty"):
        KnowledgeTable("x", [])


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Description)])
def test_every_column_is_in_the_digest(field):
    other = dataclasses.replace(ROWS[0], **{field: 4 if field == "seed" else "other"})
    assert rows_digest([other]) != rows_digest(ROWS[:1])


def test_the_digest_is_of_rows_in_order():
    assert KB.digest == rows_digest(ROWS) == KnowledgeTable("other", ROWS).digest
    assert rows_digest(ROWS[::-1]) != KB.digest


def test_counts():
    assert count_sources(ROWS) == {"LLM": 3, "MLLM": 3, "label": 1, "human": 1}


def test_digests_last():
    # Results on other machines are looked up by it.
    assert KB.digest == "b606e029ed654d80956e70a95de28c5fd5627f34931339735a08f2302591511f"
