import numpy as np
import pytest
from twin_folders import is_held

from reactions.core.errors import DataError
from reactions.core.types import Item
from reactions.data.corpora import IdCorpus, ListCorpus, TextCorpus
from reactions.data.holdout import (
    MOST_MEASURED,
    ScannedSubset,
    has_own_ids,
    ids_of,
    in_common,
    split,
    subset,
)
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus

IDS = [f"item {k}" for k in range(1000)]


def test_an_id_is_held_back_or_not_whatever_else_is_there():
    images = IdCorpus("a", "image", IDS)
    texts = TextCorpus("b", [f"text {k}" for k in range(500)], [*reversed(IDS[:499]), "more"])
    for seed in (0, 7):
        held_ids = {id for id in IDS if is_held(id, seed, 0.05)}
        for corpus in (images, texts):
            parts = split(corpus, 0.05, seed)
            all_ids = ids_of(corpus)
            assert ids_of(parts.training) == [
                id for id in all_ids if id not in held_ids | {"more"}
            ] + [id for id in all_ids if id == "more" and not is_held(id, seed, 0.05)]
            assert set(ids_of(parts.measured)) == {id for id in all_ids if is_held(id, seed, 0.05)}
            assert parts.n_held == len(parts.measured)
            assert len(parts.training) + parts.n_held == len(corpus)
    assert {is_held(id, 0, 0.05) for id in IDS} == {True, False}
    assert 30 < split(images, 0.05, 0).n_held < 70


def test_nothing_is_held_back_of_nothing():
    corpus = IdCorpus("a", "image", IDS)
    assert split(corpus, 0, 0).training is corpus
    small_corpus = IdCorpus("a", "image", [id for id in IDS if not is_held(id, 0, 0.05)][:5])
    assert (split(small_corpus, 0.05, 0).training, split(small_corpus, 0.05, 0).measured) == (
        small_corpus,
        None,
    )


def test_two_rows_are_left_to_train_on():
    held_ids = [id for id in IDS if is_held(id, 0, 0.05)]
    corpus = IdCorpus("mine", "image", [*held_ids[:3], "another"])
    with pytest.raises(DataError, match="leaves 1 of 4 image items") as error:
        split(corpus, 0.05, 0)
    assert "holdout = 0" in error.value.fix


def test_of_very_many_held_out_items_the_same_ones_are_measured():
    ids = [str(k) for k in range(3 * MOST_MEASURED)]
    images, texts = (split(IdCorpus(m, m, ids), 0.5, 1) for m in ("image", "text"))
    assert len(images.measured) == MOST_MEASURED < images.n_held
    assert ids_of(images.measured) == ids_of(texts.measured)


def test_items_of_a_subset():
    items = [Item(f"i{k}", "image", np.full((1, 1, 3), k, np.uint8)) for k in range(9)]
    corpus = ListCorpus("a", "image", items)
    part = subset(corpus, np.array([0, 1, 4, 7, 8]), "some")
    assert [item.id for item in part.items(1, 4)] == ["i1", "i4", "i7"]
    assert part.items(2, 2) == []
    assert [item.value[0, 0, 0] for item in part.items(0, 5)] == [0, 1, 4, 7, 8]
    other = subset(corpus, np.array([0, 1, 4, 7]), "some")
    assert len({corpus.digest, part.digest, other.digest}) == 3


def test_rows_of_a_scanned_corpus_say_what_they_hold(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"text {k}\n" for k in range(200)))
    source = Source(paths=(str(tmp_path / "a.txt"),))
    full_corpus = open_corpus("t", "text", [source], tables=TableCache(tmp_path / "tables"))
    assert ids_of(full_corpus) == [item.id for item in full_corpus.items(0, 200)]
    part = subset(full_corpus, np.arange(0, 100, 3), "x")
    assert isinstance(part, ScannedSubset)
    assert list(part.tags()) == list(full_corpus.tags())[:100:3]
    assert [id for id, _ in part.tags()] == part.ids() == [item.id for item in part.items(0, 34)]


def test_items_in_common():
    a, b = IdCorpus("a", "image", IDS[:6]), IdCorpus("b", "image", IDS[3:9])
    assert in_common([a, IdCorpus("c", "image", IDS[:6])]) is a
    assert ids_of(in_common([a, b])) == IDS[3:6]
    assert in_common([a, IdCorpus("d", "image", IDS[6:9])]) is None


def test_row_numbers_are_not_ids():
    numbers = [str(k) for k in range(5)]
    assert has_own_ids(IdCorpus("a", "image", numbers))  # somebody wrote them
    assert not has_own_ids(IdCorpus("a", "image", numbers, positional=True))
    assert not has_own_ids(TextCorpus("t", ["x"] * 5))
    assert has_own_ids(TextCorpus("t", ["x"] * 5, [f"n{k}" for k in range(5)]))
    full_corpus = IdCorpus("a", "image", numbers, positional=True)
    assert not has_own_ids(subset(full_corpus, np.array([1, 3]), "some"))
