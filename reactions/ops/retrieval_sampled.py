"""Soft retrieval on CPUs without 16-bit products: keys that weigh little are drawn, not summed."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from reactions.ops.retrieval_exact import ExactTiles
from reactions.ops.tensors import scratch, unit, unit_into
from reactions.ops.tiles import Matrix, Tiling, sampled_rows, stream_tiles

logger = logging.getLogger("reactions.kernels")  # which ``-v`` shows

_LN_2 = math.log(2.0)

COLUMN_ERROR, ROW_ERROR = 3e-3, 5e-3
"""Bounds of the expected relative error of a column and of a single row, kept whatever the data
are: rows that may be further off are computed exactly."""

_AIM = 2e-3
"""The error that thresholds aim at, relative to a row's total weight. A mean of unit rows is
shorter than one (0.75 on rows as encoders give), and what is not drawn along it does not count."""

_SHARES = [2.0**-octave for octave in range(10, 21)]
"""Thresholds to choose from, as shares of a row's total weight."""

_COLUMNS = 128
"""Of values that are added at a time: those of a tile of keys stay in a core's own cache."""

_MIN_KEYS, _MIN_QUERIES = 1 << 12, 1 << 8
"""Fewer, and what is prepared for each is more than what is saved."""

_PILOT_ROWS = 128

_FINDING, _KEPT, _KEPT_COLUMN = 112.0, 1200.0, 2.0
"""What it takes to find the keys to keep, a pair; to keep one; and to add a column of its value: in
columns of the whole product, measured with AVX2."""

_SEED = 0


