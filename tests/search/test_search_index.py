"""An index against the product's own embeddings; what is added, replaced, removed and damaged."""

import json

import numpy as np
import pytest
from fakes import CG, CM, IB, VL, cr, dr
from indexed import add, items_of, load_fake, mixture, target_at, value_of

from reactions.core.errors import DataError, MediaError, MissingError, StoreError, UsageError
from reactions.core.file_digests import DigestCache
from reactions.core.types import Item
from reactions.data.manifest import Problem
from reactions.inference.embedder import Embedder
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.search import build, files
from reactions.search.atom_rows import AtomEmbedder
from reactions.search.index import SearchIndex

SETTINGS = {
    "as trained": NO_ADJUSTMENT,
    "other factors": Adjustment(sigma={"": (0.8, 0.5)}, lambda_={"": 0.3}),
    "the base alone": Adjustment(sigma={"": 0.0}, lambda_={"": 0.0}),
    "experts alone": Adjustment(sigma={"": 1.0}, lambda_={"": 1.0}),
    "one expert": Adjustment(experts=frozenset({"CLAP_g", "InternVL"})),
    "each its own": Adjustment(sigma={"CLAP_m": (0.2, 0.9), "CLAP_g": (0.7, 0.1)}),
}


@pytest.fixture
def target(tmp_path):
    return target_at(tmp_path / "bundle")


@pytest.fixture
def built(tmp_path, target):
    return add(tmp_path / "index", target, mixture(), tmp_path / "cache").index


def embedded(target, items, adjustment):
    embedder = Embedder(target, load_encoder=load_fake, device="cpu", adjustment=adjustment)
    return np.concatenate([embedder.embed(item.modality, [item]) for item in items])


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("into", [None, "text", "image", "audio"])
def test_hits_are_those_of_the_products_own_embeddings(built, target, setting, into):
    adjustment = SETTINGS[setting]
    items = [item for item in mixture() if into in (None, item.modality)]
    rows = embedded(target, items, adjustment)
    queries = embedded(target, items_of("text", 3, start=90), adjustment)
    results = built.search(queries, into=into, k=7, adjustment=adjustment)
    for query, hits in zip(queries, results, strict=True):
        cosines = rows @ query
        best = np.argsort(-cosines, kind="stable")[:7]
        assert [hit.item.id for hit in hits] == [items[i].id for i in best]
        assert [hit.rank for hit in hits] == list(range(1, 8))
        np.testing.assert_allclose([hit.score for hit in hits], cosines[best], atol=1e-5)


@pytest.mark.parametrize("setting", SETTINGS)
def test_rows_are_the_products_own_embeddings(built, target, setting):
    adjustment = SETTINGS[setting]
    rows = built.rows("audio", [3, 0], adjustment)
    expected = embedded(target, [items_of("audio", 4)[3], items_of("audio", 1)[0]], adjustment)
    np.testing.assert_allclose(rows, expected, atol=1e-5)


def test_more_is_asked_for_than_there_is(built, target):
    (hits,) = built.search(embedded(target, items_of("text", 1), NO_ADJUSTMENT), into="text", k=99)
    assert len(hits) == 12
    assert hits[0].item.id == "text-0"
    assert hits[0].score == pytest.approx(1, abs=1e-5)


def test_many_segments_are_one_index(tmp_path, target, built, monkeypatch):
    monkeypatch.setattr("reactions.search.index._BLOCK_BYTES", 300)
    pieces = add(tmp_path / "pieces", target, mixture(), tmp_path / "cache", segment_rows=5).index
    assert len(pieces.record.segments) > len(built.record.segments) == 3
    hasty = add(tmp_path / "hasty", target, mixture(200), tmp_path / "cache", segment_s=0.0).index
    assert len(hasty.record.segments) > 3  # by time
    slow = add(tmp_path / "slow", target, mixture(200), tmp_path / "cache").index
    assert (hasty.counts, len(slow.record.segments)) == (slow.counts, 3)
    queries = embedded(target, items_of("text", 4, start=50), NO_ADJUSTMENT)
    ids_in_one = [[h.item.id for h in hits] for hits in built.search(queries, k=20)]
    assert [[h.item.id for h in hits] for hits in pieces.search(queries, k=20)] == ids_in_one


