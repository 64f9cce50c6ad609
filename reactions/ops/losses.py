"""InfoNCE: the plain definition, and the gradient that training takes, written out by hand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from reactions.core.errors import DimensionMismatch
from reactions.ops.kernels.choice import computed
from reactions.ops.kernels.operations import EXPONENTIALS, LOGIT_GRADIENTS
from reactions.ops.tensors import unit

_LOG2_E = math.log2(math.e)
_LN_2 = math.log(2.0)

MIN_DIRECT_TEMPERATURE = 1 / 75
"""Down to here exp2(log2(e) * cosine / temperature) and its sums over a batch of up to
65,536 rows stay within the exponent range of fp32, and of bf16, without subtracting a maximum."""

TILE_BYTES = {"cpu": 8 << 20, "cuda": 256 << 20}
"""Logits worked on at a time. On CPUs they then stay in the cache between one operation and
the next (measured: 10% of a step at 4,096 rows); on GPUs more launches would cost more."""


def info_nce(x: Tensor, y: Tensor, *, temperature: float) -> Tensor:
    """InfoNCE over matched rows, mean of both directions.

    Args:
        x: (n, d) float, unit-norm rows; row i pairs with row i of y.
        y: (n, d) float, unit-norm rows.
        temperature: > 0; logits are x @ y.T / temperature.

    Returns:
        () float, nats.

    Raises:
        DimensionMismatch: x and y differ in shape.

    Source: Molecule-Space, the info(., .) of eq. 7 and 8.
    """
    if x.shape != y.shape:
        raise DimensionMismatch(f"info_nce of {tuple(x.shape)} and {tuple(y.shape)}")
    logits = x @ y.T / temperature
    rows = logits.logsumexp(dim=1)
    columns = logits.logsumexp(dim=0)
    return (0.5 * (rows + columns) - logits.diagonal()).mean()


def pairwise_info_nce(projected: Tensor, targets: Tensor, *, temperature: float) -> Tensor:
    """Sum of InfoNCE over every (projected, target) pair of modalities.

    Args:
        projected: (s, n, d) float, unit-norm rows: s modalities out of the projector.
        targets: (t, n, d) float, unit-norm rows: t modalities of the frozen side.
        temperature: > 0.

    Returns:
        () float, nats: the sum of s * t terms.

    Raises:
        DimensionMismatch: the trailing shapes differ.

    Source: Molecule-Space, eq. 7 (displacement) and eq. 8 (combination). Equation 8 writes
    an image feature of the audio-text expert, which cannot exist: read as its audio feature.
    """
    if projected.shape[1:] != targets.shape[1:]:
        raise DimensionMismatch(f"losses of {tuple(projected.shape)} and {tuple(targets.shape)}")
    terms = [info_nce(x, y, temperature=temperature) for x in projected for y in targets]
    return torch.stack(terms).sum()


class InfoNCEGradient:
    """``pairwise_info_nce`` of rows scaled to unit norm, and its gradient, in tiles.

    Each logit is computed once for both directions and all pairs, exponentiated once, in
    place, and turned into its own gradient, in place: with E = exp(logit), row and column
    sums r and c,

        d loss / d logit = (E / r + E / c - 2 [matched]) / (2 n)

    Products and tiles are of ``dtype``; sums, norms, the loss and the gradients of matched
    logits are float32. bfloat16 rounds logits near 1/temperature by up to 0.17 nats. That is
    harmless here, unlike in retrieval: n weights a row are rounded independently, and the
    error of the gradient stays a thirtieth of what the choice of the batch makes.

    Args:
        sources: modalities out of the projector.
        targets: modalities of the frozen side.
        n: rows a modality in a batch.
        dim: width of both sides.
        temperature: of InfoNCE.
        dtype: of rows and products: float32 or bfloat16.
        device: where rows are.
        tile_bytes: logits worked on at a time; by default what suits the device.
    """

    def __init__(
        self,
        sources: int,
        targets: int,
        n: int,
        dim: int,
        *,
        temperature: float,
        dtype: torch.dtype,
        device: str | torch.device,
        tile_bytes: int | None = None,
    ) -> None:
        self._shape = sources, targets, n, dim
        self._temperature = temperature
        device = torch.device(device)
        tile_bytes = tile_bytes or TILE_BYTES.get(device.type, TILE_BYTES["cuda"])
        self._tiles = list(_tiles(sources, n, tile_bytes // (targets * n * dtype.itemsize)))
        tallest = max(flat.stop - flat.start for _, _, flat in self._tiles)
        self._queries = torch.empty((sources * n, dim), dtype=dtype, device=device)
        self._norms = torch.empty((sources * n, 1), device=device)
        self._weights = torch.empty((sources * n, targets * n), dtype=dtype, device=device)
        self._factors = torch.empty((tallest, targets * n), dtype=dtype, device=device)
        self._gradient = torch.empty((sources * n, dim), dtype=dtype, device=device)

    def gradient(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and its gradient with respect to the rows before scaling.

        Args:
            rows: (sources * n, dim), any norm, modality by modality. Used up: overwritten.
            targets: (targets, n, dim) unit-norm rows.

        Returns:
            () float32, nats; and (sources * n, dim), valid until the next call.
        """
        if self._temperature < MIN_DIRECT_TEMPERATURE:
            return self._stable(rows, targets)
        s, t, n, dim = self._shape
        keys = targets.reshape(t * n, dim)
        # Sums over the others of a row and of a column, and base-2 logits of the matched.
        others_in_row, others_in_column, matched = torch.zeros((3, s, t, n), device=rows.device)
        for modalities, inside, flat in self._tiles:
            norms = self._norms[flat]
            z = rows[flat].float()
            torch.linalg.vector_norm(z, dim=1, keepdim=True, out=norms)
            # log2(e) is folded in: exp2 costs a tenth of exp on CPUs.
            z.mul_(_LOG2_E / self._temperature / norms.clamp_min_(1e-12))
            self._queries[flat] = z
            weights = self._weights[flat]
            torch.mm(self._queries[flat], keys.T, out=weights)
            tile = computed(EXPONENTIALS, weights, t, n, inside.start)
            matched[modalities, :, inside], others_in_row[modalities, :, inside], columns = tile
            others_in_column[modalities] += columns
        weight = matched.exp2()
        row_sums, column_sums = others_in_row + weight, others_in_column + weight
        nats = 0.5 * (row_sums.log2().sum() + column_sums.log2().sum()) - matched.sum()
        # E / r + E / c - 2, without the difference of nearly equal numbers.
        on_match = -(others_in_row / row_sums + others_in_column / column_sums)
        dtype = self._weights.dtype
        per_row = row_sums.reciprocal_().transpose(1, 2).to(dtype)
        self._backward(keys, per_row, column_sums.reciprocal_().to(dtype), on_match.to(dtype))
        return nats * (_LN_2 / n), self._gradient

    def _backward(self, keys: Tensor, per_row: Tensor, per_column: Tensor, match: Tensor) -> None:
        """Turn weights into the gradient of rows, given (s, n, t), (s, t, n) and (s, t, n)."""
        n = self._shape[2]
        scale = 0.5 / (n * self._temperature)
        for modalities, inside, flat in self._tiles:
            weights = self._weights[flat]
            computed(
                LOGIT_GRADIENTS,
                weights,
                per_row[modalities, inside],
                per_column[modalities],
                match[modalities, :, inside],
                inside.start,
                self._factors[: len(weights)],
            )
            gradient = torch.mm(weights, keys, out=self._gradient[flat]).float()
            # The unit rows again: the queries are these times log2(e) / temperature.
            z = self._queries[flat].float().mul_(self._temperature / _LOG2_E)
            # Back through x / |x|: what points along the row drops out, the rest is divided by |x|.
            radial = (gradient * z).sum(dim=1, keepdim=True)
            gradient.addcmul_(z, radial, value=-1.0).mul_(scale / self._norms[flat])
            self._gradient[flat] = gradient

    def _stable(self, rows: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Do the same in float32 with maxima subtracted, where exp2 could overflow."""
        s, _, n, dim = self._shape
        leaf = rows.float().requires_grad_()
        with torch.enable_grad():
            projected = unit(leaf).view(s, n, dim)
            loss = pairwise_info_nce(projected, targets.float(), temperature=self._temperature)
        (gradient,) = torch.autograd.grad(loss, leaf)
        return loss.detach(), self._gradient.copy_(gradient)


def _tiles(sources: int, n: int, rows: int) -> list[tuple[slice, slice, slice]]:
    """Cut (sources, n) rows into tiles: all of them if they are few, else parts of a modality.

    Returns:
        (modalities, rows within the modality, rows in all) of each tile.
    """
    if rows >= sources * n:
        return [(slice(0, sources), slice(0, n), slice(0, sources * n))]
    rows = max(64, rows)  # products of fewer rows are slow
    return [
        (slice(m, m + 1), slice(i, min(n, i + rows)), slice(m * n + i, m * n + min(n, i + rows)))
        for m in range(sources)
        for i in range(0, n, rows)
    ]
