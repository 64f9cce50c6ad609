"""Soft retrieval on CPUs without 16-bit products: keys that weigh little are drawn, not summed."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor

from reactions.ops.retrieval_exact import ExactTiles
from reactions.ops.row_sums import RowSums, sum_up
from reactions.ops.tensors import scratch, unit, unit_into
from reactions.ops.tiles import SAMPLE_RUNS, Matrix, Tiling, sampled_rows

logger = logging.getLogger("reactions.kernels")  # which ``-v`` shows

_LN_2 = math.log(2.0)

COLUMN_ERROR, ROW_ERROR = 3e-3, 5e-3
"""Bounds of the expected relative error of a column and of a single row, kept whatever the data
are: rows that may be further off are computed exactly."""

_AIM = 2.4e-3
"""The error of a column that thresholds aim at."""

_SHARES = [2.0**-octave for octave in range(10, 21)]
"""Thresholds to choose from, as shares of a row's total weight."""

_MOST = 2.0**-8
"""And no more than this share of the weight that is known to be there."""

_ALONE = 0.95
"""Where single keys have so much of a sample's weight, it does not say how alike keys are."""

_COLUMNS = 128
"""Of values that are added at a time: those of a tile of keys stay in a core's own cache."""

_MIN_KEYS, _MIN_QUERIES = 1 << 12, 1 << 8
"""Fewer, and what is prepared for each is more than what is saved."""

_PILOT_ROWS = 128

_REACH = 30.0
"""Octaves that a weight may lie above a row's unit before the unit moves: squares of the sums of a
billion such weights do not overflow."""

_SAMPLE_SHARE = 16
"""Of so many keys about one at most is compared with all queries beforehand."""

_FINDING, _KEPT, _KEPT_COLUMN = 112.0, 1200.0, 2.0
"""What it takes to find the keys to keep, a pair; to keep one; and to add a column of its value: in
columns of the whole product, measured with AVX2."""

_FIXED = 0.3
"""What is prepared costs so much of the whole product where queries or keys are fewest."""

_SEED = 0


