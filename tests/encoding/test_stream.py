import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from fakes import Encoder
from staged import LIGHT, Staged, gather, helpers, pictures, sentences

from reactions.core.errors import MediaError, StepError
from reactions.core.types import Item, StagedEncoder
from reactions.data.corpora import IdCorpus
from reactions.encoding import stream
from reactions.encoding.batch_size import MOST_ITEMS
from reactions.encoding.items import CorpusRange
from reactions.encoding.prefetch import ahead
from reactions.encoding.stream import encode

# --- rows ---


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("corpus", [sentences(3000), pictures(250)], ids=["text", "image"])
def test_rows_are_what_embed_gives(corpus, workers):
    expected = Staged().embed(corpus.modality, corpus.items(0, len(corpus)))
    rows = gather(Staged(), corpus, workers=workers)
    np.testing.assert_array_equal(rows, expected)
    part = gather(Staged(), corpus, 130, 241, workers=workers)
    np.testing.assert_array_equal(part, expected[130:241])
    assert list(encode(Staged(), CorpusRange(corpus, 7, 7))) == []


def test_the_fake_is_staged_and_the_other_is_not():
    assert isinstance(Staged(), StagedEncoder)
    assert not isinstance(Encoder(LIGHT), StagedEncoder)


def test_preparing_runs_elsewhere_and_embedding_here():
    threads = set()

    class Watched(Staged):
        def preprocess(self, modality, item):
            threads.add(threading.current_thread())
            return super().preprocess(modality, item)

    encoder = Watched()
    gather(encoder, pictures(200), workers=2)
    assert threading.current_thread() not in threads
    assert encoder.forward_thread is threading.current_thread()
    threads.clear()
    gather(encoder, pictures(200), workers=0)
    assert threads == {threading.current_thread()}


def test_texts_of_light_encoders_are_prepared_here():
    class Watched(Staged):
        def preprocess(self, modality, item):
            self.thread = threading.current_thread()
            return super().preprocess(modality, item)

    this_thread = threading.current_thread()
    for spec, corpus, options, expected in (
        (LIGHT, sentences(9), {}, True),
        (LIGHT, sentences(9), {"workers": 1}, False),
        (LIGHT, sentences(9), {"device": "cuda:0"}, False),
        (LIGHT, pictures(9), {}, False),
        (replace(LIGHT, flops_per_item=()), sentences(9), {}, False),
        (replace(LIGHT, flops_per_item=(("text", 1e9),)), sentences(9), {}, False),
    ):
        encoder = Watched(spec)
        items = CorpusRange(corpus, 0, 9)
        with closing(encode(encoder, items, **options)) as batches, suppress(Exception):
            next(batches)  # which fails where there is no such device
        assert (encoder.thread is this_thread) == expected


def test_preparing_goes_on_while_a_batch_is_embedded():
    met = threading.Event()

    class Meeting(Staged):
        def preprocess(self, modality, item):
            if item.id == str(2 * MOST_ITEMS):
                met.set()
            return super().preprocess(modality, item)

        def forward(self, modality, inputs):
            assert met.wait(120)  # of the third batch, while the first is here
            return super().forward(modality, inputs)

    encoder = Meeting()
    gather(encoder, pictures(3 * MOST_ITEMS), workers=1)
    assert encoder.sizes == [MOST_ITEMS] * 3


def test_what_is_prepared_ahead_is_bounded(monkeypatch):
    """However slow the encoder is; by items, and by bytes."""
    ahead_items, most_ahead = 0, 0
    lock = threading.Lock()

    class Slow(Staged):
        def preprocess(self, modality, item):
            nonlocal ahead_items, most_ahead
            with lock:
                ahead_items += 1
                most_ahead = max(most_ahead, ahead_items)
            return super().preprocess(modality, item)

        def forward(self, modality, inputs):
            nonlocal ahead_items
            time.sleep(0.005)  # time to run too far ahead
            with lock:
                ahead_items -= len(inputs)
            return super().forward(modality, inputs)

    monkeypatch.setattr(stream, "AHEAD_ITEMS", 512)
    gather(Slow(), pictures(4000), workers=2)
    assert 2 * MOST_ITEMS <= most_ahead <= 512 + 2 * MOST_ITEMS  # a batch beside what waits for one
    assert ahead_items == 0
    most_ahead = 0
    monkeypatch.setattr(stream, "AHEAD_ITEMS", 4096)
    monkeypatch.setattr(stream, "AHEAD_BYTES", 8 * 200)  # 200 items of eight bytes
    gather(Slow(), pictures(4000), workers=2)
    assert most_ahead <= 256 + 2 * MOST_ITEMS


def test_one_thread_at_a_time_takes_items_of_the_corpus(monkeypatch):
    monkeypatch.setattr(stream, "ahead", partial(ahead, brief_s=0))

    class Jealous(IdCorpus):
        busy = False

        def items(self, start, stop):
            assert not self.busy
            self.busy = True
            time.sleep(0.001)
            self.busy = False
            return super().items(start, stop)

    corpus = Jealous("ids", "image", [str(i) for i in range(2000)])
    assert len(gather(Staged(), corpus, workers=4)) == 2000


# --- lengths ---


