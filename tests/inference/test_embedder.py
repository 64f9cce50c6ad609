"""A product as one encoder: decoding ahead, once for all its leaves, in batches that fit."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from bundles import heads_of
from fakes import IB, VL, Encoder, dr
from staged import LIGHT, Narrow, Staged, helpers

from reactions.core import left_out
from reactions.core.errors import MediaError, UsageError
from reactions.core.left_out import LeftOut
from reactions.core.types import Item, Leaf, StagedEncoder
from reactions.data.manifest import Problem
from reactions.encoding.prefetch import THREAD_NAME
from reactions.inference.embedder import WINDOW_ITEMS, Embedder
from reactions.inference.stream import embed_stream
from reactions.modalities import registry
from reactions.modalities.base import Modality
from reactions.modalities.once import decode_once
from reactions.products.target import Target

HEAVY = replace(LIGHT, flops_per_item=(("image", 1e9), ("text", 1e9)))


class Trained(Target):
    """A product whose projectors are at hand."""

    def parts(self, device):
        return heads_of(self.space)


def of_leaf(encoder) -> Embedder:
    target = Target("toy", Leaf(encoder.spec), "")
    return Embedder(target, load_encoder=lambda spec, device: encoder, device="cpu")


def of_product(encoders) -> Embedder:
    """ImageBind + Dr(InternVL), whose encoders are made by ``encoders``."""
    target = Trained("product", dr(IB, VL), "")
    return Embedder(target, load_encoder=lambda spec, device: encoders(spec), device="cpu")


def pictures(n):
    return [Item(str(i), "image", np.full((2, 2, 3), i % 256, np.uint8)) for i in range(n)]


def test_a_product_is_an_encoder_in_stages():
    embedder = of_product(Encoder)
    assert isinstance(embedder, StagedEncoder)
    assert (embedder.spec.dim, embedder.spec.modalities) == (6, ("audio", "image", "text"))
    # Images and texts pass through both leaves.
    assert dict(embedder.spec.flops_per_item) == {"audio": 10.0, "image": 20.0, "text": 20.0}
    items = pictures(3)
    prepared = [embedder.preprocess("image", item) for item in items]
    np.testing.assert_array_equal(
        embedder.forward("image", prepared), embedder.embed("image", items)
    )


def test_one_by_one_and_together_give_equal_rows():
    embedder = of_product(Encoder)
    items = pictures(WINDOW_ITEMS + 30)
    together = embedder.embed("image", items)
    assert together.shape == (len(items), 6)
    one_by_one = np.concatenate([embedder.embed("image", [item]) for item in items])
    # Products of matrices of other heights are rounded otherwise: units in the last place.
    np.testing.assert_allclose(together, one_by_one, atol=1e-6)
    streamed = list(embed_stream(embedder, items, batch_items=50, on_problem=pytest.fail))
    np.testing.assert_allclose(np.concatenate([rows for _, rows in streamed]), together, atol=1e-6)


@pytest.mark.parametrize("stream", [False, True])
def test_items_are_prepared_in_threads(stream):
    threads = set()

    class Watched(Staged):
        def preprocess(self, modality, item):
            threads.add(threading.current_thread().name)
            return super().preprocess(modality, item)

    encoder = Watched(HEAVY)
    embedder = of_leaf(encoder)
    if stream:
        list(embed_stream(embedder, pictures(100), on_problem=pytest.fail))
    else:
        embedder.embed("image", pictures(100))
    assert threads
    assert all(name.startswith(THREAD_NAME) for name in threads)
    assert encoder.forward_thread is threading.current_thread()
    assert helpers() == []


def test_embedding_decodes_on_while_a_window_is_embedded():
    next_window = threading.Event()

    class Meeting(Staged):
        def preprocess(self, modality, item):
            if item.id == str(WINDOW_ITEMS):
                next_window.set()
            return super().preprocess(modality, item)

        def forward(self, modality, inputs):
            assert next_window.wait(120)
            return super().forward(modality, inputs)

    encoder = Meeting(HEAVY)
    of_leaf(encoder).embed("image", pictures(2 * WINDOW_ITEMS))
    assert sum(encoder.sizes) == 2 * WINDOW_ITEMS


def test_a_stream_reads_ahead_only_where_it_may():
    items_read = []

    def source():
        for item in pictures(300):
            items_read.append(item)
            yield item

    for read_ahead, most_read in ((False, 8), (True, 300)):
        items_read.clear()
        batches = embed_stream(
            of_leaf(Staged(HEAVY)),
            source(),
            batch_items=8,
            on_problem=pytest.fail,
            read_ahead=read_ahead,
        )
        next(batches)
        assert 8 <= len(items_read) <= most_read
        assert read_ahead == (len(items_read) > 8)
        assert len(list(batches)) == 37
        assert helpers() == []


def test_reading_ahead_changes_neither_rows_nor_problems(tmp_path):
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    items = [
        Problem(i + 1, f"{i}", "no item")
        if i % 7 == 0
        else Item(str(i), "image", tmp_path / "cut.png" if i % 11 == 0 else pixels.value)
        for i, pixels in enumerate(pictures(200))
    ]

    class Decoding(Staged):
        def preprocess(self, modality, item):
            registry.load(item)
            return super().preprocess(modality, item)

    outcomes = []
    for read_ahead in (False, True):
        problems = []
        batches = list(
            embed_stream(
                of_leaf(Decoding(HEAVY)),
                items,
                batch_items=16,
                on_problem=problems.append,
                read_ahead=read_ahead,
            )
        )
        ids_embedded = [item.id for batch, _ in batches for item in batch]
        assert ids_embedded == [str(i) for i in range(200) if i % 7 and i % 11]
        assert [p.id for p in problems] == [str(i) for i in range(200) if not (i % 7 and i % 11)]
        outcomes.append((np.concatenate([rows for _, rows in batches]).tobytes(), problems))
    assert outcomes[0] == outcomes[1]


def counting(decoded, channel=0):
    """A record of sounds that notes what it decodes; the value is the channel."""

    def decode(stream, path):
        decoded.append((path, channel))
        return channel

    return Modality(name="audio", decode=decode)


def test_leaves_share_what_they_decode_alike(tmp_path):
    paths = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path in paths:
        path.write_bytes(b"sound")
    decoded = []
    record = counting(decoded)

    class Decoding(Staged):
        def preprocess(self, modality, item):
            registry.load(item, record)
            return np.zeros((2, 2))

        def row(self, prepared):
            return np.eye(self.spec.dim, dtype=np.float32)[0]

    embedder = of_product(Decoding)
    items = [Item(path.name, "text", path) for path in paths]
    embedder.embed("text", items)
    assert sorted(decoded) == [(str(path), 0) for path in paths]  # once an item, for two encoders
    with pytest.raises(MediaError, match="there is no such file"):
        embedder.embed("text", [Item("3", "text", tmp_path / "gone.wav")])


def test_leaves_that_want_it_otherwise_decode_for_themselves():
    decoded = []
    first, mean = counting(decoded, channel=0), counting(decoded, channel="mean")
    item = Item("1", "audio", b"sound")
    with decode_once():
        values = [registry.load(item, record).value for record in (first, mean, first, mean)]
    assert values == [0, "mean", 0, "mean"]
    assert [channel for _, channel in decoded] == [0, "mean"]
    registry.load(item, mean)
    assert len(decoded) == 3  # nothing is kept after the block


def test_batches_are_as_small_as_the_narrowest_leaf_needs():
    narrow, wide = Narrow(50, spec=replace(HEAVY, name="narrow")), Staged(HEAVY)
    encoders = iter([narrow, wide])

    class Plain:
        """Gives what it is given the width of its leaf."""

        def __init__(self, spec):
            self.spec, self.inner = (
                replace(spec, flops_per_item=HEAVY.flops_per_item),
                next(encoders),
            )

        def preprocess(self, modality, item):
            return self.inner.preprocess(modality, item)

        def forward(self, modality, inputs):
            return np.pad(self.inner.forward(modality, inputs), [(0, 0), (0, self.spec.dim - 3)])

        def embed(self, modality, items):
            raise AssertionError("it is staged")

    embedder = of_product(Plain)
    embedder.embed("image", pictures(300))
    assert narrow.refused == [256, 128, 64]
    assert max(narrow.sizes) == 32
    embedder.embed("image", pictures(300))
    assert narrow.refused == [256, 128, 64]  # learned


class Telling(Encoder):
    """Says what it looks out for, as a package's encoder may."""

    said: object = None

    def limits(self, modality):
        return self.said