def test_half_precision_takes_half_the_room(tmp_path, target, built):
    half = add(tmp_path / "half", target, mixture(), tmp_path / "c", dtype="float16").index
    queries = embedded(target, items_of("text", 2, start=50), NO_ADJUSTMENT)
    exact = built.rows("text", range(12))
    # float16 keeps 11 bits of a number: cosines are off by some 1e-4.
    np.testing.assert_allclose(half.rows("text", range(12)), exact, atol=1e-3)
    assert half.search(queries, k=1)[0][0].item == built.search(queries, k=1)[0][0].item
    assert half.record.segments[0].files["units.npy"][0] < (
        0.7 * built.record.segments[0].files["units.npy"][0]
    )


# --- adding ---------------------------------------------------------------------------


def test_what_is_there_is_not_embedded_again(tmp_path, target, built):
    result = add(tmp_path / "index", target, mixture(), tmp_path / "cache")
    assert (dict(result.added), dict(result.replaced), result.kept) == ({}, {}, 36)
    assert result.index.record == built.record
    result = add(tmp_path / "index", target, mixture(3, start=11), tmp_path / "cache")
    assert dict(result.added) == {"text": 2, "image": 2, "audio": 2}
    assert result.kept == 3
    assert result.index.counts == {"text": 14, "image": 14, "audio": 14}


def test_what_changed_takes_the_place_of_what_was_there(tmp_path, target, built):
    changed = Item("text-4", "text", "other words")
    result = add(tmp_path / "index", target, [changed], tmp_path / "cache")
    assert dict(result.replaced) == {"text": 1}
    assert result.index.counts["text"] == 12
    items_changed = [item for _, item in result.index.items("text") if item.id == "text-4"]
    assert [item.source for item in items_changed] == ["other words"]


def test_two_items_of_one_id_are_refused(tmp_path, target):
    items = [Item("a", "text", "one"), Item("a", "text", "two")]
    with pytest.raises(UsageError, match="two different text items have the id 'a'"):
        add(tmp_path / "index", target, items, tmp_path / "cache")


def test_the_same_item_twice_is_one(tmp_path, target):
    items = [Item("a", "text", "one"), Item("a", "text", "one")]
    result = add(tmp_path / "index", target, items, tmp_path / "cache")
    assert (dict(result.added), result.kept) == ({"text": 1}, 1)


def test_a_lines_number_is_no_id(tmp_path, target):
    first = [Item("1", "text", "rain", own_id=False), Item("2", "text", "snow", own_id=False)]
    result = add(tmp_path / "index", target, first, tmp_path / "cache")
    second_items = [
        Item("1", "text", "snow", own_id=False),
        Item("2", "text", "hail", own_id=False),
    ]
    result = add(tmp_path / "index", target, second_items, tmp_path / "cache")
    assert (dict(result.added), result.kept) == ({"text": 1}, 1)
    assert sorted(item.id for _, item in result.index.items("text")) == ["hail", "rain", "snow"]


def test_what_cannot_be_embedded_is_left_out_and_counted(tmp_path, target):
    problems = []
    items = [Problem(3, "3", "not UTF-8"), *items_of("text", 1), Item("g", "image", tmp_path / "x")]
    result = add(tmp_path / "index", target, items, tmp_path / "cache", on_problem=problems.append)
    assert result.skipped == len(problems) == 2
    assert dict(result.added) == {"text": 1}


def test_what_changed_and_cannot_be_embedded_is_taken_out(tmp_path, target, built):
    image = Item("image-3", "image", tmp_path / "broken.png")
    (tmp_path / "broken.png").write_bytes(b"junk")
    embedder = AtomEmbedder(target, load_encoder=decoding, device="cpu")
    digests = DigestCache(tmp_path / "cache")
    result = build.add_items(tmp_path / "index", target, embedder, [image], digests=digests)
    assert (result.skipped, result.outdated) == (1, 1)
    assert result.index.counts["image"] == 11
    assert "image-3" not in {item.id for _, item in result.index.items("image")}


def decoding(spec, device):
    class Decoding(type(load_fake(spec, device))):
        def embed(self, modality, items):
            if any(not isinstance(item.value, np.ndarray) for item in items):
                raise MediaError("cannot decode it")
            return super().embed(modality, items)

    return Decoding(spec)


