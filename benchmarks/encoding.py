"""Encoding with the mini lab's encoders: preparing in turn and ahead, and how busy forward is.

    python benchmarks/encoding.py [--items 4096] [--rounds 5] [--workers N] [--json FILE] [--quick]

The forward pass is busy for the share of the wall time that is spent in it. Where the media come
from: ``rendered`` is what the mini lab embeds, made by its procedural world as it is asked for;
``memory`` is the same, made before; ``files`` are written to a temporary folder (32 x 32 PNG, half
a second of 8 kHz WAV) and decoded; ``photos`` and ``clips`` are files of a usual size (320 x 240
JPEG, three seconds of 16 kHz FLAC), far heavier to decode than these small encoders are to run.

A second table decodes JPEGs of several sizes by Pillow alone, and by simplejpeg where the pixels
are the same: time of one core, which other programs lengthen less than the clock's.
"""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import soundfile
from PIL import Image
from timing import Table, alternate, parser, progress, publish

from reactions.core.types import Corpus, Item
from reactions.data.corpora import ListCorpus
from reactions.encoders import registry
from reactions.encoding.items import CorpusRange
from reactions.encoding.prefetch import default_workers
from reactions.encoding.stream import encode
from reactions.labs import mini
from reactions.labs.lab_file import load_lab
from reactions.modalities.image import load_image
from reactions.modalities.images import jpegs

ENCODERS = (
    ("ImageBind", "image"),
    ("InternVL", "image"),
    ("ImageBind", "audio"),
    ("CLAP_g", "audio"),
    ("ImageBind", "text"),
)


class Watched:
    """An encoder, and the seconds its forward pass took."""

    def __init__(self, encoder: Any) -> None:
        self.spec = encoder.spec
        self.preprocess = encoder.preprocess
        self.embed = encoder.embed
        self.busy_s = 0.0
        self._forward = encoder.forward

    def forward(self, modality: str, inputs: Sequence[Any]) -> Any:
        began = time.perf_counter()
        rows = self._forward(modality, inputs)
        self.busy_s += time.perf_counter() - began
        return rows


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--items", type=int, default=4096, help="a corpus (default 4096)")
    options.add_argument("--rounds", type=int, default=5, help="rounds a contender (default 5)")
    options.add_argument("--workers", type=int, help="threads that prepare (default: as molspace)")
    arguments = options.parse_args()
    n_items, rounds = (256, 1) if arguments.quick else (arguments.items, arguments.rounds)
    workers = arguments.workers
    catalogue = load_lab("mini").catalogue
    rows = []
    before = load_of_others()
    with tempfile.TemporaryDirectory() as folder:
        for name, modality in ENCODERS:
            encoder = Watched(registry.load(catalogue.by_name(name), arguments.device))
            for source, corpus in sources(modality, n_items, Path(folder)):
                progress(f"{name}, {modality}, {source}")
                rows.append(
                    [name, modality, source, *compare(encoder, corpus, arguments, workers, rounds)]
                )
    table = Table(
        f"Encoding {n_items:,} items",
        (
            "encoder",
            "modality",
            "source",
            "in turn, items/s",
            "ahead, items/s",
            "ahead / in turn",
            "forward busy, in turn",
            "forward busy, ahead",
            "forward alone, items/s",
        ),
        rows,
        (
            "Medians over the rounds, contenders alternating. Forward alone has all torch threads "
            "and everything prepared. Texts of encoders this light are prepared in turn anyway.",
            others_took(before, load_of_others()),
        ),
    )
    jpegs_table = decoding(rounds)
    publish(
        [table, jpegs_table],
        arguments,
        extra={"workers": default_workers() if workers is None else workers},
    )


def compare(
    encoder: Watched, corpus: Corpus, arguments: Any, workers: int | None, rounds: int
) -> list[float | str]:
    """Return the figures of one row."""
    n, modality = len(corpus), corpus.modality
    shares: dict[int | None, list[float]] = {0: [], workers: []}

    def run(workers: int | None) -> None:
        encoder.busy_s, began = 0.0, time.perf_counter()
        items = CorpusRange(corpus, 0, n)
        for _ in encode(encoder, items, device=arguments.device, workers=workers):
            pass
        shares[workers].append(encoder.busy_s / (time.perf_counter() - began))

    prepared = [encoder.preprocess(modality, item) for item in corpus.items(0, min(n, 1024))]

    def forward() -> None:
        for start in range(0, len(prepared), 256):
            encoder.forward(modality, prepared[start : start + 256])

    times = alternate(
        {"in turn": lambda: run(0), "ahead": lambda: run(workers), "forward": forward},
        rounds=rounds,
        device=arguments.device,
    )
    return [
        n / times.seconds("in turn"),
        n / times.seconds("ahead"),
        times.speed("ahead", "in turn"),
        # The first share of each is the warm-up's.
        f"{statistics.median(shares[0][-rounds:]):.0%}",
        f"{statistics.median(shares[workers][-rounds:]):.0%}",
        len(prepared) / times.seconds("forward"),
    ]


