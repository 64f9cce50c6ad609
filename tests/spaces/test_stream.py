import threading
import time
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import Encoder, spec

from reactions.data.corpora import IdCorpus, ListCorpus, TextCorpus
from reactions.errors import MediaError, StepError
from reactions.kinds import Item, StagedEncoder, Waveform
from reactions.spaces import stream
from reactions.spaces.ahead import THREAD_NAME, ahead
from reactions.spaces.memory import MOST_ITEMS
from reactions.spaces.stream import encode

DIM = 3
LIGHT = spec("light", DIM, "image", "text")  # ten operations an item: batches of 256


class Staged:
    """Embeds a text by its words' lengths; notes batches, and how much padding they needed."""

    def __init__(self, spec=LIGHT):
        self.spec = spec
        self.sizes = []
        self.padded = 0
        self.forward_thread = None

    def preprocess(self, modality, item):
        if isinstance(item.value, str):
            return np.array([len(word) for word in item.value.split()], np.int64)
        return np.full((2, 2), int(item.id), np.uint16)

    def forward(self, modality, inputs):
        self.forward_thread = threading.current_thread()
        self.sizes.append(len(inputs))
        widest = max(one.size for one in inputs)
        self.padded += sum(widest - one.size for one in inputs)
        return np.stack([self.row(one) for one in inputs])

    def embed(self, modality, items):
        return self.forward(modality, [self.preprocess(modality, item) for item in items])

    def row(self, prepared):
        flat = prepared.ravel().astype(np.float64)
        row = np.array([1 + flat.sum(), flat.size, flat[0] if flat.size else 0.5])
        return (row / np.linalg.norm(row)).astype(np.float32)


class Narrow(Staged):
    """Has room for so many items, and no more."""

    error = torch.cuda.OutOfMemoryError

    def __init__(self, room, **options):
        super().__init__(**options)
        self.room = room
        self.refused = []

    def forward(self, modality, inputs):
        if len(inputs) > self.room:
            self.refused.append(len(inputs))
            raise self.error("CUDA out of memory")
        return super().forward(modality, inputs)


def sentences(n, seed=0):
    lengths = np.random.default_rng(seed).integers(0, 60, n)
    return TextCorpus("captions", [" ".join(["la", "hum"] * int(k)) for k in lengths])


def pictures(n):
    return ListCorpus("pictures", "image", [Item(str(i), "image", object()) for i in range(n)])


def gather(encoder, corpus, start=0, stop=None, **options):
    """Return the rows in the corpus's order, having checked that each came once, with its id."""
    stop = len(corpus) if stop is None else stop
    rows = np.full((stop - start, DIM), np.nan, np.float32)
    ids = [item.id for item in corpus.items(start, stop)]
    for batch in encode(encoder, corpus, start, stop, **options):
        assert batch.ids == [ids[place - start] for place in batch.places]
        for place, row in zip(batch.places, batch.rows, strict=True):
            assert np.isnan(rows[place - start]).all()
            rows[place - start] = row
    assert helpers() == []
    return rows


def helpers():
    return [thread for thread in threading.enumerate() if thread.name.startswith(THREAD_NAME)]


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("corpus", [sentences(3000), pictures(250)], ids=["text", "image"])
def test_rows_are_what_embed_gives(corpus, workers):
    expected = Staged().embed(corpus.modality, corpus.items(0, len(corpus)))
    found = gather(Staged(), corpus, workers=workers)
    np.testing.assert_array_equal(found, expected)
    part = gather(Staged(), corpus, 130, 241, workers=workers)
    np.testing.assert_array_equal(part, expected[130:241])
    assert list(encode(Staged(), corpus, 7, 7)) == []


def test_the_fake_is_staged_and_the_other_is_not():
    assert isinstance(Staged(), StagedEncoder)
    assert not isinstance(Encoder(LIGHT), StagedEncoder)


def test_preparing_runs_elsewhere_and_embedding_here():
    seen = set()

    class Watched(Staged):
        def preprocess(self, modality, item):
            seen.add(threading.current_thread())
            return super().preprocess(modality, item)

    encoder = Watched()
    gather(encoder, pictures(200), workers=2)
    assert threading.current_thread() not in seen
    assert encoder.forward_thread is threading.current_thread()
    seen.clear()
    gather(encoder, pictures(200), workers=0)
    assert seen == {threading.current_thread()}


def test_texts_of_light_encoders_are_prepared_here():
    class Watched(Staged):
        def preprocess(self, modality, item):
            self.thread = threading.current_thread()
            return super().preprocess(modality, item)

    here = threading.current_thread()
    for given, corpus, options, expected in (
        (LIGHT, sentences(9), {}, True),
        (LIGHT, sentences(9), {"workers": 1}, False),
        (LIGHT, sentences(9), {"device": "cuda:0"}, False),
        (LIGHT, pictures(9), {}, False),
        (replace(LIGHT, flops_per_item=()), sentences(9), {}, False),
        (replace(LIGHT, flops_per_item=(("text", 1e9),)), sentences(9), {}, False),
    ):
        encoder = Watched(given)
        with closing(encode(encoder, corpus, 0, 9, **options)) as batches, suppress(Exception):
            next(batches)  # which fails where there is no such device
        assert (encoder.thread is here) == expected


