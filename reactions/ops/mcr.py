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
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from reactions.core.errors import DataError
from reactions.ops.architectures import CONSTANTS, EXPANSION, layers
from reactions.ops.losses import info_nce
from reactions.ops.projector import COUNTER, Head, Projector
from reactions.ops.tensors import unit

Pairs: TypeAlias = Sequence[tuple[int, int]]
"""(place among the modalities projected, place among those of the frozen side)"""


class ExtendingHead(Head):
    """Ex-MCR's head: Linear, then twice Linear - BatchNorm - ReLU - Linear - BatchNorm, then L2.

    The first layer starts as the identity; the second MLP changes the width.

    Args:
        in_dim: width of the space that is projected.
        out_dim: width of the space it is projected into.
        seed: of the Xavier-uniform weights of the MLPs; biases start at zero.
    """

    def __init__(self, in_dim: int, out_dim: int, *, seed: int = 0) -> None:
        super().__init__(layers("exmcr", in_dim, out_dim, 0), seed=seed)

    def within(self, x: Tensor) -> Tensor:
        """Return the (n, in_dim) unit rows behind the linear layer: still in their own space."""
        return unit(self.layers[0](x))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> ExtendingHead:
        """Rebuild a head, in eval mode, from what ``state`` returned.

        Raises:
            KeyError: a tensor is missing.
            RuntimeError: a tensor has a wrong shape or is unexpected.
        """
        return cls(state["0.weight"].shape[1], state["9.weight"].shape[0]).load(state)


def head_class(recipe: str) -> type[Projector] | type[ExtendingHead]:
    """Return the class that rebuilds a recipe's heads. C-MCR's differ from ours in width alone."""
    return ExtendingHead if recipe == "exmcr" else Projector


def make_head(recipe: str, in_dim: int, out_dim: int, *, seed: int = 0) -> Head:
    """Return an untrained head of C-MCR's or Ex-MCR's."""
    if recipe == "exmcr":
        return ExtendingHead(in_dim, out_dim, seed=seed)
    return Projector(in_dim, out_dim, EXPANSION * in_dim, seed=seed)


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
    own = [i for i in range(sources) if all(i != s for s, _ in shared)]
    foreign = [j for j in range(targets) if all(j != t for _, t in shared)]
    if own and foreign:
        return [*shared, *itertools.product(own, foreign)]
    rest = (own, range(targets)) if own else (range(sources), foreign)
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


def exmcr_loss(within: Tensor, projected: Tensor, targets: Tensor) -> Tensor:
    """Ex-MCR's objective.

    Args:
        within: (s, n, d_in) float, unit-norm rows behind the head's linear layer.
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
    return torch.stack(between).mean() + constants.intra_weight * gap(within)


class McrTrainer:
    """A head, its objective and Adam, in plain float32: what ``Trainer`` is for the paper's.

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
        self._head, self._shared = head, shared
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
        if isinstance(self._head, ExtendingHead):
            return exmcr_loss(self._head.within(rows).view(x.shape), projected, y)
        return cmcr_loss(projected, y, self._shared)


# --- published checkpoints -----------------------------------------------------------

_MLP = {"net1.0": 0, "net1.1": 1, "net2.0": 3, "net2.1": 4}
"""A published MLP's layers to their places in ours."""

_LINEAR = ("weight", "bias")
_NORM = (*_LINEAR, "running_mean", "running_var")


def _names(prefix: str, first: int = 0) -> dict[str, str]:
    """Return published name to ours for one MLP whose layers start at ``first``."""
    return {
        f"{prefix}.{layer}.{tensor}": f"{first + place}.{tensor}"
        for layer, place in _MLP.items()
        for tensor in (_LINEAR if layer.endswith("0") else _NORM)
    }


PUBLISHED: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "cmcr": {name: _names(name) for name in ("Head_A", "Head_B")},
    "exmcr": {
        "Head": {
            **{f"Head1.{tensor}": f"0.{tensor}" for tensor in _LINEAR},
            **_names("Head2.mlp1", 1),
            **_names("Head2.mlp2", 6),
        }
    },
}
"""Recipe and head to published tensor name and ours. C-MCR's two heads project the two spaces it
connects: in its CLAP-CLIP checkpoint Head_A is CLAP's and Head_B CLIP's. (Its ULIP-CLIP heads are
half MLPs, and refused.)"""


def from_published(recipe: str, state: Mapping[str, Tensor]) -> dict[str, Head]:
    """Rebuild the heads of a published checkpoint, in eval mode.

    Args:
        recipe: ``cmcr`` or ``exmcr``.
        state: the checkpoint's tensors by their published names.

    Returns:
        ``Head_A`` and ``Head_B``, or ``Head``: published Head1 and Head2 in one.

    Raises:
        DataError: a tensor is missing, unexpected, or of a wrong shape.
    """
    known = {name for names in PUBLISHED[recipe].values() for name in names}
    found = {name for name in state if not name.endswith(COUNTER)}
    if found != known:
        missing, unexpected = sorted(known - found), sorted(found - known)
        raise DataError(
            f"these are not the tensors of a published {recipe} checkpoint",
            why=f"missing: {', '.join(missing[:3]) or 'none'}; "
            f"unexpected: {', '.join(unexpected[:3]) or 'none'}",
            missing=missing,
            unexpected=unexpected,
        )
    heads: dict[str, Head] = {}
    for head, names in PUBLISHED[recipe].items():
        try:
            own = {name: state[published].float() for published, name in names.items()}
            heads[head] = head_class(recipe).from_state(own)
        except (RuntimeError, ValueError, IndexError) as error:
            raise DataError(
                f"the published {recipe} checkpoint's {head} does not fit together",
                why=" ".join(str(error).split()),
            ) from None
    return heads