# --- media ---------------------------------------------------------------------------


def sources(modality: str, n: int, folder: Path) -> Iterator[tuple[str, Corpus]]:
    """Yield the same media from several places, and larger ones; texts from memory only."""
    world = mini.corpus(modality, n=n, seed=0)
    items = world.items(0, n)
    yield "rendered", world
    yield "memory", ListCorpus("memory", modality, items)
    if modality != "text":
        for source, write, count in (("files", small, n), (LARGE[modality], large, n // 4)):
            places = [folder / f"{modality}-{source}-{i}" for i in range(count)]
            items_written = [
                Item(item.id, modality, write(item, place))
                for item, place in zip(items, places, strict=False)
            ]
            yield source, ListCorpus(source, modality, items_written)


LARGE = {"image": "photos", "audio": "clips"}


def small(item: Item, place: Path) -> Path:
    """Write an item as it is, without loss."""
    if item.modality == "image":
        path = place.with_suffix(".png")
        Image.fromarray(item.value).save(path)
    else:
        path = place.with_suffix(".wav")
        soundfile.write(path, item.value.samples, item.value.rate_hz)
    return path


def large(item: Item, place: Path) -> Path:
    """Write an item in a size and a format that data sets have."""
    if item.modality == "image":
        path = place.with_suffix(".jpg")
        Image.fromarray(item.value).resize((320, 240), Image.Resampling.BICUBIC).save(path)
    else:
        path = place.with_suffix(".flac")
        soundfile.write(path, np.repeat(np.tile(item.value.samples, 6), 2), 16_000)
    return path


# --- decoding ------------------------------------------------------------------------

JPEG_SIZES = ((224, 224), (320, 240), (640, 480), (1600, 1200), (4000, 3000))


def decoding(rounds: int) -> Table:
    """Decode JPEGs in both ways, alternating."""
    rows: list[list[str | float | None]] = []
    has_both = jpegs.agrees()
    for size in JPEG_SIZES:
        data = photo(size)
        n = max(1, 4_000_000 // (size[0] * size[1]))
        pillow_s, both_s = [], []
        for _ in range(max(3, rounds)):
            with patch.object(jpegs, "agrees", lambda: False):
                pillow_s.append(seconds_of_core(data, n))
            both_s.append(seconds_of_core(data, n))
        pillow_ms = 1e3 * statistics.median(pillow_s)
        own_ms = 1e3 * statistics.median(both_s) if has_both else None
        ratio = None
        if has_both:
            ratio = statistics.median(a / b for a, b in zip(pillow_s, both_s, strict=True))
        rows.append([f"{size[0]} x {size[1]}", len(data) // 1000, pillow_ms, own_ms, ratio])
    return Table(
        "Decoding a JPEG (4:2:0, quality 85)",
        ("pixels", "kB", "Pillow, ms", "simplejpeg, ms", "times faster"),
        rows,
        ("Of one core; load_image in both cases, so header, limits and orientation are in it.",),
    )


def photo(size: tuple[int, int]) -> bytes:
    """Return a JPEG, smooth with some noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC))
    noisy = np.clip(smooth + rng.integers(-10, 11, smooth.shape), 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noisy).save(stream, "JPEG", quality=85)
    return stream.getvalue()


def seconds_of_core(data: bytes, n: int) -> float:
    """Return what decoding takes of a core."""
    began = time.thread_time()
    for _ in range(n):
        load_image(data)
    return (time.thread_time() - began) / n


# --- the rest of the machine ---------------------------------------------------------


def load_of_others() -> tuple[float, float] | None:
    """Return (now, CPU seconds that other programs have used so far); None where unknown."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return None
    user, nice, system, _idle, _wait, irq, softirq = (int(field) for field in fields[:7])
    used = os.times()
    total_s = (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")
    return time.perf_counter(), total_s - used.user - used.system


def others_took(before: tuple[float, float] | None, after: tuple[float, float] | None) -> str:
    """Return a note on how much of the machine other programs took meanwhile."""
    if before is None or after is None:
        return "What other programs took of the machine is not known."
    cores = (after[1] - before[1]) / (after[0] - before[0])
    return f"Other programs kept {max(0.0, cores):.1f} cores busy meanwhile."


if __name__ == "__main__":
    main()