def test_preparing_goes_on_while_a_batch_is_embedded():
    met = threading.Event()

    class Meeting(Staged):
        def preprocess(self, modality, item):
            if item.id == str(2 * MOST_ITEMS):
                met.set()
            return super().preprocess(modality, item)

        def forward(self, modality, inputs):
            assert met.wait(30)  # of the third batch, while the first is here
            return super().forward(modality, inputs)

    encoder = Meeting()
    gather(encoder, pictures(3 * MOST_ITEMS), workers=1)
    assert encoder.sizes == [MOST_ITEMS] * 3


def test_what_is_prepared_ahead_is_bounded(monkeypatch):
    """However slow the encoder is; by items, and by bytes."""
    ahead_items, most = 0, 0
    lock = threading.Lock()

    class Slow(Staged):
        def preprocess(self, modality, item):
            nonlocal ahead_items, most
            with lock:
                ahead_items += 1
                most = max(most, ahead_items)
            return super().preprocess(modality, item)

        def forward(self, modality, inputs):
            nonlocal ahead_items
            time.sleep(0.005)  # time to run too far ahead
            with lock:
                ahead_items -= len(inputs)
            return super().forward(modality, inputs)

    monkeypatch.setattr(stream, "AHEAD_ITEMS", 512)
    gather(Slow(), pictures(4000), workers=2)
    assert 2 * MOST_ITEMS <= most <= 512 + 2 * MOST_ITEMS  # a batch beside what waits for one
    assert ahead_items == 0
    most = 0
    monkeypatch.setattr(stream, "AHEAD_ITEMS", 4096)
    monkeypatch.setattr(stream, "AHEAD_BYTES", 8 * 200)  # 200 items of eight bytes
    gather(Slow(), pictures(4000), workers=2)
    assert most <= 256 + 2 * MOST_ITEMS


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

    with closing(encode(Counting(), sentences(4000), 0, 4000, workers=0)) as batches:
        next(batches)
        assert prepared == MOST_ITEMS
        next(batches)
        assert prepared == 3 * MOST_ITEMS  # then windows double


def test_windows_are_bounded(monkeypatch):
    monkeypatch.setattr(stream, "WINDOW_ITEMS", 2 * MOST_ITEMS)
    encoder, done = Staged(), 0
    for batch in encode(encoder, sentences(4000), 0, 4000, workers=0):
        assert max(batch.places) < done + 2 * MOST_ITEMS + MOST_ITEMS
        done += len(batch.places)


def test_pictures_and_plain_encoders_keep_their_order():
    for encoder in (Staged(), Encoder(LIGHT)):
        batches = list(encode(encoder, pictures(600), 0, 600))
        assert [place for batch in batches for place in batch.places] == list(range(600))
        assert [len(batch.ids) for batch in batches] == [256, 256, 88]


def test_texts_in_several_arrays_are_sorted_by_their_sum():
    class Two(Staged):
        def preprocess(self, modality, item):
            words = super().preprocess(modality, item)
            return words, np.repeat(words, 3)

        def forward(self, modality, inputs):
            self.lengths = [sum(map(len, one)) for one in inputs]
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
    found = gather(encoder, sentences(300))
    np.testing.assert_array_equal(found, Encoder(LIGHT).embed("text", sentences(300).items(0, 300)))
    assert encoder.sizes == [256, 44]


def test_encoders_nothing_can_be_noted_of():
    class Bare(Encoder):
        __hash__ = None

    assert len(gather(Bare(LIGHT), sentences(9))) == 9


# --- memory ---


@pytest.mark.parametrize("corpus", [sentences(700), pictures(700)], ids=["text", "image"])
def test_batches_that_do_not_fit_are_halved_and_done_again(corpus):
    encoder = Narrow(50)
    found = gather(encoder, corpus)
    assert encoder.refused == [256, 128, 64]
    assert max(encoder.sizes) == 32
    np.testing.assert_array_equal(found, Staged().embed(corpus.modality, corpus.items(0, 700)))
    gather(encoder, corpus)
    assert encoder.refused == [256, 128, 64]  # the next shard has learned from the first


def test_sizes_are_learned_for_each_encoder_and_modality():
    narrow, other = Narrow(50), Narrow(100)
    gather(narrow, pictures(300))
    gather(other, pictures(300))
    assert (max(narrow.sizes), max(other.sizes)) == (32, 64)
    gather(narrow, sentences(300))
    assert narrow.refused == [256, 128, 64, 256, 128, 64]


