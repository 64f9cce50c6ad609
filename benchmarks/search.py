"""Search at factors chosen with the query, beside FAISS on rows that were mixed for them.

    python benchmarks/search.py [--json FILE] [--quick] [--rows 1000000]

The headline product of the mini lab is trained first, if it is not. Its index is filled with
synthetic atoms: items of some thousands of topics, whose atoms share what is the item's own, so
that neighbours mean something at any factors. At each setting the index is asked for ten neighbours
of queries near some of its items, approximately and exactly, and so are FAISS's structures that
hold the very rows of this setting, and no other: what they cannot do is change the factors.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray
from timing import Table, parser, progress, publish

from reactions.labs.lab_file import load_lab
from reactions.products.atoms import atoms_of, form_of, inner_products
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment
from reactions.search import approximate, files
from reactions.search.build import new_record
from reactions.search.hits import IndexedItem
from reactions.search.index import SearchIndex
from reactions.session import Session

REACTION = "ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)"
MODALITY = "text"
K = 10
SETTINGS = {
    "as trained": NO_ADJUSTMENT,
    "sigma 0.8,0.5": Adjustment(sigma={"": (0.8, 0.5)}),
    "sigma 0, lambda 0": Adjustment(sigma={"": 0.0}, lambda_={"": 0.0}),
    "sigma 1 of CLAP_m alone": Adjustment(
        sigma={"": 1.0}, experts=frozenset({"CLAP_m", "InternVL"})
    ),
}
ITEMS_A_TOPIC = 500
SHARED, OWN = 0.8, 0.5
"""Lengths, beside that of the topic, of what an item's atoms share and of each one's own part."""

SEGMENT_ROWS = 1 << 16


def main() -> None:
    options = parser(__doc__, device=False)
    options.add_argument("--rows", type=int, default=1_000_000, help="items (default 1,000,000)")
    options.add_argument("--queries", type=int, default=100, help="queries (default 100)")
    arguments = options.parse_args()
    publish(measured(arguments), arguments, extra={"faiss": faiss.__version__})


def measured(arguments: argparse.Namespace) -> Iterator[Table]:
    """Make the tables in turn."""
    session = Session(load_lab("mini"), device="cpu")
    progress("training, unless it is trained")
    target = session.target(REACTION)
    n_rows, n_queries = (5000, 10) if arguments.quick else (arguments.rows, arguments.queries)
    folder = Path(tempfile.mkdtemp(prefix="molspace-search-"))
    try:
        built = {}
        progress(f"writing {n_rows:,} rows")
        fill(folder, target, n_rows)
        for kind in ("ivf-pq",):
            progress(f"building {kind}")
            began_s = time.perf_counter()
            with files.writing(folder):
                record = SearchIndex(folder, target).record
                files.write_record(folder, approximate.build(folder, record, MODALITY, kind))
            built[kind] = time.perf_counter() - began_s
        index = SearchIndex(folder, target)
        yield compared(index, n_queries, built["ivf-pq"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(folder: Path, target: Target, n_rows: int) -> None:
    """Write an index of synthetic atoms."""
    random = np.random.default_rng(0)
    n_atoms, dim = len(atoms_of(form_of(target.space, MODALITY))), target.space.dim
    n_topics = max(8, n_rows // ITEMS_A_TOPIC)
    topics = _unit(random.normal(size=(n_atoms, n_topics, dim)).astype(np.float32))
    turns = [np.linalg.qr(random.normal(size=(dim, dim)))[0].astype(np.float32)] * n_atoms
    record = new_record(target, "float32")
    with files.writing(folder):
        files.write_record(folder, record)
        for first in range(0, n_rows, SEGMENT_ROWS):
            n = min(SEGMENT_ROWS, n_rows - first)
            topic = random.integers(0, n_topics, n)
            shared = _unit(random.normal(size=(n, dim)).astype(np.float32))
            units = np.stack(
                [
                    _unit(
                        topics[k][topic]
                        + SHARED * (shared @ turns[k])
                        + OWN * _unit(random.normal(size=(n, dim)).astype(np.float32))
                    )
                    for k in range(n_atoms)
                ],
                axis=1,
            )
            items = [IndexedItem(str(first + i), MODALITY, "", "") for i in range(n)]
            lengths = np.ones((n, n_atoms), np.float32)
            parts = (items, units, lengths, inner_products(units))
            record = files.write_segment(folder, record, *parts)
            files.write_record(folder, record)


def compared(index: SearchIndex, n_queries: int, build_s: float) -> Table:
    """Ask the index, and FAISS with the rows of each setting, for neighbours."""
    n = index.counts[MODALITY]
    random = np.random.default_rng(1)
    places = random.integers(0, n, n_queries)
    rows = []
    for name, adjustment in SETTINGS.items():
        progress(name)
        near = index.rows(MODALITY, places, adjustment)
        noise = _unit(random.normal(size=near.shape).astype(np.float32))
        queries = _unit(near + 0.5 * noise)
        mixed = np.concatenate(
            [
                index.rows(MODALITY, range(first, min(n, first + 4096)), adjustment)
                for first in range(0, n, 4096)
            ]
        )
        flat = faiss.IndexFlatIP(mixed.shape[1])
        flat.add(mixed)
        lists = max(1, min(round(4 * n**0.5), n // 39))
        ivf_pq = faiss.IndexIVFPQ(
            faiss.IndexFlatIP(mixed.shape[1]),
            *(mixed.shape[1], lists, mixed.shape[1] // 4, 8, faiss.METRIC_INNER_PRODUCT),
        )
        ivf_pq.train(mixed[:: max(1, n // max(64 * lists, 1 << 16))])
        ivf_pq.add(mixed)
        ivf_pq.nprobe = max(32, lists // 32)
        _, right = flat.search(queries, K)
        contenders: dict[str, Callable[[NDArray[np.float32]], Any]] = {
            "ours, ivf-pq": lambda q, a=adjustment: numbers(index, q, a, exact=False),
            "ours, exact": lambda q, a=adjustment: numbers(index, q, a, exact=True),
            "FAISS flat, this setting's rows": lambda q, peer=flat: peer.search(q, K)[1],
            "FAISS IVF-PQ, this setting's rows": lambda q, peer=ivf_pq: peer.search(q, K)[1],
        }
        for label, call in contenders.items():
            call(queries[:1])  # coefficients of the setting, pages of the files
            times = []
            neighbours = []
            for query in queries:
                began_s = time.perf_counter()
                neighbours.append(call(query[None])[0])
                times.append(1000 * (time.perf_counter() - began_s))
            hits = [
                len(set(map(int, a)) & set(map(int, b))) / K
                for a, b in zip(neighbours, right, strict=True)
            ]
            p50, p95 = np.percentile(times, [50, 95])
            rows.append((name, label, float(np.mean(hits)), float(p50), float(p95)))
    return Table(
        f"{n:,} items of {mixed.shape[1]} dimensions, {len(index.record.free)} free factors, "
        f"{n_queries} queries one by one, {K} neighbours",
        ("factors", "contender", f"recall@{K}", "ms, median", "ms, 95 %"),
        rows,
        notes=(f"Built in {build_s:,.0f} s. Recall is against FAISS flat.",),
    )


def numbers(
    index: SearchIndex, queries: NDArray[np.float32], adjustment: Adjustment, *, exact: bool
) -> list[list[int]]:
    """Return the numbers of what is found."""
    hits_of_queries = index.search(queries, into=MODALITY, k=K, adjustment=adjustment, exact=exact)
    return [[hit.number for hit in hits] for hits in hits_of_queries]


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


if __name__ == "__main__":
    main()
