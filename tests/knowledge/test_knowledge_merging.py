import dataclasses

import pytest
from knowledge_rows import METADATA, ROWS

from reactions.core.errors import DataError, UsageError
from reactions.knowledge.base import (
    DescribedCorpus,
    Description,
    KnowledgeMetadata,
    KnowledgeTable,
    WriterModel,
)
from reactions.knowledge.merging import merge_knowledge

FULL = tuple(row for row in ROWS if row.description)
PETS = KnowledgeTable("pets", FULL, METADATA)


def other(*rows, **options):
    return KnowledgeTable("other", rows, KnowledgeMetadata(**options))


def test_rows_follow_one_another():
    fox = Description("fox/0", "fox", "a fox", "LLM")
    merged = merge_knowledge([PETS, other(fox)])
    assert merged.rows == (*FULL, fox)
    assert (merged.n_same, merged.n_renamed, merged.n_shared_categories) == (0, 0, 0)
    assert merged.remarks == ()


def test_the_same_rows_are_kept_once_and_counted():
    merged = merge_knowledge([PETS, PETS])
    assert merged.rows == FULL
    assert (merged.n_same, merged.n_shared_categories) == (len(FULL), 2)
    assert merged.remarks == ("'pets' adds nothing: the others have all of its rows",)
    merged_twice = merge_knowledge([other(FULL[0], FULL[0]), other(FULL[1])])
    assert (merged_twice.rows, merged_twice.n_same) == (FULL[:2], 1)


def test_ids_of_categories_that_are_taken_are_changed():
    rows = [Description("dog/0", "dog", text, "LLM") for text in ("b", "c")]
    merged = merge_knowledge([PETS, other(rows[0]), other(rows[1])])
    assert [row.id for row in merged.rows[-2:]] == ["dog/0~2", "dog/0~3"]
    assert [row.description for row in merged.rows[-2:]] == ["b", "c"]
    assert merged.n_renamed == 2


def test_ids_of_items_stay():
    row = Description("x.png", "cat", "a third caption", "MLLM", "image")
    same = {"image": METADATA.items["image"]}
    assert merge_knowledge([PETS, other(row, items=same)]).rows[-1] == row


def test_an_item_in_two_categories():
    row = Description("x.png", "dog", "a dog", "MLLM", "image")
    items = {"image": METADATA.items["image"]}
    with pytest.raises(DataError, match=r"'x\.png' is 'cat' and 'dog'"):
        merge_knowledge([PETS, other(row, items=items)])


@pytest.mark.parametrize(
    "items", [{}, {"image": DescribedCorpus("image", "cd" * 32)}, {"image": DescribedCorpus("x")}]
)
def test_items_of_different_corpora(items):
    row = Description("z.png", "cat", "a cat", "MLLM", "image")
    with pytest.raises(DataError, match="'pets' and 'other' describe different image items"):
        merge_knowledge([PETS, other(row, items=items)])


def test_categories_that_look_alike_stay_apart_and_are_told():
    snake = Description("1", "water snake", "x", "LLM")
    merged = merge_knowledge(
        [other(snake), other(dataclasses.replace(snake, id="2", category="Water_snake"))]
    )
    assert "which stay apart: 1, such as 'water snake' and 'Water_snake'" in (merged.remarks[0])


def test_what_is_known_of_all():
    fox = Description("fox/0", "fox", "a fox", "LLM")
    merged = merge_knowledge(
        [
            PETS,
            other(
                fox,
                dataset="wild",
                prompts=("p", "q"),
                models=(WriterModel("m", "2"),),
                token_limit=60,
                dropped={"refused": 1, "blank": 2},
            ),
        ]
    )
    assert merged.metadata == KnowledgeMetadata(
        dataset="pets + wild",
        prompts=("p", "q"),
        models=(WriterModel("m", "1", "MIT"), WriterModel("m", "2")),
        token_limit=77,
        items=dict(METADATA.items),
        dropped={"refused": 3, "blank": 2},
    )
    assert merged.remarks == ("token limits differ ([60, 77]): the largest holds for all rows",)


def test_what_a_base_tells_is_told():
    merged = merge_knowledge([KnowledgeTable("pets", ROWS), other(ROWS[0])])
    assert "1 of 8 rows have no description" in merged.remarks[0]


def test_one_alone():
    with pytest.raises(UsageError, match="nothing to merge"):
        merge_knowledge([PETS])