def test_plain_encoders_that_run_out_of_memory():
    class Full(Encoder):
        def embed(self, modality, items):
            if len(items) > 100:
                raise MemoryError
            return super().embed(modality, items)

    encoder = Full(LIGHT)
    gather(encoder, pictures(300))
    assert set(encoder.sizes) == {64, 44}


def test_an_item_that_does_not_fit_alone_is_named():
    class Full(Narrow):
        def forward(self, modality, inputs):
            if any(one[0, 0] == 130 for one in inputs):
                raise MemoryError
            return super().forward(modality, inputs)

    with pytest.raises(StepError, match="out of memory at image '130'") as caught:
        gather(Full(1000), pictures(300))
    assert caught.value.fields["id"] == "130"
    assert helpers() == []


def test_other_errors_of_the_forward_pass_are_passed_on():
    class Broken(Narrow):
        error = RuntimeError

    encoder = Broken(0)
    with pytest.raises(RuntimeError, match="CUDA out of memory"):  # by its words only
        gather(encoder, pictures(300))
    assert encoder.refused == [256]
    assert helpers() == []


@pytest.fixture
def gpu(monkeypatch):
    """A device whose memory the test sets, in bytes."""
    state = SimpleNamespace(held=1000, peak=1 << 30, reserved=1000, free=0)
    for name, answer in {
        "reset_peak_memory_stats": lambda device: setattr(state, "peak", state.held),
        "memory_allocated": lambda device: state.held,
        "max_memory_allocated": lambda device: state.peak,
        "memory_reserved": lambda device: state.reserved,
        "mem_get_info": lambda device: (state.free, 1 << 40),
        "empty_cache": lambda: None,
    }.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    return state


def test_batches_grow_with_the_memory_of_a_gpu(gpu):
    class OnGpu(Staged):
        def forward(self, modality, inputs):
            gpu.peak = max(gpu.peak, gpu.held + 10 * len(inputs))
            gpu.reserved = max(gpu.reserved, gpu.peak)
            return super().forward(modality, inputs)

    heavy = replace(LIGHT, flops_per_item=(("image", 34e9),))
    # Sixteen items need 160 bytes, which stay reserved; twice that and a quarter more, 400.
    for free, largest in ((239, 16), (240, 32), (1 << 30, 1024)):
        encoder, gpu.free, gpu.reserved = OnGpu(heavy), free, gpu.held
        gather(encoder, pictures(5000), device="cuda:1")
        assert encoder.sizes[0] == 16
        assert max(encoder.sizes) == largest
    encoder, gpu.reserved = OnGpu(heavy), gpu.held
    gather(encoder, pictures(3000))
    assert max(encoder.sizes) == 16  # on the CPU they stay


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
        next(encode(Staged(), Gone("ids", "image", ["a"]), 0, 1))


def test_leaving_early_stops_the_threads():
    batches = encode(Staged(), pictures(5000), 0, 5000)
    next(batches)
    assert helpers()
    batches.close()
    assert helpers() == []


# --- cores ---


def test_half_the_threads_are_left_to_decode_for_light_encoders():
    class Watched(Staged):
        def __init__(self, spec):
            super().__init__(spec)
            self.threads = set()

        def preprocess(self, modality, item):
            return np.zeros((1, 1))

        def forward(self, modality, inputs):
            self.threads.add(torch.get_num_threads())
            return super().forward(modality, inputs)

    heavy = replace(LIGHT, flops_per_item=(("image", 1e9),))
    unknown = replace(LIGHT, flops_per_item=())
    files = [Item(str(i), "image", Path(f"{i}.png")) for i in range(600)]
    decoded = [Item(str(i), "image", np.zeros(3)) for i in range(600)]
    for given, items, workers, threads in (
        (LIGHT, files, 2, 2),
        (LIGHT, files, 0, 4),
        (LIGHT, decoded, 2, 4),
        (heavy, files, 2, 4),
        (unknown, files, 2, 4),
    ):
        torch.set_num_threads(4)
        encoder = Watched(given)
        gather(encoder, ListCorpus("c", "image", items), workers=workers)
        assert encoder.threads == {threads}
        assert torch.get_num_threads() == 4
    encoder.spec = LIGHT
    batches = encode(encoder, ListCorpus("c", "image", files), 0, 600)
    next(batches)
    assert torch.get_num_threads() == 2
    batches.close()
    assert torch.get_num_threads() == 4
    torch.set_num_threads(1)
    encoder = Watched(LIGHT)
    gather(encoder, ListCorpus("c", "image", files))
    assert encoder.threads == {1}


def test_sizes_in_bytes():
    sound = Waveform(np.zeros(100, np.float32), 8000)
    for value, n in (
        (np.zeros((2, 3), np.float32), 24),
        ((np.zeros(2), np.zeros(3)), 40),
        (Item("x", "audio", sound), 400),
        (Item("x", "image", np.zeros(7, np.uint8)), 7),
    ):
        assert stream._size_bytes(value) == n
    assert 1000 <= stream._size_bytes(Item("x", "text", "a" * 1000)) < 1200
