"""C-MCR's and Ex-MCR's heads and learning objectives, within a reaction.

Both methods join two spaces of two modalities that share one. Here spaces share several, one
side is frozen, and one head projects every modality of the other. What follows from that:

=========================  ==========================  =======================================
of the papers              C-MCR                       Ex-MCR
=========================  ==========================  =======================================
head                       one for each side: both     Linear from the identity, then two MLPs;
                           meet in a new space. Here   the linear layer for what is not shared,
                           the frozen side has none    the MLPs for all. Here all for all
noise (C-MCR's             unit(x + noise) on the      unit(x + noise): taken to be
"semantic completion")     rows of both sides          as in C-MCR
between the spaces         InfoNCE of the shared with  "dense": InfoNCE of every pair of
                           itself, and of the others   modalities across, their mean
                           with each other: a sum
within a space             distance of matched rows of two modalities, without the repulsion
                           of InfoNCE, which would keep the gap between modalities open: half
                           its mean over rows. The frozen side's is constant, and left out.
                           After the head              After the linear layer, on unit rows, or
                                                       the layer would shrink, unseen by the
                                                       BatchNorm behind it
sum                        between + lambda * within   between + lambda * within
=========================  ==========================  =======================================

The papers build pseudo-pairs in their own way as well; here they are the reaction's, from the
same softmax retrieval. Constants, and how sure they are, lie in ``reactions.ops.architectures``.

Source: C-MCR (Wang et al., 2023, arXiv 2305.14381), sections 3.3 and 3.4; Ex-MCR (arXiv
2310.08884), section 3; Molecule-Space, Table 9. Heads as in both methods' published checkpoints.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from reactions.ops.architectures import CONSTANTS
from reactions.ops.losses import info_nce
from reactions.ops.projector import Head
from reactions.ops.recipe import TrainingJob
from reactions.ops.tensors import unit

Pairs: TypeAlias = Sequence[tuple[int, int]]
"""(place among the modalities projected, place among those of the frozen side)"""


# --- objectives ----------------------------------------------------------------------


def add_noise(x: Tensor, variance: float, generator: torch.Generator) -> Tensor:
    """Return unit(x + noise), with Gaussian noise of a variance on each coordinate.

    Source: C-MCR, "intra-modality semantic completion".
    """
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    return unit(x + math.sqrt(variance) * noise)


def connected(sources: int, targets: int, shared: Pairs) -> list[tuple[int, int]]:
    """Return which modalities C-MCR's inter-space loss brings together.

    A shared modality meets itself, and what only one side has meets what only the other has.
    Where the other has nothing of its own (in C-MCR each side had), it meets all of it.

    Args:
        sources: how many modalities are projected.
        targets: how many the frozen side has.
        shared: places of the modalities that both have.
    """
    source_only = [i for i in range(sources) if all(i != s for s, _ in shared)]
    target_only = [j for j in range(targets) if all(j != t for _, t in shared)]
    if source_only and target_only:
        return [*shared, *itertools.product(source_only, target_only)]
    rest = (source_only, range(targets)) if source_only else (range(sources), target_only)
    return [*shared, *itertools.product(*rest)]


def gap(x: Tensor) -> Tensor:
    """Intra-space alignment: half the mean distance of matched rows, over pairs of modalities.

    Args:
        x: (s, n, d) float, unit-norm rows: s modalities of one space.

    Returns:
        () float: the sum over pairs of modalities; 0 if there is one modality alone.
    """
    pairs = itertools.combinations(x, 2)
    terms = [torch.linalg.vector_norm(a - b, dim=1).mean() / 2 for a, b in pairs]
    return torch.stack(terms).sum() if terms else x.new_zeros(())


def within(head: Head, x: Tensor) -> Tensor:
    """Return the unit rows behind the linear layer of Ex-MCR's head: still in their own space.

    Args:
        head: of ``exmcr``'s layers.
        x: (n, in_dim) unit-norm rows.

    Returns:
        (n, in_dim) unit-norm rows.
    """
    return unit(head.layers[0](x))


def cmcr_loss(projected: Tensor, targets: Tensor, shared: Pairs) -> Tensor:
    """C-MCR's objective.

    Args:
        projected: (s, n, d) float, unit-norm rows out of the head.
        targets: (t, n, d) float, unit-norm rows of the frozen side.
        shared: places of the modalities that both sides have.

    Returns:
        () float, nats and a weighted distance.

    Source: C-MCR, section 3.4: L_inter (the sum of two InfoNCE) + lambda L_intra.
    """
    constants = CONSTANTS["cmcr"]
    between = [
        info_nce(projected[i], targets[j], temperature=constants.temperature)
        for i, j in connected(len(projected), len(targets), shared)
    ]
    return torch.stack(between).sum() + constants.intra_weight * gap(projected)


def exmcr_loss(inside: Tensor, projected: Tensor, targets: Tensor) -> Tensor:
    """Ex-MCR's objective.

    Args:
        inside: (s, n, d_in) float, unit-norm rows behind the head's linear layer.
        projected: (s, n, d) float, unit-norm rows out of the head.
        targets: (t, n, d) float, unit-norm rows of the frozen side.

    Returns:
        () float, nats and a weighted distance.

    Source: Ex-MCR, section 3: the mean of the dense InfoNCE terms (a quarter of four, there)
    + lambda L_intra.
    """
    constants = CONSTANTS["exmcr"]
    between = [
        info_nce(x, y, temperature=constants.temperature)
        for x, y in itertools.product(projected, targets)
    ]
    return torch.stack(between).mean() + constants.intra_weight * gap(inside)


class McrTrainer:
    """A head, its objective and Adam, in plain float32; the paper's has ``ProjectorTrainer``.

    Args:
        head: in train mode, on the device.
        recipe: ``cmcr`` or ``exmcr``.
        shared: places of the modalities that both sides have.
        learning_rate: Adam's.
        seed: of the noise, which is drawn on the device: the same on the same kind of device.
    """

    def __init__(
        self, head: Head, recipe: str, shared: Pairs, *, learning_rate: float, seed: int
    ) -> None:
        self._head, self._recipe, self._shared = head, recipe, shared
        self._variance = CONSTANTS[recipe].noise_variance
        device = next(head.parameters()).device
        self._generator = torch.Generator(device).manual_seed(seed)
        self._adam = torch.optim.Adam(head.parameters(), lr=learning_rate)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """Update the head on one batch and return the loss before the update.

        Args:
            x: (sources, n, in_dim), unit-norm rows.
            y: (targets, n, out_dim), unit-norm rows.

        Returns:
            () float32, on the device.
        """
        x, y = (add_noise(side.float(), self._variance, self._generator) for side in (x, y))
        loss = self._loss(x, y)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        return loss.detach()

    def _loss(self, x: Tensor, y: Tensor) -> Tensor:
        # All modalities' rows go through together: see Head.forward.
        rows, (sources, n, _) = x.flatten(0, 1), x.shape
        projected = self._head(rows).view(sources, n, -1)
        if self._recipe == "exmcr":
            # The linear layer runs a second time: a head only returns what leaves its last layer.
            return exmcr_loss(within(self._head, rows).view(x.shape), projected, y)
        return cmcr_loss(projected, y, self._shared)


def trainer(head: Head, job: TrainingJob) -> McrTrainer:
    """Return the trainer of ``cmcr`` and ``exmcr``; see ``recipe.Recipe``."""
    settings = job.settings
    return McrTrainer(
        head, job.recipe, job.shared, learning_rate=settings.learning_rate, seed=settings.seed
    )
