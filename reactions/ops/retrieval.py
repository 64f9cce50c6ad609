"""Soft retrieval: softmax-weighted means over a corpus, without the n x m matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from reactions.core.errors import DimensionMismatch
from reactions.ops.precision import Precision, full_float32, gemm_dtype
from reactions.ops.retrieval_16bit import ShiftedTiles
from reactions.ops.retrieval_exact import ExactTiles
from reactions.ops.retrieval_sampled import SampledTiles, share_that_pays
from reactions.ops.row_sums import RowSums, sum_up
from reactions.ops.tensors import load_rows, unit
from reactions.ops.threads import threads_of_torch
from reactions.ops.tiles import Matrix, Tiling, plan_tiles

MEMORY_BYTES = 2 << 30
"""What a retrieval may take where the caller names no budget."""

MIN_FAST_TEMPERATURE = 1 / 200
"""Below, 16-bit inputs alone cost more than the accuracy that ``fast`` promises."""

MIN_16BIT_QUERIES, MIN_16BIT_WORK = 64, 1 << 28
"""Queries, and queries times keys times dimensions: with fewer, a CPU takes longer to prepare keys
for 16-bit products than those save."""

FAST_ERROR = {torch.bfloat16: 0.08, torch.float16: 0.015}
"""Times 1 / sqrt(d), of the narrower of keys and values: bounds the relative error of ``fast``
against float64, over a column of rows as encoders give them, at temperature 1/100. bfloat16:
2.5e-3 at d = 1024, 3.5e-3 at 512, 1e-2 at 64, 2.8e-2 at 8. float16: 4.7e-4, 6.6e-4, 1.9e-3,
5.3e-3. Lower temperatures weigh the same rounding more: up to 2.5 times as much at 1/200, among
near duplicates."""

_LOG2_E = math.log2(math.e)


def soft_retrieve(
    queries: Matrix,
    keys: Matrix,
    values: Sequence[Matrix],
    *,
    temperature: float,
    device: str | torch.device = "cpu",
    precision: Precision = "fast",
    memory_bytes: int = MEMORY_BYTES,
    tiling: Tiling | None = None,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Tensor]:
    """Return unit(softmax(Q K^T / temperature) V) for several V at the cost of one Q K^T.

    Streams over tiles of keys, so memory does not grow with the corpus, which may be
    memory-mapped and larger than memory. The mean of unit vectors is shorter than one;
    the papers leave its norm open, and we rescale it to one, because the next hop uses it
    as a query at the same temperature. A value's result does not depend on which others
    are asked for, as long as the budget holds the tiles that ``plan_tiles`` prefers; with the
    number of torch's threads rounding and draws may change.

    Args:
        queries: (n, d); rows are rescaled to unit norm, from norms of 1e-12 to 1e18.
        keys: (m, d), m >= 1; rows are rescaled to unit norm.
        values: each (m, d_v), row i belonging to key i; rows are rescaled to unit norm.
        temperature: > 0; logits are cosines divided by it.
        device: where the products are computed.
        precision: ``exact`` computes in fp32 (relative error of a column about 5e-6 against
            float64 at temperature 1/100, 1e-5 among near duplicates; it grows as temperatures
            fall, to 1e-3 at 1/10,000). ``fast`` uses 16-bit products where the device has fast
            ones, and they pay; a CPU without draws among the keys that weigh little, where that
            pays (``SampledTiles``); and it is else the same as ``exact``. Drawing, the error that
            is expected of a column is at most 3e-3, of a row 5e-3; on rows as encoders give a
            column has 1e-3. With 16 bits the error grows as spaces narrow, as few elements of a
            row average out less of their rounding: see ``FAST_ERROR``. A single row may err five
            times as much as its column, and means of isotropic noise, nearly zero, up to 2e-2.
            With float16 the share of keys that weigh less than 2^-34 of the whole is lost, or than
            2^-29 where one key that the sample shows outweighs all others: of 2.3 million keys
            0.4 % of the whole at the most.
        memory_bytes: budget for tiles and sums; see ``plan_tiles``.
        tiling: instead of one planned from the budget.
        dtype: of the result.
        progress: called with (keys times queries done, in all).

    Returns:
        One (n, d_v) tensor of unit-norm rows on the CPU for each of ``values``.

    Raises:
        DimensionMismatch: widths of queries and keys, or row counts of keys and values, differ.
        DataError: the budget is too small for any tiling.

    Source: Molecule-Space, eq. 4-6 and 11-13 (temperature 1/100).
    """
    threads = threads_of_torch()
    n, m, dim = len(queries), len(keys), keys.shape[1]
    if queries.shape[1] != dim:
        raise DimensionMismatch(
            f"queries have {queries.shape[1]} dimensions, keys {dim}",
            why="soft retrieval compares embeddings of one space",
        )
    for value in values:
        if len(value) != m:
            raise DimensionMismatch(f"{m} keys but {len(value)} values")
    device = torch.device(device)
    cuda = device.type == "cuda"
    widths = [value.shape[1] for value in values]
    # The device copies into pinned memory while it goes on computing.
    outputs = [torch.empty((n, width), dtype=dtype, pin_memory=cuda) for width in widths]
    if n == 0 or not values:
        return outputs
    scale = _LOG2_E / temperature  # exp2 is several times cheaper than exp on CPUs
    tiny = temperature < MIN_FAST_TEMPERATURE
    half = share = None
    if precision == "fast" and not tiny:
        half = gemm_dtype(device, "retrieval")
        if half is not None and not cuda:
            pays = n >= MIN_16BIT_QUERIES and n * m * dim >= MIN_16BIT_WORK
            half = half if pays else None
        elif device.type == "cpu":
            share = share_that_pays(queries, keys, scale=scale)

    def means(start: int, stop: int, tiling: Tiling) -> list[Tensor]:
        """Sum over all keys for one set of queries; what it held is free when it returns."""
        block = unit(load_rows(queries, start, stop, device))
        sums: RowSums
        if half is not None:
            sums = ShiftedTiles(
                block, keys, values, scale=scale, block_rows=tiling.block_rows, dtype=half
            )
        elif share is not None:
            sums = SampledTiles(block, keys, values, share=share, scale=scale, tiling=tiling)
        else:
            sums = ExactTiles(block, widths, scale=scale, block_rows=tiling.block_rows)

        def seen(rows: int) -> None:
            progress(start * m + rows * (stop - start), n * m)

        sum_up(sums, [keys, *values], tiling, device, seen)
        return sums.means()

    if tiling is None:
        tiling = plan_tiles(
            *(n, m, dim, widths),
            memory_bytes=memory_bytes,
            cuda=cuda,
            cached=half is None,
            threads=threads,
        )
    with full_float32():
        for start in range(0, n, tiling.query_rows):
            stop = min(n, start + tiling.query_rows)
            for output, mean in zip(outputs, means(start, stop, tiling), strict=True):
                output[start:stop].copy_(unit(mean).to(dtype), non_blocking=cuda)
    if cuda:
        # The copies into pinned memory were only queued: the caller must not read before their end.
        torch.cuda.current_stream(device).synchronize()
    return outputs