def test_of_encoders_that_do_not_say_what_they_leave_out_it_is_not_known():
    embedder = of_product(lambda spec: (Telling if spec.name == IB.label else Encoder)(spec))
    Telling.said = {IB.label: ()}
    with left_out.collected() as once:
        list(embed_stream(embedder, pictures(3), on_problem=pytest.fail))
        embedder.embed("image", pictures(2))
    expected = [LeftOut(IB.label, "image", 5), LeftOut(VL.label, "image", 0, {}, 5)]
    assert sorted(once.sums(), key=lambda part: part.space) == expected
    assert sorted(left_out.take(), key=lambda part: part.space) == expected


def test_an_encoder_that_prepares_items_in_its_forward_pass_cannot_count():
    encoder = Telling(IB.spec)
    encoder.said = {IB.label: ("longer than a word",)}
    assert left_out.limits_of(encoder, "text") == {IB.label: None}


@pytest.mark.parametrize("answer", [None, ["x"], {IB.label: "77 tokens"}, {IB.label: (77,)}])
def test_limits_that_cannot_be_read_are_refused(answer):
    encoder = Telling(IB.spec)
    encoder.said = answer
    with pytest.raises(UsageError, match="does not say readably what it leaves out") as caught:
        of_leaf(encoder).embed("image", pictures(1))
    assert "a tuple of clauses" in caught.value.fix