class SampledTiles:
    """Sums over the keys that weigh something, and over a few of the others that stand for all.

    Most of the work of a soft retrieval is the product of weights and values, and at
    temperature 1/100 nearly all weights are next to nothing. With a threshold t for each query,

    - a key that weighs w >= t counts as it is;
    - one that weighs less counts as t with probability w / t, else not at all.

    The expected sums are the true ones whatever the data are, and the expected square of their
    error is at most t * (weight of the light keys) for values of unit norm around their mean. Of
    m keys total / t are kept at most, so the larger the corpus, the smaller the share. All
    similarities are computed, in fp32. Which light keys are drawn is decided by one random
    number a key, the same for all queries and in every run.

    The threshold of a row is a share of its total weight, as far as the tiles before show it. The
    error is counted as it is added (see ``means``), and rows that may be too far off, because their
    totals misled the threshold or their mean is nearly zero, are computed once more, exactly.

    Args:
        queries: (n, d) fp32 unit rows on the CPU.
        keys: all keys, which ``add`` is given tile by tile.
        values: all values, likewise.
        share: the threshold, of a row's total weight.
        scale: log2(e) / temperature.
        tiling: how the retrieval is cut.
    """

    def __init__(
        self,
        queries: Tensor,
        keys: Matrix,
        values: Sequence[Matrix],
        *,
        share: float,
        scale: float,
        tiling: Tiling,
    ) -> None:
        n = len(queries)
        self._units, self._matrices = queries, (keys, *values)
        self._share, self._scale, self._tiling = share, scale, tiling
        # [q, -log2 t, -1] . [k, 1, log2 u] is positive where w > t u, for u uniform in (0, 1).
        self._queries = torch.cat(
            [queries * scale, queries.new_zeros(n, 1), -queries.new_ones(n, 1)], dim=1
        )
        drawn = torch.rand(len(keys), generator=torch.Generator().manual_seed(_SEED))
        self._drawn = drawn.clamp_(min=2.0**-24).log2_()
        self._scratch = queries.new_empty(0)
        self._converts = [queries.new_empty(0) for _ in range(2 + len(values))]
        self._seen = 0
        # Weights are held relative to 2^unit, the total weight of a row that its first tile shows.
        self._unit = queries.new_zeros(n)
        self._threshold = queries.new_zeros(n)
        self._total = queries.new_zeros(n)
        self._variance = queries.new_zeros(n)
        self._sums = [queries.new_zeros((n, value.shape[1])) for value in values]

    @classmethod
    def where_it_pays(
        cls,
        queries: Tensor,
        keys: Matrix,
        values: Sequence[Matrix],
        *,
        scale: float,
        tiling: Tiling,
    ) -> Self | None:
        """Return the sums, empty; None where the whole product is expected to take less time.

        A few queries and a sample of the keys say how many would be kept.
        """
        # Judged for values as wide as keys: a value's result must not depend on the others.
        m, width = keys.shape
        if m < _MIN_KEYS or len(queries) < _MIN_QUERIES or width <= _FINDING:
            return None
        few = unit(sampled_rows(keys, queries.device))
        logits = (queries[:: max(1, len(queries) // _PILOT_ROWS)] * scale) @ few.T
        shares = torch.softmax(logits * _LN_2, dim=1)
        alike = m / len(few)  # keys that one of the sample stands for
        for share in _SHARES:
            light = torch.where(shares < share * alike, shares, 0.0).sum(dim=1).mean()
            if share * float(light) <= _AIM**2:
                break
        density = float((shares / (share * alike)).clamp_(max=1.0).mean())
        if density * (_KEPT + _KEPT_COLUMN * width) + _FINDING >= width:
            return None
        logger.info(
            "soft retrieval of %d from %d: keys below %.1e of a row's weight are drawn",
            len(queries),
            m,
            share,
        )
        return cls(queries, keys, values, share=share, scale=scale, tiling=tiling)

    def add(self, keys: Tensor, values: Sequence[Tensor]) -> None:
        """Take one tile in."""
        drawn = self._drawn[self._seen : self._seen + len(keys)]
        k, v = self._converted(keys, values)
        k[:, -2], k[:, -1] = 1, drawn
        if self._seen:
            self._move_thresholds()
        for start in range(0, len(self._queries), self._tiling.block_rows):
            rows = slice(start, start + self._tiling.block_rows)
            queries = self._queries[rows]
            self._scratch, over = scratch(self._scratch, len(queries), len(k))
            torch.mm(queries, k.T, out=over)
            if not self._seen:
                over -= self._first_thresholds(rows, over + drawn).unsqueeze(1)
            self._add_kept(rows, over.view(-1), drawn, v)
        self._seen += len(keys)

    def means(self) -> list[Tensor]:
        """Return the weighted means."""
        means = [sums / self._total.unsqueeze(1) for sums in self._sums]
        # Three more draws of the last threshold stand for the chance that few have been made.
        last = torch.exp2(self._threshold - self._unit)
        error = (self._variance + 3 * last.square()).sqrt_() / self._total
        for index, mean in enumerate(means):
            row_error = error / torch.linalg.vector_norm(mean, dim=1)
            column_error = float(row_error.square().mean().sqrt())
            # Written so that what is no number counts as off.
            limit = ROW_ERROR if column_error < COLUMN_ERROR else COLUMN_ERROR
            off = (~(row_error < limit)).nonzero().squeeze(1)
            if len(off):
                logger.info("%d of %d rows are computed exactly", len(off), len(mean))
                mean[off] = self._exactly(off, index)
        return means

    def _converted(
        self, keys: Tensor, values: Sequence[Tensor]
    ) -> tuple[Tensor, list[list[Tensor]]]:
        """Return unit rows of a tile in fp32: keys with two more columns, values cut into columns.

        They lie in memory that the next tile takes.
        """
        m, dim = keys.shape
        memory = self._converts
        memory[0], k = scratch(memory[0], m, dim + 2)
        unit_into(k[:, :dim], keys)
        cut = []
        for index, value in enumerate(values, 2):
            if value is keys:
                rows = k[:, :dim]
            else:
                memory[1], rows = scratch(memory[1], *value.shape)
                unit_into(rows, value)
            memory[index], whole = scratch(memory[index], value.shape[1], m)
            parts = torch.split(rows, _COLUMNS, dim=1)
            places = torch.split(whole, _COLUMNS)  # each of its own memory, without gaps
            cut.append(
                [place.view(m, -1).copy_(part) for place, part in zip(places, parts, strict=True)]
            )
        return k, cut

    def _first_thresholds(self, rows: slice, logits: Tensor) -> Tensor:
        """Set and return the thresholds for the first tile, from its own logits."""
        whole = len(self._drawn) / logits.shape[1]
        self._unit[rows] = torch.logsumexp(logits.mul_(_LN_2), dim=1) / _LN_2 + math.log2(whole)
        self._threshold[rows] = self._unit[rows] + math.log2(self._share)
        return self._threshold[rows]

    def _move_thresholds(self) -> None:
        """Set the thresholds for the next tile by what the tiles before have shown."""
        whole = len(self._drawn) / self._seen * self._share
        self._threshold = self._unit + (self._total * whole).log2_()
        self._queries[:, -2] = -self._threshold

    def _add_kept(
        self, rows: slice, over: Tensor, drawn: Tensor, values: Sequence[Sequence[Tensor]]
    ) -> None:
        """Add the keys of a tile that count for a block of queries.

        Args:
            rows: the block.
            over: (block * tile,) base-2 logits, less threshold and random number.
            drawn: (tile,) random numbers.
            values: of the tile, unit rows cut into columns.
        """
        m = len(drawn)
        kept = (over > 0).nonzero().squeeze(1)
        row, column = kept // m, kept % m
        octaves = over[kept] + drawn[column]  # of the weight above the threshold
        threshold = torch.exp2(self._threshold[rows] - self._unit[rows])[row]
        light = torch.where(octaves <= 0, threshold, 0.0)
        self._variance[rows].index_add_(0, row, light.square_())
        weights = octaves.clamp_(min=0).exp2_().mul_(threshold)
        self._total[rows].index_add_(0, row, weights)
        begins = torch.searchsorted(kept, torch.arange(0, len(over), m))
        for sums, value in zip(self._sums, values, strict=True):
            for part, into in zip(value, torch.split(sums[rows], _COLUMNS, dim=1), strict=True):
                into += torch.embedding_bag(
                    part, column, begins, mode=0, per_sample_weights=weights
                )[0]

    def _exactly(self, which: Tensor, index: int) -> Tensor:
        """Return the means of some rows of one value matrix, in one more pass over the keys."""
        keys, value = self._matrices[0], self._matrices[1 + index]
        sums = ExactTiles(
            self._units[which],
            [value.shape[1]],
            scale=self._scale,
            block_rows=self._tiling.block_rows,
        )
        for tile in stream_tiles([keys, value], self._tiling.key_rows, self._units.device):
            sums.add(tile[0], tile[1:])
        return sums.means()[0]