def share_that_pays(queries: Matrix, keys: Matrix, *, scale: float) -> float | None:
    """Return the threshold for ``SampledTiles``; None where the whole product takes less time.

    Samples of queries and keys say how many keys would be kept.

    Args:
        queries: all of a retrieval.
        keys: likewise.
        scale: log2(e) / temperature.
    """
    # Judged for values as wide as keys: a value's result must not depend on the others.
    n, (m, width) = len(queries), keys.shape
    if m < _MIN_KEYS or n < _MIN_QUERIES or width <= _FINDING:
        return None
    cpu = torch.device("cpu")
    some, few = unit(sampled_rows(queries, cpu)), unit(sampled_rows(keys, cpu))
    logits = (some[:: max(1, len(some) // _PILOT_ROWS)] * scale) @ few.T
    shares = torch.softmax(logits * _LN_2, dim=1)
    alike = m / len(few)  # keys that one of the sample stands for
    most = _AIM**2 * _squared_norm(shares, few, alike)
    for share in _SHARES:
        light = torch.where(shares < share * alike, shares, 0.0).sum(dim=1).mean()
        if share * float(light) <= most:
            break
    density = float((shares / (share * alike)).clamp_(max=1.0).mean())
    whole = 1 - _FIXED * max(_MIN_QUERIES / n, _MIN_KEYS / m)
    if density * _keeping(width) + _FINDING / width >= whole:
        return None
    logger.info(
        "soft retrieval of %d from %d: keys below %.1e of a row's weight are drawn", n, m, share
    )
    return share


def _keeping(width: int) -> float:
    """Return what it takes to keep a key, relative to its share of the whole product."""
    return _KEPT / width + _KEPT_COLUMN


def _squared_norm(weights: Tensor, few: Tensor, alike: float) -> float:
    """Estimate the mean squared norm of the means of all keys, from a sample of them.

    Pairs of different keys have it right; a key paired with itself has weight in the sample that
    it shares with others among all. Of noise, nothing else is left.

    Args:
        weights: (n, k) of a sample of queries and of keys, which sum to one.
        few: (k, d) unit rows.
        alike: keys that one of the sample stands for.
    """
    alone = weights.square().sum(dim=1).mean()
    others = (weights @ few).square().sum(dim=1).mean() - alone
    between = float(others / (1 - alone)) if alone < _ALONE else 1.0
    return max(0.0, between) + max(0.0, 1 - between) * float(alone) / alike


class SampledTiles(RowSums):
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

    The threshold of a row is a share of its total weight, as a sample of the keys shows it or, if
    that is more, the tiles so far; so the order of the keys matters little. The error is counted as
    it is added (see ``means``), and rows that may be too far off, because the sample misled the
    threshold or their mean is nearly zero, are computed once more, exactly.

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
        n, m = len(queries), len(keys)
        super().__init__(queries, n, [value.shape[1] for value in values])
        self._rows, self._matrices = queries, (keys, *values)
        self._share, self._scale, self._tiling = share, scale, tiling
        # Not by the values' widths: a value's result must not depend on the others.
        self._keeping = _keeping(queries.shape[1])
        # [q, -log2 t, -1] . [k, 1, log2 u] is positive where w > t u, for u uniform in (0, 1).
        self._queries = torch.cat(
            [queries * scale, queries.new_zeros(n, 1), -queries.new_ones(n, 1)], dim=1
        )
        drawn = torch.rand(m, generator=torch.Generator().manual_seed(_SEED))
        self._drawn = drawn.clamp_(min=2.0**-24).log2_()
        # Weights are held relative to 2^unit: at first, the weight of a sample of the keys.
        few = unit(sampled_rows(keys, queries.device))
        few = few[:: 1 << max(0, (_SAMPLE_SHARE * len(few) // m).bit_length() - 1)]
        self.unit, self._guess = self._weights_of(few, m / len(few))
        self._prepare()

    def another(self) -> Self:
        """Return the same without a tile yet, for another thread."""
        other = super().another()
        other._queries = self._queries.clone()  # which hold the thresholds
        other._prepare()
        return other

    def _prepare(self) -> None:
        none = self.unit.new_empty(0)
        self._products, self._converts = none, [none for _ in range(2 + len(self.sums))]
        self._is_finite = True
        self._sampled = torch.ones_like(self.unit)
        self._threshold = torch.zeros_like(self.unit)
        self._largest = torch.zeros_like(self.unit)
        self._variance = torch.zeros_like(self.unit)

    def add(self, first: int, keys: Tensor, values: Sequence[Tensor]) -> None:
        """Take one tile in."""
        drawn = self._drawn[first : first + len(keys)]
        k, v = self._converted(keys, values)
        k[:, -2], k[:, -1] = 1, drawn
        self._move_thresholds()
        for start in range(0, len(self._queries), self._tiling.block_rows):
            rows = slice(start, start + self._tiling.block_rows)
            queries = self._queries[rows]
            self._products, over = scratch(self._products, len(queries), len(k))
            torch.mm(queries, k.T, out=over)
            is_kept = over > 0
            # A sample may mislead thresholds: where most keys would be kept, to add them one by one
            # takes longer than the whole product.
            if int(is_kept.count_nonzero()) * self._keeping > over.numel():
                self._add_whole(rows, over, drawn, v)
            else:
                self._add_kept(rows, over.view(-1), is_kept.view(-1), drawn, v)

    def move(self, rows: slice | Tensor, unit: Tensor) -> Tensor:
        """Hold rows relative to other units."""
        by = super().move(rows, unit)
        for held in (self._sampled, self._largest):
            held[rows] *= by
        self._variance[rows] *= by.square()
        return by

    def merge(self, other: Self) -> None:
        """Take in what another thread has summed; it is spent."""
        super().merge(other)
        # Each key is drawn by itself, so variances add up.
        self._variance += other._variance
        self._largest = torch.maximum(self._largest, other._largest)
        self._is_finite &= other._is_finite

    def means(self) -> list[Tensor]:
        """Return the weighted means."""
        means = super().means()
        # Three more draws of the largest threshold stand for the chance that few have been made.
        error = torch.hypot(self._variance.sqrt(), math.sqrt(3) * self._largest) / self.total
        if not self._is_finite:
            error.fill_(torch.nan)
        for index, mean in enumerate(means):
            row_error = error / torch.linalg.vector_norm(mean, dim=1)
            column_error = float(row_error.square().mean().sqrt())
            # Negated, so that NaN counts as off.
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
        norms = [unit_into(k[:, :dim], keys)]
        cut = []
        for index, value in enumerate(values, 2):
            if value is keys:
                rows = k[:, :dim]
            else:
                memory[1], rows = scratch(memory[1], *value.shape)
                norms.append(unit_into(rows, value))
            memory[index], whole = scratch(memory[index], value.shape[1], m)
            parts = torch.split(rows, _COLUMNS, dim=1)
            places = torch.split(whole, _COLUMNS)  # each of its own memory, without gaps
            cut.append(
                [place.view(m, -1).copy_(part) for place, part in zip(places, parts, strict=True)]
            )
        # NaN is greater than no threshold, and would be left out silently.
        self._is_finite &= all(bool(norm.isfinite().all()) for norm in norms)
        return k, cut

    def _weights_of(self, few: Tensor, alike: float) -> tuple[Tensor, Tensor]:
        """Return what a sample says of the rows' total weights.

        Args:
            few: the sample, in runs.
            alike: keys that one of them stands for.

        Returns:
            The base-2 logarithm of the weight of the sample; and a guess of the weight of all, as
            a multiple of it. The run that weighs most stands for itself alone: where rows are in
            the order of their classes, it may be all that a query has.
        """
        units, guesses = [], []
        run = max(1, len(few) // SAMPLE_RUNS)
        for block in torch.split(self._queries[:, :-2], self._tiling.block_rows):
            logits = torch.mm(block, few.T).mul_(_LN_2)
            runs = [torch.logsumexp(part, dim=1) for part in torch.split(logits, run, dim=1)]
            each = torch.stack(runs)
            whole = torch.logsumexp(each, dim=0)
            top = torch.exp(each.amax(dim=0) - whole)
            units.append(whole / _LN_2)
            guesses.append(alike * (1 - top) + top)
        return torch.cat(units), torch.cat(guesses)

    def _move_thresholds(self) -> None:
        """Set the thresholds for the next tile by what the sample and the tiles before show."""
        threshold = torch.minimum(
            self._share * torch.maximum(self._guess * self._sampled, self.total),
            _MOST * torch.maximum(self._sampled, self.total),
        )
        self._largest = torch.maximum(self._largest, threshold)
        self._threshold = self.unit + threshold.log2()
        self._queries[:, -2] = -self._threshold

    def _add_kept(
        self,
        rows: slice,
        over: Tensor,
        is_kept: Tensor,
        drawn: Tensor,
        values: Sequence[Sequence[Tensor]],
    ) -> None:
        """Add the keys of a tile that count for a block of queries.

        Args:
            rows: the block.
            over: (block * tile,) base-2 logits, less threshold and random number.
            is_kept: (block * tile,) whether a key counts.
            drawn: (tile,) random numbers.
            values: of the tile, unit rows cut into columns.
        """
        m = len(drawn)
        kept = is_kept.nonzero().squeeze(1)
        row, column = kept // m, kept % m
        octaves = over[kept] + drawn[column]  # of the weight above the threshold
        above = self._threshold[rows] - self.unit[rows]
        heights = octaves.clamp(min=0) + above[row]
        if len(heights) and not float(heights.max()) < _REACH:
            tops = torch.zeros_like(above).scatter_reduce_(0, row, heights, "amax")
            moves = self._reach(rows, tops)
            if moves is not None:
                above -= moves
                heights -= moves[row]
        light = torch.where(octaves <= 0, torch.exp2(above)[row], 0.0)
        self._variance[rows].index_add_(0, row, light.square_())
        weights = heights.exp2_()
        self.total[rows].index_add_(0, row, weights)
        begins = torch.searchsorted(kept, torch.arange(0, len(over), m))
        for sums, value in zip(self.sums, values, strict=True):
            for part, into in zip(value, torch.split(sums[rows], _COLUMNS, dim=1), strict=True):
                into += torch.embedding_bag(
                    part, column, begins, mode=0, per_sample_weights=weights
                )[0]

    def _add_whole(
        self, rows: slice, over: Tensor, drawn: Tensor, values: Sequence[Sequence[Tensor]]
    ) -> None:
        """Add all keys of a tile, as they are, for a block of queries.

        Args:
            rows: the block.
            over: (block, tile) base-2 logits, less threshold and random number.
            drawn: (tile,) random numbers.
            values: of the tile, unit rows cut into columns.
        """
        heights = over.add_(drawn).add_((self._threshold[rows] - self.unit[rows]).unsqueeze(1))
        moves = self._reach(rows, heights.amax(dim=1))
        if moves is not None:
            heights -= moves.unsqueeze(1)
        weights = heights.exp2_()
        self.total[rows] += weights.sum(dim=1)
        for sums, value in zip(self.sums, values, strict=True):
            for part, into in zip(value, torch.split(sums[rows], _COLUMNS, dim=1), strict=True):
                into.addmm_(weights, part)

    def _reach(self, rows: slice, tops: Tensor) -> Tensor | None:
        """Move the units of a block that weights lie too far above.

        Args:
            rows: the block.
            tops: (block,) largest octaves of a row's weights above its unit.

        Returns:
            Octaves by which units moved; None if none did.
        """
        if not len(tops) or float(tops.max()) < _REACH:
            return None
        moves = torch.where(tops > _REACH, tops.floor(), 0.0)
        self.move(rows, self.unit[rows] + moves)
        return moves

    def _exactly(self, which: Tensor, index: int) -> Tensor:
        """Return the means of some rows of one value matrix, in one more pass over the keys."""
        keys, value = self._matrices[0], self._matrices[1 + index]
        sums = ExactTiles(
            self._rows[which],
            [value.shape[1]],
            scale=self._scale,
            block_rows=self._tiling.block_rows,
        )
        sum_up(sums, [keys, value], self._tiling, self._rows.device)
        return sums.means()[0]
