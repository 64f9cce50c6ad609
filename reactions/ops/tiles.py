"""Tiles of rows: how large they may be, and loading the next while one is in use."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError

if TYPE_CHECKING:
    from reactions.core.step import Rows

Matrix: TypeAlias = "Rows | Tensor"

_MIN_ROWS = 16

# Runs of rows rather than single ones: arrays on disk are read by contiguous slices.
SAMPLE_RUNS, _RUN_ROWS = 32, 32

_CACHED_ROWS, _CACHED_LOGITS, _CACHED_KEYS = 1 << 9, 1 << 20, 1 << 21
"""Queries in one product, and elements of its logits and keys that a CPU's cache holds: 4 MB and
8 MB of fp32."""

_FEW_KEYS, _LEAST_TILES = 1 << 20, 4
"""Where keys are few, tiles shrink to so many elements, or until a lane has so many tiles: fresh
memory for what is converted costs as much as converting it."""

_LEAST_WORK = 1 << 33
"""Queries times keys times dimensions of a lane. With less, half a second, threads that
share operations are as fast, and their memory is not fresh."""

_MANY_ROWS = 1 << 11
"""Queries at least that several lanes convert the keys for: each set of them does so again."""

_FEW_ROWS = 1 << 8
"""A lane has so many keys at least; and where memory is short, its tiles shrink to so many rows
before there are fewer lanes."""


@dataclass(frozen=True, slots=True)
class Tiling:
    """How a soft retrieval is cut.

    Attributes:
        query_rows: queries whose sums are held at once; each set reads all keys again.
        block_rows: of these, queries in one product.
        key_rows: keys in one product.
        lanes: threads that take tiles of keys each; see ``sum_up``.
    """

    query_rows: int
    block_rows: int
    key_rows: int
    lanes: int = 1


def plan_tiles(
    n: int,
    m: int,
    dim: int,
    widths: Sequence[int],
    *,
    memory_bytes: int,
    cuda: bool = False,
    cached: bool = False,
    threads: int = 1,
) -> Tiling:
    """Choose tiles that fit a budget; pure arithmetic, made before anything is loaded.

    The preferred sizes are used wherever they fit, so that results depend little on how much
    memory happens to be free (see ``soft_retrieve`` for how far off ``fast`` may be); else
    products shrink first, then there are fewer lanes, then the set of queries shrinks.

    Args:
        n: queries.
        m: keys.
        dim: width of queries and keys.
        widths: of the values.
        memory_bytes: what the retrieval may take beside its inputs and its result.
        cuda: prefer the larger tiles that a GPU needs to be busy.
        cached: prefer tiles of fp32 logits that stay in a CPU's cache from the product to the
            last pass over them, and lanes; of no effect with ``cuda``.
        threads: with ``cached``, as many lanes at most.

    Raises:
        DataError: not even the smallest tiles fit.
    """
    block_rows, key_rows = (1 << 14, 1 << 14) if cuda else (1 << 11, 1 << 13)
    lanes = 1
    # Bytes a pair: a float32 logit, and the weight that is made of it.
    pair_bytes = 8
    cached = cached and not cuda
    if cached:
        # Not by the values' widths: a value's result must not depend on the others.
        lanes = max(1, min(threads, m // _FEW_ROWS, n * m * dim // _LEAST_WORK))
        pair_bytes = 32  # or, of the pairs that SampledTiles keeps, places and weights
        block_rows = min(n, _CACHED_ROWS)
        most_keys = max(_FEW_ROWS, min(_CACHED_LOGITS // block_rows, _CACHED_KEYS // dim))
        few_keys = max(_FEW_KEYS // dim, -(-m // (lanes * _LEAST_TILES)))
        key_rows = min(most_keys, few_keys, -(-m // lanes))
    block_rows, key_rows = min(n, block_rows), min(m, key_rows)
    # Bytes a row: fp32 and converted copies; two raw tiles, as one is loaded ahead.
    # dim + 8: ShiftedTiles appends eight columns to queries and keys.
    query_bytes, sum_bytes = 8 * (dim + 8), 4 * sum(widths)
    if cached:
        sum_bytes += 4 * (dim + 8)  # lanes write shifts or thresholds into queries of their own
    key_bytes = 16 * (dim + 8 + sum(widths))
    while True:
        row_bytes = query_bytes + lanes * sum_bytes
        tile_bytes = lanes * (key_rows * key_bytes + block_rows * key_rows * pair_bytes)
        room = memory_bytes - tile_bytes
        if room >= (block_rows if lanes == 1 else min(n, _MANY_ROWS)) * row_bytes:
            rows = min(n, room // max(1, row_bytes))
            # Whole blocks, so that all products but the last have the same shape.
            rows = n if rows == n else rows // block_rows * block_rows
            return Tiling(rows, block_rows, key_rows, lanes)
        if lanes > 1 and max(block_rows, key_rows) <= _FEW_ROWS:
            lanes //= 2
        elif max(block_rows, key_rows) <= _MIN_ROWS:
            least_bytes = tile_bytes + block_rows * row_bytes
            raise DataError(
                f"soft retrieval does not fit into {memory_bytes / 1e6:.0f} MB",
                why=f"its smallest tiles need {least_bytes / 1e6:.0f} MB",
                fix="free some memory",
            )
        elif key_rows >= block_rows:
            key_rows = max(_MIN_ROWS, key_rows // 2)
        else:
            block_rows = max(_MIN_ROWS, block_rows // 2)


def raw_rows(rows: Matrix, start: int, stop: int) -> Tensor:
    """Return rows as a tensor of their own type, in memory; tensors stay on their device."""
    part = rows[slice(start, stop)]
    if isinstance(part, Tensor):
        return part
    # A memory map is read-only and may be paged out: torch wants an array of its own, in
    # native byte order.
    return torch.from_numpy(np.array(part, dtype=part.dtype.newbyteorder("=")))


def sampled_rows(rows: Matrix, device: torch.device) -> Tensor:
    """Return evenly spaced runs of rows in fp32; the same ones for any matrix of a length."""
    m = len(rows)
    if m <= SAMPLE_RUNS * _RUN_ROWS:
        return raw_rows(rows, 0, m).to(device).float()
    starts = [round(i * (m - _RUN_ROWS) / (SAMPLE_RUNS - 1)) for i in range(SAMPLE_RUNS)]
    runs = [raw_rows(rows, start, start + _RUN_ROWS) for start in starts]
    return torch.cat(runs).to(device).float()


def pinned_rows(rows: Matrix, start: int, stop: int) -> Tensor:
    """Return rows where a device can fetch them by itself: read once, into pinned memory."""
    part = rows[slice(start, stop)]
    if isinstance(part, Tensor):
        return part if part.is_cuda else part.pin_memory()
    # torch has no public map from numpy's types to its own: an empty array carries one over.
    native = np.empty(0, part.dtype.newbyteorder("="))
    staged = torch.empty(part.shape, dtype=torch.from_numpy(native).dtype, pin_memory=True)
    staged.numpy()[...] = part
    return staged


def stream_tiles(
    matrices: Sequence[Matrix],
    key_rows: int,
    device: torch.device,
    *,
    first: int = 0,
    every: int = 1,
) -> Iterator[tuple[int, list[Tensor]]]:
    """Yield tiles of rows of several matrices, loading the next one ahead.

    A thread reads the next tile (from disk, where the matrices are memory-mapped) and on
    CUDA copies it through pinned memory on a stream of its own, while the caller computes.

    Args:
        matrices: of equal length; one that appears twice is read once.
        key_rows: rows a tile.
        device: where the tiles go.
        first: tile to begin with.
        every: how many tiles on the next one is.

    Yields:
        The first row of a tile, and for each matrix its rows, in the type they are stored in.
    """
    m = len(matrices[0])
    distinct = list({id(matrix): matrix for matrix in matrices}.values())
    place = {id(matrix): index for index, matrix in enumerate(distinct)}
    starts = range(first * key_rows, m, every * key_rows)

    def named(parts: Sequence[Tensor]) -> list[Tensor]:
        return [parts[place[id(matrix)]] for matrix in matrices]

    if device.type == "cpu" and all(isinstance(matrix, Tensor) for matrix in matrices):
        for start in starts:  # there is nothing to load
            parts = [raw_rows(matrix, start, min(m, start + key_rows)) for matrix in distinct]
            yield start, named([part.to(device) for part in parts])
        return
    # torch leaves CUDA streams without types.
    side = torch.cuda.Stream(device) if device.type == "cuda" else None  # type: ignore[no-untyped-call]

    def load(start: int) -> tuple[list[Tensor], torch.cuda.Event | None]:
        stop = min(m, start + key_rows)
        if side is None:
            return [raw_rows(matrix, start, stop).to(device) for matrix in distinct], None
        with torch.cuda.stream(side):
            staged = [pinned_rows(matrix, start, stop) for matrix in distinct]
            return [part.to(device, non_blocking=True) for part in staged], side.record_event()

    with ThreadPoolExecutor(1, thread_name_prefix="molspace-tiles") as pool:
        ahead = deque(pool.submit(load, start) for start in starts[:1])
        for index, start in enumerate(starts, 1):
            parts, ready = ahead.popleft().result()
            ahead.extend(pool.submit(load, later) for later in starts[index : index + 1])
            if ready is not None:
                stream = torch.cuda.current_stream(device)
                stream.wait_event(ready)
                for part in parts:  # else its memory may be reused while we still read it
                    part.record_stream(stream)
            yield start, named(parts)