def test_what_is_embedded_is_kept_however_a_run_ends(tmp_path, target):
    items = [*items_of("text", 300), Item("text-0", "text", "other words")]
    with pytest.raises(UsageError, match="two different text items"):
        add(tmp_path / "index", target, items, tmp_path / "cache")

    def stop(n):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add(tmp_path / "other", target, items_of("text", 300), tmp_path / "c", on_progress=stop)
    assert len(SearchIndex(tmp_path / "other", target)) > 200


def test_items_that_cancel_out_are_not_found_and_counted(tmp_path, target, built, monkeypatch):
    weigher = built._weighers["text"]
    weighed = type(weigher).coefficients

    def cancelled(self, adjustment, lengths, products):
        scaled = [
            np.broadcast_to(c, len(lengths)).copy()
            for c in weighed(self, adjustment, lengths, products)
        ]
        for c in scaled:
            c[0] = np.nan
        return tuple(scaled)

    monkeypatch.setattr(type(weigher), "coefficients", cancelled)
    assert built.n_cancelled("text") == 1
    queries = embedded(target, items_of("text", 1), NO_ADJUSTMENT)
    hits = built.search(queries, into="text", k=20)[0]
    assert len(hits) == 11
    assert "text-0" not in {hit.item.id for hit in hits}
    with pytest.raises(UsageError, match="'text-0' has no embedding"):
        built.rows("text", [0])


def test_a_killed_run_goes_on_where_it_was(tmp_path, target):
    def stop(n):
        if n > 100:
            raise KeyboardInterrupt

    options = {"segment_rows": 16}
    with pytest.raises(KeyboardInterrupt):
        add(
            *(tmp_path / "index", target, items_of("text", 300), tmp_path / "cache"),
            on_progress=stop,
            **options,
        )
    left = SearchIndex(tmp_path / "index", target)
    n = len(left)
    assert 0 < n < 300
    (tmp_path / "index" / "segments" / "99999").mkdir()  # what a kill in the middle leaves
    items = items_of("text", 300)
    result = add(tmp_path / "index", target, items, tmp_path / "cache", segment_rows=16)
    assert result.kept == n
    # Untrained projectors give some rows no direction.
    assert result.index.counts == {"text": 300 - result.skipped}
    assert result.skipped < 10
    assert not (tmp_path / "index" / "segments" / "99999").exists()


def test_two_writers_are_kept_apart(tmp_path, target, built):
    with (
        files.writing(tmp_path / "index"),
        pytest.raises(StoreError, match="being written by another process"),
    ):
        add(tmp_path / "index", target, mixture(), tmp_path / "cache")


# --- taking out ------------------------------------------------------------------------


def test_what_was_removed_is_not_found(tmp_path, target, built):
    query = embedded(target, items_of("image", 1, start=5), NO_ADJUSTMENT)
    (first, second, *_) = built.search(query, k=3)[0]
    assert first.item.id == "image-5"
    left = build.remove_items(tmp_path / "index", target, {"image": [first.number]})
    assert left.search(query, k=1)[0][0].item.id == second.item.id
    assert left.counts["image"] == 11
    with pytest.raises(UsageError, match="no image number 5"):
        left.item("image", 5)
    with pytest.raises(UsageError, match="no image number 5"):
        build.remove_items(tmp_path / "index", target, {"image": [5]})
    assert built.search(query, k=1)[0][0].item.id == "image-5"  # a snapshot


def test_compacting_frees_the_room_and_changes_no_hit(tmp_path, target, built):
    left = build.remove_items(tmp_path / "index", target, {"image": [0, 5, 11], "text": [2]})
    query = embedded(target, items_of("image", 1, start=5), NO_ADJUSTMENT)
    before = [hit.item for hit in left.search(query, k=40)[0]]
    assert build.compact(tmp_path / "index", target) == 4
    after = SearchIndex(tmp_path / "index", target)
    assert [hit.item for hit in after.search(query, k=40)[0]] == before
    assert sum(segment.n for segment in after.record.segments) == 32
    assert len(list((tmp_path / "index" / "segments").iterdir())) == 3
    assert build.compact(tmp_path / "index", target) == 0


