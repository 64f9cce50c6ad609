"""Training one projector on pseudo-pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from reactions.errors import DataError
from reactions.ops.losses import pairwise_info_nce
from reactions.ops.projector import Projector
from reactions.ops.tensors import load_rows, unit

if TYPE_CHECKING:
    from reactions.graph import Rows


BLOCK_ROWS = 256
WINDOW_ROWS = 1 << 18
"""Rows are shuffled within a window of blocks: at the paper's widths about 2.5 GB."""

_Block: TypeAlias = tuple[int, int, int]
"""(pseudo set, first row, one past the last row)"""


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How a projector is trained.

    Attributes:
        hidden_dim: width of the projector's hidden layer.
        temperature: of InfoNCE.
        learning_rate: Adam's, constant.
        batch_size: rows a step.
        epochs: passes over the subset.
        seed: of initial weights and of the order of rows.
    """

    hidden_dim: int
    temperature: float
    learning_rate: float
    batch_size: int
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class PseudoSet:
    """Pseudo-pairs collected from one anchor; row i of every array belongs together.

    Attributes:
        source: the side that is projected, one (n, d_in) array a modality.
        target: the frozen side, one (n, d_out) array a modality.
    """

    source: Sequence[Rows]
    target: Sequence[Rows]

    def __len__(self) -> int:
        return len(self.source[0])


def fit(
    sets: Sequence[PseudoSet],
    settings: TrainingSettings,
    *,
    device: str | torch.device = "cpu",
    resident: bool = True,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Projector, list[float]]:
    """Train one projector on the union of pseudo sets.

    Args:
        sets: the subset's pseudo sets, all with the same modalities in the same order.
        settings: hyper-parameters.
        device: where to train.
        resident: keep all rows on ``device``; otherwise windows of rows are read from the
            arrays, which may be memory-mapped and larger than memory. Same result.
        progress: called with (steps done, steps in all).

    Returns:
        The projector in eval mode, and the mean loss of each epoch in nats.

    Raises:
        DataError: fewer than two rows (batch norm needs two), or the loss is not finite.

    Source: Molecule-Space, section 3.2.2, eq. 7 and 8; settings of section 4.1.
    """
    pool = _Pool(sets, device if resident else None)
    batch_size = min(settings.batch_size, pool.n)
    if batch_size < 2:
        raise DataError(f"{pool.n} pseudo-pairs are too few to train on", why="batch norm needs 2")
    projector = Projector(pool.source_dim, pool.target_dim, settings.hidden_dim, seed=settings.seed)
    projector.to(device).train()
    optimiser = torch.optim.Adam(projector.parameters(), lr=settings.learning_rate, fused=True)
    generator = torch.Generator().manual_seed(settings.seed)
    total = settings.epochs * (pool.n // batch_size)  # an upper bound when there are windows
    history: list[float] = []
    done = 0
    for _ in range(settings.epochs):
        losses = []
        for x, y in pool.batches(batch_size, generator, device):
            outputs = projector(x.flatten(0, 1)).view(len(x), batch_size, -1)
            loss = pairwise_info_nce(outputs, y, temperature=settings.temperature)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimiser.step()
            losses.append(loss.detach())
            done += 1
            progress(done, total)
        history.append(float(torch.stack(losses).mean()))
        if not np.isfinite(history[-1]):
            raise DataError("training diverged: the loss is not finite", epoch=len(history))
    return projector.eval(), history


class _Pool:
    """The rows of several pseudo sets as one shuffled stream of batches.

    Rows are shuffled as large corpora are: blocks of contiguous rows in random order, then
    row by row within a window of blocks. A pool no larger than a window is shuffled fully.
    The order does not depend on whether the rows are resident, so neither does the result.
    """

    def __init__(self, sets: Sequence[PseudoSet], device: str | torch.device | None) -> None:
        self._sets = sets
        self.n = sum(len(pseudo) for pseudo in sets)
        self.source_dim = sets[0].source[0].shape[1]
        self.target_dim = sets[0].target[0].shape[1]
        self._blocks = [
            (which, start, min(len(pseudo), start + BLOCK_ROWS))
            for which, pseudo in enumerate(sets)
            for start in range(0, len(pseudo), BLOCK_ROWS)
        ]
        self._resident = None if device is None else self._load(self._blocks, device)

    def batches(
        self, batch_size: int, generator: torch.Generator, device: str | torch.device
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield (modalities, batch_size, dim) unit rows of both sides, for one epoch.

        A window's rows left over by whole batches are dropped; they differ every epoch.
        """
        shuffled = torch.randperm(len(self._blocks), generator=generator)
        for chosen in torch.split(shuffled, WINDOW_ROWS // BLOCK_ROWS):
            blocks = [self._blocks[i] for i in chosen.tolist()]
            rows = sum(stop - start for _, start, stop in blocks)
            order = torch.randperm(rows, generator=generator)
            if self._resident is None:
                source, target = self._load(blocks, device)
            else:
                source, target = self._resident
                order = self._places(blocks)[order]
            order = order.to(source.device)
            for batch in torch.split(order[: rows - rows % batch_size], batch_size):
                yield (
                    source[batch].transpose(0, 1).contiguous(),
                    target[batch].transpose(0, 1).contiguous(),
                )

    def _places(self, blocks: Sequence[_Block]) -> Tensor:
        """Return where the rows of ``blocks`` lie in the resident tensors."""
        firsts = np.cumsum([0] + [len(pseudo) for pseudo in self._sets])
        return torch.cat(
            [torch.arange(start, stop) + int(firsts[which]) for which, start, stop in blocks]
        )

    def _load(self, blocks: Sequence[_Block], device: str | torch.device) -> tuple[Tensor, Tensor]:
        """Copy blocks to the device: (rows, modalities, dim) float32 unit rows a side.

        Rows are outermost, so that one gather fetches all modalities of a pseudo-pair.
        """
        rows = sum(stop - start for _, start, stop in blocks)
        sides = []
        for side, dim in (("source", self.source_dim), ("target", self.target_dim)):
            modalities = len(getattr(self._sets[0], side))
            table = torch.empty((rows, modalities, dim), device=device)
            place = 0
            for which, start, stop in blocks:
                for index, array in enumerate(getattr(self._sets[which], side)):
                    part = load_rows(array, start, stop, device)
                    table[place : place + stop - start, index] = unit(part)
                place += stop - start
            sides.append(table)
        return sides[0], sides[1]
