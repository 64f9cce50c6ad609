import os
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes import Encoder
from staged import LIGHT, Narrow, Staged, gather, helpers, pictures, sentences

from reactions.core.errors import StepError
from reactions.core.types import Item, Waveform
from reactions.data.corpora import ListCorpus
from reactions.encoding import stream
from reactions.encoding.items import CorpusRange, size_bytes
from reactions.encoding.prefetch import ahead
from reactions.encoding.stream import encode

# --- memory ---


@pytest.mark.parametrize("corpus", [sentences(700), pictures(700)], ids=["text", "image"])
def test_batches_that_do_not_fit_are_halved_and_done_again(corpus):
    encoder = Narrow(50)
    rows = gather(encoder, corpus)
    assert encoder.refused == [256, 128, 64]
    assert max(encoder.sizes) == 32
    np.testing.assert_array_equal(rows, Staged().embed(corpus.modality, corpus.items(0, 700)))
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
            if any(array[0, 0] == 130 for array in inputs):
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


# --- cores ---


def test_threads_that_feed_a_gpu_all_have_work(gpu, monkeypatch):
    """As many as there are cores, however large a prepared item is."""
    monkeypatch.delenv("MOLSPACE_WORKERS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(stream, "ahead", partial(ahead, brief_s=0))
    monkeypatch.setattr(stream, "AHEAD_BYTES", 5 * 128 * 64)  # five pieces
    first, later = threading.Barrier(8, timeout=120), threading.Barrier(8, timeout=120)

    class Meeting(Staged):
        def preprocess(self, modality, item):
            piece, place = divmod(int(item.id), 128)
            if place == 0 and (piece < 8 or 16 <= piece < 24):
                (first if piece < 8 else later).wait()
            return np.zeros((1, 8))

    gather(Meeting(), pictures(128 * 32), device="cuda:0")


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
    for encoder_spec, items, workers, threads in (
        (LIGHT, files, 2, 2),
        (LIGHT, files, 0, 4),
        (LIGHT, decoded, 2, 4),
        (heavy, files, 2, 4),
        (unknown, files, 2, 4),
    ):
        torch.set_num_threads(4)
        encoder = Watched(encoder_spec)
        gather(encoder, ListCorpus("c", "image", items), workers=workers)
        assert encoder.threads == {threads}
        assert torch.get_num_threads() == 4
    encoder.spec = LIGHT
    batches = encode(encoder, CorpusRange(ListCorpus("c", "image", files), 0, 600))
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
        assert size_bytes(value) == n
    assert 1000 <= size_bytes(Item("x", "text", "a" * 1000)) < 1200