def padding(n_tokens, items):
    """Return how many tokens in-order batches of so many items are padded with."""
    parts = [n_tokens[i : i + items] for i in range(0, len(n_tokens), items)]
    return sum(max(part) * len(part) - sum(part) for part in parts)


def test_texts_of_similar_length_go_together():
    corpus = sentences(4000)
    encoder = Staged()
    rows = gather(encoder, corpus)
    in_order = padding([len(item.value.split()) for item in corpus.items(0, 4000)], MOST_ITEMS)
    assert encoder.padded < in_order / 3
    assert set(encoder.sizes[:-2]) == {MOST_ITEMS}
    # Nor does it matter to an encoder that masks padding what a text is embedded with.
    np.testing.assert_array_equal(rows, Staged().embed("text", corpus.items(0, 4000)))


def test_the_first_batch_does_not_wait_for_a_whole_window():
    prepared = 0

    class Counting(Staged):
        def preprocess(self, modality, item):
            nonlocal prepared
            prepared += 1
            return super().preprocess(modality, item)

    items = CorpusRange(sentences(4000), 0, 4000)
    with closing(encode(Counting(), items, workers=0)) as batches:
        next(batches)
        assert prepared == MOST_ITEMS
        next(batches)
        assert prepared == 3 * MOST_ITEMS  # then windows double


def test_windows_are_bounded(monkeypatch):
    monkeypatch.setattr(stream, "WINDOW_ITEMS", 2 * MOST_ITEMS)
    encoder, n_done = Staged(), 0
    for batch in encode(encoder, CorpusRange(sentences(4000), 0, 4000), workers=0):
        assert max(batch.places) < n_done + 2 * MOST_ITEMS + MOST_ITEMS
        n_done += len(batch.places)


def test_pictures_and_plain_encoders_keep_their_order():
    for encoder in (Staged(), Encoder(LIGHT)):
        batches = list(encode(encoder, CorpusRange(pictures(600), 0, 600)))
        assert [place for batch in batches for place in batch.places] == list(range(600))
        assert [len(batch.ids) for batch in batches] == [256, 256, 88]


def test_texts_in_several_arrays_are_sorted_by_their_sum():
    class Two(Staged):
        def preprocess(self, modality, item):
            words = super().preprocess(modality, item)
            return words, np.repeat(words, 3)

        def forward(self, modality, inputs):
            self.lengths = [sum(map(len, arrays)) for arrays in inputs]
            return super().forward(modality, [words for words, _ in inputs])

    encoder = Two()
    gather(encoder, sentences(100))
    assert encoder.lengths == sorted(encoder.lengths, reverse=True)
    assert encoder.lengths[0] > encoder.lengths[-1]


# --- encoders that are not staged ---


def test_plain_encoders_get_items():
    class Plain(Encoder):
        def embed(self, modality, items):
            assert all(isinstance(item, Item) for item in items)
            return super().embed(modality, items)

    encoder = Plain(LIGHT)
    rows = gather(encoder, sentences(300))
    np.testing.assert_array_equal(rows, Encoder(LIGHT).embed("text", sentences(300).items(0, 300)))
    assert encoder.sizes == [256, 44]


def test_encoders_nothing_can_be_noted_of():
    class Bare(Encoder):
        __hash__ = None

    assert len(gather(Bare(LIGHT), sentences(9))) == 9


# --- errors ---


class Faulty(Staged):
    """Cannot prepare item 300."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def preprocess(self, modality, item):
        if item.id == "300":
            raise self.error
        return super().preprocess(modality, item)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (MediaError("cannot decode it"), MediaError, "cannot decode it"),
        (MemoryError(), StepError, "out of memory at image '300'"),
        (KeyError("x"), StepError, r"cannot prepare image '300'\n  why: KeyError: 'x'"),
    ],
)
def test_what_cannot_be_prepared_is_named(workers, error, kind, words):
    with pytest.raises(kind, match=words) as caught:
        gather(Faulty(error), pictures(3000), workers=workers)
    assert caught.value.fields["id"] == "300"
    assert helpers() == []


def test_media_errors_name_the_item_and_a_way_out():
    with pytest.raises(MediaError) as caught:
        gather(Faulty(MediaError("cannot embed image")), pictures(400))
    assert caught.value.what == "cannot embed image: '300'"
    assert 'skip = ["300"] under [corpora.image]' in caught.value.fix
    with pytest.raises(MediaError) as caught:
        gather(Faulty(MediaError("cannot embed '300'", fix="cut it up")), pictures(400))
    assert (caught.value.what, caught.value.fix) == ("cannot embed '300'", "cut it up")


def test_ids_that_encoders_give_are_kept():
    with pytest.raises(MediaError) as caught:
        gather(Faulty(MediaError("no", id="mine")), pictures(400))
    assert caught.value.fields["id"] == "mine"


def test_errors_of_the_corpus_are_passed_on():
    class Gone(IdCorpus):
        def items(self, start, stop):
            raise MediaError("the tar is gone")

    with pytest.raises(MediaError, match="the tar is gone"):
        next(encode(Staged(), CorpusRange(Gone("ids", "image", ["a"]), 0, 1)))


def test_leaving_early_stops_the_threads():
    batches = encode(Staged(), CorpusRange(pictures(5000), 0, 5000))
    next(batches)
    assert helpers()
    batches.close()
    assert helpers() == []
