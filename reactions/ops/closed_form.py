"""Maps between spaces that are solved for, not trained: one matrix, and a mean a modality."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor

from reactions.core.errors import DataError, UsageError
from reactions.core.types import Modality
from reactions.ops.architectures import map_shapes
from reactions.ops.precision import full_float32
from reactions.ops.recipes import recipe_of
from reactions.ops.tensors import unit

if TYPE_CHECKING:
    from reactions.core.step import Rows
    from reactions.ops.pairs import PseudoSet

TILE_ROWS = 8192
"""Rows read at once: what bounds memory."""


@dataclass(frozen=True)
class AffineMap:
    """Takes a modality's mean off, turns, and puts on the mean that it has in the other space.

    Attributes:
        name: of the two spaces, for messages.
        modalities: of the mapped space, sorted.
        matrix: (in_dim, out_dim) float32.
        source: (modalities, in_dim) float32, their means in the mapped space.
        target: (modalities, out_dim) float32, those in the other one.
        known: (modalities,) float32: 1 where a modality had pairs, 0 where its means are zeros.
    """

    name: str
    modalities: tuple[Modality, ...]
    matrix: Tensor
    source: Tensor
    target: Tensor
    known: Tensor

    def apply(self, modality: Modality, rows: Tensor) -> Tensor:
        """Map (n, in_dim) unit-norm rows of one modality to (n, out_dim) unit-norm rows.

        Raises:
            UsageError: the modality had no pairs.
        """
        place = self.modalities.index(modality)
        if not self._known[place]:
            raise UsageError(
                f"{self.name} has no map for {modality}",
                why=f"it was fitted in closed form, on pseudo-pairs without {modality}",
                fix=f"a {modality} corpus in the lab file, or another recipe",
            )
        with full_float32():
            return unit((rows - self.source[place]) @ self.matrix + self.target[place])

    @cached_property
    def _known(self) -> tuple[bool, ...]:
        # Read once: a tensor's value waits for its device, and cannot be traced for an export.
        return tuple(map(bool, self.known))

    def state(self) -> dict[str, Tensor]:
        """Return the tensors of ``map_shapes``, on the CPU."""
        tensors = (self.matrix, self.source, self.target, self.known)
        names = map_shapes(0, 0, 0)
        return {name: tensor.cpu() for name, tensor in zip(names, tensors, strict=True)}

    @classmethod
    def load(
        cls,
        name: str,
        modalities: Sequence[Modality],
        state: Mapping[str, Tensor],
        device: str | torch.device = "cpu",
    ) -> Self:
        """Rebuild a map from what ``state`` returned.

        Raises:
            KeyError: a tensor is missing.
        """
        tensors = [state[name].float().to(device) for name in map_shapes(0, 0, 0)]
        return cls(name, tuple(modalities), *tensors)


@dataclass(frozen=True, slots=True)
class Moments:
    """What closed forms are solved from: sums over pseudo-pairs, in float64.

    Attributes:
        n: pseudo-pairs.
        source: (sources, in_dim) mean of each modality that is mapped.
        target: (targets, out_dim) mean of each modality of the other side.
        cross: (in_dim, out_dim) centred cross-covariance of the modalities that both sides have,
            summed over rows and modalities.
    """

    n: int
    source: Tensor
    target: Tensor
    cross: Tensor


def moments(
    sets: Sequence[PseudoSet],
    shared: Sequence[tuple[int, int]],
    *,
    device: str | torch.device = "cpu",
    tile_rows: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Moments:
    """Add up pseudo-pairs tile by tile: memory does not grow with their number.

    Args:
        sets: of each anchor, with the same modalities in the same order.
        shared: (place among the sources, place among the targets) of modalities that both have.
        device: where to add.
        tile_rows: rows at once; ``TILE_ROWS`` by default.
        progress: called with (rows done, rows in all).
    """
    tile_rows = tile_rows or TILE_ROWS
    n, done = sum(map(len, sets)), 0
    sums: list[Tensor] = [
        torch.zeros(len(side), side[0].shape[1], dtype=torch.float64, device=device)
        for side in (sets[0].source, sets[0].target)
    ]
    in_dim, out_dim = (side[0].shape[1] for side in (sets[0].source, sets[0].target))
    cross = torch.zeros(in_dim, out_dim, dtype=torch.float64, device=device)
    for pairs in sets:
        for first in range(0, len(pairs), tile_rows):
            last = min(len(pairs), first + tile_rows)
            tiles = [
                [_unit_rows(rows, first, last, device) for rows in side]
                for side in (pairs.source, pairs.target)
            ]
            for total, side in zip(sums, tiles, strict=True):
                total += torch.stack([rows.sum(dim=0) for rows in side])
            for i, j in shared:
                cross += tiles[0][i].T @ tiles[1][j]
            done += last - first
            progress(done, n)
    source, target = (total / max(n, 1) for total in sums)
    for i, j in shared:
        cross -= n * torch.outer(source[i], target[j])
    return Moments(n, source, target, cross)


def _unit_rows(rows: Rows, start: int, stop: int, device: str | torch.device) -> Tensor:
    """Return stored rows as unit-norm float64: half precision left them a little off."""
    return unit(torch.from_numpy(np.array(rows[start:stop], np.float64)).to(device))


def fit_map(
    sets: Sequence[PseudoSet],
    sources: Sequence[Modality],
    targets: Sequence[Modality],
    *,
    recipe: str,
    name: str,
    modalities: Sequence[Modality],
    device: str | torch.device = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[AffineMap, Moments, int]:
    """Fit a map in closed form: no seed, no order of rows, no steps.

    The matrix comes from the modalities that both sides have. Each modality moves from its own mean
    to the mean of its pseudo-pairs on the other side: where that has the modality, to its mean;
    where it has not (sounds, displaced by a space of pictures and texts), to the mean of all that
    they are paired with there, every modality counting the same.

    Args:
        sets: pseudo-pairs of each anchor.
        sources: modalities of their source side, the one that is mapped.
        targets: modalities of their target side.
        recipe: whose closed form.
        name: of the two spaces.
        modalities: of the mapped space, whether they have pairs or not.
        device: where to compute.
        progress: called with (rows done, rows in all).

    Returns:
        The map, the moments it was solved from, and the rank of its matrix.

    Raises:
        DataError: the pairs fix no direction.

    Source: Canonicalizing Multimodal Contrastive Representations (arXiv 2602.17584), with
    retrieved pairs in the place of real ones, and for modalities that only one side has.
    """
    shared = [(i, targets.index(m)) for i, m in enumerate(sources) if m in targets]
    with full_float32():
        pair_moments = moments(sets, shared, device=device, progress=progress)
        matrix, rank = recipe_of(recipe).solve(pair_moments.cross)
    if not rank:
        raise DataError(
            f"{pair_moments.n} pseudo-pairs are too few to fit {name} on",
            why="less their means, nothing is left of them",
        )
    means = [matrix.new_zeros(len(modalities), width) for width in matrix.shape]
    has_pairs = matrix.new_zeros(len(modalities))
    for i, modality in enumerate(sources):
        place = modalities.index(modality)
        shared_target = dict(shared).get(i)
        means[0][place] = pair_moments.source[i]
        means[1][place] = (
            pair_moments.target.mean(dim=0)
            if shared_target is None
            else pair_moments.target[shared_target]
        )
        has_pairs[place] = 1.0
    tensors = [tensor.float() for tensor in (matrix, *means, has_pairs)]
    return AffineMap(name, tuple(modalities), *tensors), pair_moments, rank
