"""Rows that an equal step made for a corpus with other items beside them."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from media_files import image_bytes, put
from toy_steps import make_step

from reactions.core.step import Artifact, Step
from reactions.core.types import Corpus
from reactions.data.corpora import TextCorpus
from reactions.data.holdout import subset
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.store import Store
from reactions.store.reuse import reuse_rows

N = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(N):
        put(tmp_path / f"photos/{seed:02d}.png", image_bytes(seed))
    return tmp_path


@pytest.fixture
def store(folder: Path) -> Store:
    return Store(folder / "store")


def corpus_of(folder: Path, *skip: str) -> SourceCorpus:
    source = Source(paths=(str(folder / "photos"),), skip=frozenset(skip))
    return open_corpus("own image", "image", [source], tables=TableCache(folder / "tables"))


def step_of(corpus: Corpus, *, space: str = "IB", shard_rows: int = 3) -> Step:
    params = {"space": {"weights": space}, "corpus": corpus.digest, "dtype": "float32"}
    n_rows = len(corpus)
    return make_step("embed", "toy", params, (), _never, n_rows=n_rows, shard_rows=shard_rows)


def _never(context, inputs, start, stop):
    raise AssertionError("the store runs nothing")


def rows_of(corpus: Corpus, start: int, stop: int) -> Artifact:
    """Rows that tell what they were made of."""
    seeds = [int(item.id.split(".")[0]) for item in corpus.items(start, stop)]
    return Artifact({"embeddings": np.array([[seed, -seed] for seed in seeds], np.float32)})


def begin(store: Store, corpus: Corpus, *finished: tuple[int, int], **options) -> Step:
    """A run that made some shards and was stopped."""
    step = step_of(corpus, **options)
    shards = store.partial(step)
    reuse_rows(store, shards, step, corpus)
    for start, stop in finished:
        store.add_shard(shards, start, stop, rows_of(corpus, start, stop))
    return step


def finish(store: Store, corpus: Corpus, step: Step) -> np.ndarray:
    shards = store.partial(step)
    for start, stop in shards.missing():
        store.add_shard(shards, start, stop, rows_of(corpus, start, stop))
    store.complete(shards)
    entry = store.lookup(step.key)
    assert entry is not None
    return entry.arrays["embeddings"][:]


def reused(store: Store, corpus: Corpus, **options) -> tuple[int, list[tuple[int, int]]]:
    step = step_of(corpus, **options)
    shards = store.partial(step)
    n = reuse_rows(store, shards, step, corpus)
    # What was reused is on disk, not only in this run.
    assert store.partial(step).finished == shards.finished
    return n, shards.missing()


def test_shards_outlive_an_item_that_is_left_out(folder: Path, store: Store) -> None:
    # The eighth item cannot be decoded: its shard, and those after it, were never made.
    begin(store, corpus_of(folder), (0, 3), (3, 6))
    corpus = corpus_of(folder, "07.png")
    assert reused(store, corpus) == (6, [(6, 9), (9, 11)])
    step = step_of(corpus)
    rows = finish(store, corpus, step)
    np.testing.assert_array_equal(rows[:, 0], [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11])
    np.testing.assert_array_equal(rows[:, 1], -rows[:, 0])


def test_later_shards_too_though_their_rows_move(folder: Path, store: Store) -> None:
    begin(store, corpus_of(folder), (0, 3), (6, 9), (9, 12))
    corpus = corpus_of(folder, "04.png")
    # Rows 3 to 5 are now items 3, 5 and 6, of which nobody made the first two.
    assert reused(store, corpus) == (8, [(3, 6)])
    rows = finish(store, corpus, step_of(corpus))
    np.testing.assert_array_equal(rows[:, 0], [n for n in range(N) if n != 4])


def test_finished_entries_give_their_rows(folder: Path, store: Store) -> None:
    full_corpus = corpus_of(folder)
    finish(store, full_corpus, begin(store, full_corpus))
    less = corpus_of(folder, "00.png", "05.png")
    assert reused(store, less) == (10, [])
    rows = finish(store, less, step_of(less))
    np.testing.assert_array_equal(rows[:, 0], [1, 2, 3, 4, 6, 7, 8, 9, 10, 11])
    # A new item costs its own shard only.
    put(folder / "photos/12.png", image_bytes(12))
    assert reused(store, corpus_of(folder)) == (12, [(12, 13)])


def test_rows_held_back_and_the_others_are_those_of_the_whole(folder: Path, store: Store) -> None:
    full_corpus = corpus_of(folder)
    finish(store, full_corpus, begin(store, full_corpus))
    held_back = np.array([2, 7, 8])
    for rows in (held_back, np.setdiff1d(np.arange(N), held_back)):
        part = subset(full_corpus, rows, "some")
        assert reused(store, part) == (len(rows), [])
        np.testing.assert_array_equal(finish(store, part, step_of(part))[:, 0], rows)


@pytest.mark.parametrize("other", ["space", "content", "id"])
def test_rows_of_anything_else_are_not_taken(folder: Path, store: Store, other: str) -> None:
    begin(store, corpus_of(folder), (0, 3), (3, 6))
    options = {"space": "CLAP"} if other == "space" else {}
    skip = ("11.png",)
    if other == "content":
        put(folder / "photos/01.png", image_bytes(99), when_s=1_600_000_001)
    if other == "id":
        (folder / "photos/01.png").rename(folder / "photos/01.PNG")
    n, missing = reused(store, corpus_of(folder, *skip), **options)
    assert (n, missing[0]) == {"space": (0, (0, 3))}.get(other, (3, (0, 3)))


def test_damaged_rows_are_not_taken(folder: Path, store: Store) -> None:
    step = begin(store, corpus_of(folder), (0, 3), (3, 6))
    (path,) = (store.root / "partial" / step.key / "0-3").glob("*.npy")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert reused(store, corpus_of(folder, "11.png"))[0] == 3
    (store.root / "partial" / step.key / "3-6/shard.json").write_text("{")
    assert reused(store, corpus_of(folder, "10.png"))[0] == 3  # from the second corpus


@pytest.mark.parametrize("place", [-1, 8])  # a row, and the header
def test_damaged_entries_are_neither_taken_from_nor_in_the_way(
    folder: Path, store: Store, place: int
) -> None:
    full_corpus = corpus_of(folder)
    step = begin(store, full_corpus)
    finish(store, full_corpus, step)
    (path,) = store.root.glob(f"entries/*/{step.key}/0-000000000000.npy")
    data = bytearray(path.read_bytes())
    data[place] ^= 255
    path.chmod(0o644)
    path.write_bytes(bytes(data))
    less = corpus_of(folder, "11.png")
    assert reused(store, less) == (8, [(0, 3)])
    np.testing.assert_array_equal(finish(store, less, step_of(less))[:, 0], range(11))


def test_taking_rows_does_not_count_as_use_of_the_entry(folder: Path, store: Store) -> None:
    full_corpus = corpus_of(folder)
    finish(store, full_corpus, begin(store, full_corpus))
    (manifest,) = store.root.glob("entries/*/*/manifest.json")
    os.utime(manifest, (1e9, 1e9))
    assert reused(store, corpus_of(folder, "11.png"))[0] == 11
    assert manifest.stat().st_mtime == 1e9


def test_rows_of_a_corpus_that_is_not_known_any_more(folder: Path, store: Store) -> None:
    begin(store, corpus_of(folder), (0, 3))
    TableCache(store.root / "corpora").prune()
    assert reused(store, corpus_of(folder, "11.png"))[0] == 0


def test_the_same_corpus_reuses_nothing(folder: Path, store: Store) -> None:
    corpus = corpus_of(folder)
    begin(store, corpus, (0, 3))
    assert reused(store, corpus) == (0, [(3, 6), (6, 9), (9, 12)])


def test_corpora_that_are_not_scanned_are_let_be(store: Store) -> None:
    corpus = TextCorpus("x", ["1", "2"])
    begin(store, corpus, (0, 2))
    assert reused(store, TextCorpus("x", ["1"])) == (0, [(0, 1)])


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    photos = tmp_path_factory.mktemp("all")
    for seed in range(N):
        put(photos / f"photos/{seed:02d}.png", image_bytes(seed))

    def make() -> Path:
        folder = tmp_path_factory.mktemp("one")
        (folder / "photos").symlink_to(photos / "photos")
        return folder

    return make


@settings(max_examples=20)
@given(
    st.sets(st.integers(0, N - 1), max_size=3),
    st.sets(st.integers(0, N - 1), max_size=3),
    st.integers(1, 5),
    st.integers(1, 5),
    st.data(),
)
def test_reused_rows_are_those_of_their_items(
    fresh: Callable[[], Path],
    first: set[int],
    second: set[int],
    before_rows: int,
    after_rows: int,
    data: st.DataObject,
) -> None:
    folder = fresh()
    store = Store(folder / "store")
    before = corpus_of(folder, *(f"{n:02d}.png" for n in first))
    shards = store.partial(step_of(before, shard_rows=before_rows)).missing()
    shards_done = data.draw(st.lists(st.sampled_from(shards), unique=True))
    begin(store, before, *shards_done, shard_rows=before_rows)
    after = corpus_of(folder, *(f"{n:02d}.png" for n in second))
    step = step_of(after, shard_rows=after_rows)
    reuse_rows(store, store.partial(step), step, after)
    rows = finish(store, after, step)
    np.testing.assert_array_equal(rows[:, 0], [n for n in range(N) if n not in second])
