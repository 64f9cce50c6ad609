"""A remote tar of pictures as a corpus, beside the plain download of the same file.

    python benchmarks/remote.py [--json FILE] [--quick] [--latency-ms 20]

A server in a process of its own, on this machine, waits before every answer, and sends 100 MB/s
over all its connections together, as a network of a gigabit does; then as much as it can, where
the plain download is as fast as this machine copies memory, and what we compute besides counts in
full. The tar is downloaded
by a single request, then scanned as a corpus (every picture digested and its header checked), then
read as a corpus: every picture's bytes, in order, as those who decode them get them, by one thread
and by the threads that prepare items. Nothing is kept between these: each begins as a new process
does. Last, some pictures are read by a request each, as a random sample is, to show what that would
take. The scan of the same tar from the disk shows what scanning itself takes: pictures are decoded.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from timing import Table, alternate, parser, progress, publish

from reactions.core.read_ahead import BLOCK_BYTES, BLOCKS
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.encoding.items import PIECE_ITEMS
from reactions.encoding.prefetch import default_workers

N_PICTURES = 1500
PIXELS = 256
SAMPLED = 50
GIGABIT = 100e6
"""Bytes a second."""


def main() -> None:
    options = parser(__doc__, device=False)
    options.add_argument("--latency-ms", type=float, default=20.0, help="of the server (20)")
    arguments = options.parse_args()
    publish(measured(arguments), arguments)


class Server:
    """The file server in a process of its own: it must not share our interpreter."""

    def __init__(self, folder: Path, latency_ms: float, bytes_per_s: float = 0.0) -> None:
        script = str(Path(__file__).with_name("range_server.py"))
        self._process = subprocess.Popen(
            [
                *(sys.executable, script, str(folder)),
                *("--latency-ms", str(latency_ms), "--bytes-per-s", str(bytes_per_s)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.url = self._line().strip()

    def counts(self) -> dict[str, int]:
        """Return how many requests came, and bytes went out, since it was asked last."""
        assert self._process.stdin is not None
        self._process.stdin.write("counts\n")
        self._process.stdin.flush()
        return {"requests": 0, "bytes": 0, **json.loads(self._line())}

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def measured(arguments: argparse.Namespace) -> Iterator[Table]:
    """Make the table."""
    n = 200 if arguments.quick else N_PICTURES
    with tempfile.TemporaryDirectory(prefix="molspace-remote-") as folder:
        progress(f"writing {n:,} pictures")
        tar = Path(folder) / "shard.tar"
        write_tar(tar, n)
        for bytes_per_s in (GIGABIT, 0.0):
            progress("reading them" + (f" at {bytes_per_s / 1e6:g} MB/s" if bytes_per_s else ""))
            server = Server(Path(folder), arguments.latency_ms, bytes_per_s)
            bound = f"{bytes_per_s / 1e6:g} MB/s" if bytes_per_s else "no other bound"
            title = f"{arguments.latency_ms:g} ms before each answer, {bound}"
            try:
                yield compared(server, tar, n, title, rounds=2 if arguments.quick else 5)
            finally:
                server.close()


def compared(server: Server, tar: Path, n: int, title: str, *, rounds: int) -> Table:
    """Time the download and the corpus in turn."""
    url, size_bytes = f"{server.url}/{tar.name}", tar.stat().st_size
    corpus = opened(url)
    counts_of: dict[str, dict[str, int]] = {}

    def fresh(name: str, call: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            BLOCKS.forget()
            server.counts()
            call()
            counts_of[name] = server.counts()

        return run

    sampled = [corpus.items(row, row + 1)[0].value for row in sample_rows(n)]
    timings = alternate(
        {
            name: fresh(name, call)
            for name, call in {
                "plain download": lambda: download(url),
                "scan, from the disk": lambda: opened(str(tar)),
                "scan": lambda: opened(url),
                "pass, one thread": lambda: read_all(corpus, 0),
                "pass, threads": lambda: read_all(corpus, default_workers()),
                "scan, then pass": lambda: read_all(opened(url), default_workers()),
                "a request each": lambda: [blob.read() for blob in sampled],
            }.items()
        },
        rounds=rounds,
    )
    rows: list[list[str | int | float | None]] = []
    for name in timings.rounds:
        took_s = timings.seconds(name)
        ratio: float | None = 1 / timings.speed(name, "plain download")
        label, requests = name, counts_of[name]["requests"]
        if name == "a request each":
            label, took_s = (
                f"a request each, from {len(sampled)} of them",
                took_s * n / len(sampled),
            )
            requests, ratio = n, took_s / timings.seconds("plain download")
        rows.append([label, took_s, ratio, requests, counts_of[name]["bytes"] / 1e6])
    rows[-1][-1] = None
    return Table(
        f"{n:,} pictures of {size_bytes / n / 1000:.0f} kB in a remote tar of "
        f"{size_bytes / 1e6:.0f} MB, {title}",
        ["", "s", "of the plain download", "requests", "MB"],
        rows,
        [f"Blocks of {BLOCK_BYTES >> 20} MiB. The last row is reckoned from a random sample."],
    )


def write_tar(path: Path, n: int) -> int:
    """Write a tar of JPEG pictures that differ; return its size in bytes."""
    rng = np.random.default_rng(0)
    # Coarse noise, made smooth: about as many bytes as photographs of this size take.
    coarse = rng.integers(0, 256, (32, PIXELS // 4, PIXELS // 4, 3), dtype=np.uint8)
    encoded = []
    for pixels in coarse:
        stream = io.BytesIO()
        Image.fromarray(pixels).resize((PIXELS, PIXELS), Image.Resampling.BICUBIC).save(
            stream, "JPEG", quality=90
        )
        encoded.append(stream.getvalue())
    with tarfile.open(path, "w") as tar:
        for i in range(n):
            # What follows the end of a picture is ignored, and tells this one from the others.
            data = encoded[i % len(encoded)] + f"{i:06d}".encode()
            info = tarfile.TarInfo(f"{i:06d}.jpg")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path.stat().st_size


def opened(url: str) -> SourceCorpus:
    """Open the tar as a corpus; nothing is remembered of it."""
    return open_corpus("image", "image", [Source(paths=(url,))], tables=TableCache())


def download(url: str) -> int:
    """Download a file as a whole, into memory."""
    n_bytes = 0
    with urllib.request.urlopen(url) as answer:
        while chunk := answer.read(1 << 20):
            n_bytes += len(chunk)
    return n_bytes


def read_all(corpus: SourceCorpus, workers: int) -> None:
    """Read every item's bytes in order, in pieces as encoders take them."""

    def read(first: int) -> list[int]:
        items = corpus.items(first, min(len(corpus), first + PIECE_ITEMS))
        return [len(item.value.read()) for item in items]

    firsts = range(0, len(corpus), PIECE_ITEMS)
    if workers == 0:
        lengths = [read(first) for first in firsts]
    else:
        with ThreadPoolExecutor(workers) as pool:
            lengths = list(pool.map(read, firsts))
    assert sum(map(len, lengths)) == len(corpus)


def sample_rows(n: int) -> list[int]:
    """Return rows far from one another, in a scattered order."""
    rows = np.random.default_rng(0).permutation(np.arange(0, n, max(1, n // SAMPLED)))
    return [int(row) for row in rows[:SAMPLED]]


if __name__ == "__main__":
    main()
