"""Approximate kinds: what they find is compared exactly, at any factors."""

import numpy as np
import pytest
from indexed import add, items_of, load_fake, target_at

from reactions.core.errors import DataError, MissingError, StoreError, UsageError
from reactions.core.extras import install_extra
from reactions.inference.embedder import Embedder
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.search import approximate, build, files
from reactions.search.index import SearchIndex

pytest.importorskip("faiss")

N = 1500
SETTINGS = [
    NO_ADJUSTMENT,
    Adjustment(sigma={"": (0.8, 0.5)}, lambda_={"": 0.3}),
    Adjustment(sigma={"": 0.0}, lambda_={"": 0.0}),
    Adjustment(sigma={"": 1.0}, lambda_={"": 1.0}),
    Adjustment(experts=frozenset({"CLAP_g", "InternVL"})),
]


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return target_at(tmp_path_factory.mktemp("b") / "bundle")


@pytest.fixture(scope="module")
def built(tmp_path_factory, target):
    """An index of each kind, of the same items."""
    folder = tmp_path_factory.mktemp("i")
    items = items_of("text", N)
    return {
        kind: add(folder / kind, target, items, folder / "cache", kind=kind, segment_rows=600).index
        for kind in approximate.KINDS
    }


def queries_at(target, adjustment, n=20, start=5000):
    embedder = Embedder(target, load_encoder=load_fake, device="cpu", adjustment=adjustment)
    return embedder.embed("text", items_of("text", n, start=start))


@pytest.mark.parametrize("adjustment", SETTINGS)
@pytest.mark.parametrize("kind", ["ivf-pq", "hnsw"])
def test_what_it_finds_is_what_comparing_everything_finds(built, target, kind, adjustment):
    queries = queries_at(target, adjustment)
    exact = built["flat"].search(queries, k=10, adjustment=adjustment)
    approximate_hits = built[kind].search(queries, k=10, adjustment=adjustment)
    assert built[kind].kinds == {"text": kind}
    shared = [
        len({hit.number for hit in a} & {hit.number for hit in b})
        for a, b in zip(exact, approximate_hits, strict=True)
    ]
    # Atoms that have nothing to do with one another, whose sums are of any length.
    assert np.mean(shared) >= 9.8
    for hits, expected in zip(approximate_hits, exact, strict=True):
        cosines = {hit.number: hit.score for hit in expected}
        for hit in hits:
            if hit.number in cosines:
                assert hit.score == pytest.approx(cosines[hit.number], abs=1e-5)
        assert [hit.score for hit in hits] == sorted((h.score for h in hits), reverse=True)