def test_all_of_a_modality_may_go(tmp_path, target, built):
    left = build.remove_items(tmp_path / "index", target, {"image": range(12)})
    assert left.modalities == ("audio", "text")
    build.compact(tmp_path / "index", target)
    assert SearchIndex(tmp_path / "index", target).modalities == ("audio", "text")


# --- what does not belong together, and what is damaged ---------------------------------


def test_another_products_index_is_refused(tmp_path, built):
    other = target_at(tmp_path / "other", cr(dr(IB, VL), CM))
    with pytest.raises(UsageError, match="does not belong to"):
        SearchIndex(tmp_path / "index", other)
    with pytest.raises(UsageError, match="does not belong to"):
        add(tmp_path / "index", other, mixture(), tmp_path / "cache")


def test_factors_below_a_projector_are_fixed(tmp_path):
    target = target_at(tmp_path / "b2", dr(cr(IB, CM), VL))
    index = add(tmp_path / "i2", target, mixture(4), tmp_path / "cache").index
    assert index.record.free == ("lambda InternVL",)
    assert index.record.fixed == ("sigma CLAP_m",)
    queries = embedded(target, items_of("text", 1), NO_ADJUSTMENT)
    index.search(queries, adjustment=Adjustment(lambda_={"": 0.2}))
    with pytest.raises(UsageError, match="sigma CLAP_m within"):
        index.search(queries, adjustment=Adjustment(sigma={"": 0.2}))


def test_a_product_as_an_expert(tmp_path):
    target = target_at(tmp_path / "b3", cr(IB, cr(CM, CG)))
    index = add(tmp_path / "i3", target, mixture(4), tmp_path / "cache").index
    items = items_of("audio", 4)
    np.testing.assert_allclose(
        index.rows("audio", range(4)), embedded(target, items, NO_ADJUSTMENT), atol=1e-5
    )


@pytest.mark.parametrize(
    ("name", "blob"),
    [
        ("units.npy", b""),
        ("units.npy", b"\x93NUMPY garbage"),
        ("offsets.npy", None),
        ("items.jsonl", b"{}\n"),
    ],
)
def test_damage_is_seen_when_an_index_is_opened(tmp_path, target, built, name, blob):
    path = tmp_path / "index" / "segments" / "00001" / name
    path.unlink() if blob is None else path.write_bytes(blob)
    with pytest.raises(DataError, match="is damaged"):
        SearchIndex(tmp_path / "index", target)


def test_a_changed_bit_is_seen_by_verify(tmp_path, target, built):
    assert files.verify(tmp_path / "index", built.record) > 0
    path = tmp_path / "index" / "segments" / "00001" / "units.npy"
    blob = bytearray(path.read_bytes())
    blob[-1] ^= 1
    path.write_bytes(blob)
    SearchIndex(tmp_path / "index", target)
    with pytest.raises(DataError, match=r"units\.npy of segment 00001 was changed"):
        files.verify(tmp_path / "index", built.record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "molspace.index/2"}, "later version"),
        ({"schema": "molspace.bundle/1"}, "is damaged"),
        ({"dtype": "object"}, "is damaged"),
        ({"segments": [{"name": "../../etc"}]}, "is damaged"),
        ({"dim": None}, "is damaged"),
    ],
)
def test_a_record_that_cannot_be_is_refused(tmp_path, target, built, change, message):
    path = tmp_path / "index" / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        SearchIndex(tmp_path / "index", target)


def test_places_without_an_index(tmp_path, target):
    with pytest.raises(MissingError, match="no index at"):
        SearchIndex(tmp_path / "nothing", target)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="something other than an index"):
        add(tmp_path / "full", target, mixture(), tmp_path / "cache")


@pytest.mark.parametrize(
    ("options", "message"),
    [({"k": 0}, "k is 0"), ({"into": "smell"}, "has no smell")],
)
def test_searches_that_cannot_mean_anything(built, target, options, message):
    queries = embedded(target, items_of("text", 1), NO_ADJUSTMENT)
    with pytest.raises(UsageError, match=message):
        built.search(queries, **options)
    with pytest.raises(UsageError, match="queries have shape"):
        built.search(queries[:, :3])


def test_values_have_digests_of_their_own():
    assert value_of("text", 1) != value_of("text", 2)