@pytest.mark.parametrize("kind", ["ivf-pq", "hnsw"])
def test_exact_compares_every_row_in_any_case(built, target, kind):
    queries = queries_at(target, NO_ADJUSTMENT)
    exact = built["flat"].search(queries, k=10)
    assert built[kind].search(queries, k=10, exact=True) == exact
    # As does asking for a good part of all.
    half_of_all = built[kind].search(queries, k=N // 2)
    assert half_of_all == built["flat"].search(queries, k=N // 2)


def copied(built, kind, folder):
    import shutil

    shutil.copytree(built[kind].directory, folder)
    return folder


def test_rows_that_were_added_since_are_found(built, target, tmp_path):
    directory = copied(built, "ivf-pq", tmp_path / "index")
    result = add(directory, target, items_of("text", 40, start=N), tmp_path / "cache")
    assert result.index.record.approximations == built["ivf-pq"].record.approximations  # so few
    query = queries_at(target, NO_ADJUSTMENT, n=1, start=N + 7)
    assert result.index.search(query, k=1)[0][0].item.id == f"text-{N + 7}"
    result = add(directory, target, items_of("text", 900, start=N), tmp_path / "cache")
    entry = result.index.record.approximations["text"]
    assert entry.n == sum(result.index.counts.values())
    assert [p.name for p in (directory / "approximate").iterdir()] == [entry.name]


def test_rows_that_were_removed_are_not_found(built, target, tmp_path):
    directory = copied(built, "hnsw", tmp_path / "index")
    query = queries_at(target, NO_ADJUSTMENT, n=1, start=3)
    (first, second) = built["hnsw"].search(query, k=2)[0]
    assert first.item.id == "text-3"
    left = build.remove_items(directory, target, {"text": [first.number]})
    assert left.search(query, k=1)[0][0].item == second.item
    build.compact(directory, target)
    compacted = SearchIndex(directory, target)
    assert compacted.kinds == {"text": "hnsw"}
    assert compacted.record.approximations["text"].n == len(compacted)
    assert compacted.search(query, k=1)[0][0].item == second.item


def test_the_kind_is_chosen_by_size_and_can_be_changed(built, target, tmp_path, monkeypatch):
    directory = copied(built, "flat", tmp_path / "index")
    assert approximate.chosen_kind("auto", approximate.LEAST_ROWS - 1) == "flat"
    assert approximate.chosen_kind("auto", approximate.LEAST_ROWS) == "ivf-pq"
    monkeypatch.setattr(approximate, "LEAST_ROWS", 1000)
    result = add(directory, target, items_of("text", 1), tmp_path / "cache")
    assert result.index.kinds == {"text": "ivf-pq"}
    result = add(directory, target, items_of("text", 1), tmp_path / "cache", kind="flat")
    assert result.index.kinds == {"text": "flat"}
    assert not list((directory / "approximate").iterdir())


def test_without_faiss(built, target, tmp_path, monkeypatch):
    directory = copied(built, "ivf-pq", tmp_path / "index")
    monkeypatch.setattr(approximate, "is_installed", lambda: False)
    index = SearchIndex(directory, target)
    assert index.kinds == {"text": "flat"}  # slower, and exact
    queries = queries_at(target, NO_ADJUSTMENT, n=2)
    assert index.search(queries, k=5) == built["flat"].search(queries, k=5)
    assert approximate.chosen_kind("auto", 10**9) == "flat"
    monkeypatch.setitem(__import__("sys").modules, "faiss", None)
    with pytest.raises(MissingError, match="needs FAISS") as refused:
        approximate.check_kind("hnsw")
    assert refused.value.fix == install_extra("search")


def test_kinds_that_are_unknown():
    with pytest.raises(UsageError, match="'hsnw' is not a kind") as refused:
        approximate.check_kind("hsnw")
    assert "'hnsw'" in refused.value.fix


@pytest.mark.parametrize("damage", ["gone", "cut", "other"])
def test_damage(built, target, tmp_path, damage):
    directory = copied(built, "ivf-pq", tmp_path / "index")
    path = next((directory / "approximate").iterdir())
    blob = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(blob[:-9] if damage == "cut" else b"\0" * len(blob))
    index = SearchIndex(directory, target)
    queries = queries_at(target, NO_ADJUSTMENT, n=2)
    with pytest.raises(DataError, match=r"is searched by in .* is damaged") as refused:
        index.search(queries, k=5)
    assert "--exact" in refused.value.fix
    # The rows are whole: they are compared, and the structure is built again.
    assert index.search(queries, k=5, exact=True) == built["flat"].search(queries, k=5)
    result = add(directory, target, items_of("text", 1), tmp_path / "cache", kind="hnsw")
    assert result.index.kinds == {"text": "hnsw"}


def test_a_kill_before_the_record_leaves_what_it_lists(built, target, tmp_path, monkeypatch):
    directory = copied(built, "hnsw", tmp_path / "index")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(files, "write_record", killed)
        with pytest.raises(KeyboardInterrupt):
            add(directory, target, items_of("text", 1), tmp_path / "cache", kind="ivf-pq")
    index = SearchIndex(directory, target)
    assert index.kinds == {"text": "hnsw"}
    queries = queries_at(target, NO_ADJUSTMENT, n=2)
    assert index.search(queries, k=5) == built["hnsw"].search(queries, k=5)


def test_few_rows_are_compared_one_by_one(target, tmp_path):
    result = add(tmp_path / "few", target, items_of("text", 6), tmp_path / "cache", kind="ivf-pq")
    assert result.index.kinds == {"text": "flat"}


def test_a_disk_that_is_full(built, target, tmp_path, monkeypatch):
    import faiss

    def full(structure, path):
        raise RuntimeError("Error: could not write: No space left on device")

    directory = copied(built, "flat", tmp_path / "index")
    monkeypatch.setattr(faiss, "write_index", full)
    with pytest.raises(StoreError, match="cannot write the index"):
        add(directory, target, items_of("text", 1), tmp_path / "cache", kind="hnsw")
    assert SearchIndex(directory, target).kinds == {"text": "flat"}


def test_verify_reads_it_too(built, tmp_path):
    directory = copied(built, "ivf-pq", tmp_path / "index")
    record = built["ivf-pq"].record
    assert approximate.verify(directory, record) > 0
    path = next((directory / "approximate").iterdir())
    blob = bytearray(path.read_bytes())
    blob[len(blob) // 2] ^= 1
    path.write_bytes(blob)
    with pytest.raises(DataError, match="was changed"):
        approximate.verify(directory, record)
    assert files.verify(directory, record) > 0
