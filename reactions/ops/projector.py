"""Projectors: the only thing a reaction trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from reactions.ops.architectures import Layer, paper_layers
from reactions.ops.tensors import unit

COUNTER = "num_batches_tracked"
"""Name of a tensor of BatchNorm's that heads do without."""


class Head(nn.Module):
    """A projector by its layers; one head serves all modalities.

    Attributes:
        layers: of the head. Their numbers name its tensors.
    """

    def __init__(self, plan: Sequence[Layer], *, seed: int = 0) -> None:
        """Make the layers of a plan, with Xavier-uniform weights and biases of zero.

        Args:
            plan: at least one linear layer.
            seed: of the weights.
        """
        super().__init__()
        modules: list[nn.Module] = []
        for layer in plan:
            modules.append(nn.Linear(layer.n_in, layer.n_out))
            if layer.normalised:
                modules.append(nn.BatchNorm1d(layer.n_out))
            if layer.activated:
                # In place: backward, neither Linear nor BatchNorm needs the output that is lost.
                modules.append(nn.ReLU(inplace=True))
        self.layers = nn.Sequential(*modules)
        self.widths = plan[0].n_in, plan[-1].n_out
        # nn.Linear has drawn from torch's global generator. These weights come from the seed alone,
        # on the CPU, so that they are the same for every device.
        generator = torch.Generator().manual_seed(seed)
        linears = [module for module in self.layers if isinstance(module, nn.Linear)]
        for layer, linear in zip(plan, linears, strict=True):
            if layer.identity:
                nn.init.eye_(linear.weight)
            else:
                nn.init.xavier_uniform_(linear.weight, generator=generator)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Project (n, in_dim) rows to (n, out_dim) unit-norm rows.

        In training mode the rows of all modalities of a batch go through together, so
        batch statistics are joint: at inference one set of running statistics serves
        every modality, and must be what training normalised with.
        """
        return unit(self.layers(x))

    def state(self) -> dict[str, Tensor]:
        """Return the parameters and running statistics on the CPU, keyed ``0.weight``..."""
        # BatchNorm's step counter only matters to a cumulative average, which we do not use.
        return {
            name: value.detach().cpu().clone()
            for name, value in self.layers.state_dict().items()
            if not name.endswith(COUNTER)
        }

    def load(self, state: Mapping[str, Tensor]) -> Self:
        """Take over what ``state`` returned, and go into eval mode.

        Raises:
            RuntimeError: a tensor is missing, has a wrong shape or is unexpected.
        """
        # Strict loading insists on the counters that ``state`` leaves out.
        counters = {n: v for n, v in self.layers.state_dict().items() if n.endswith(COUNTER)}
        self.layers.load_state_dict({**counters, **state})
        return self.eval()


class Projector(Head):
    """Linear - BatchNorm - ReLU - Linear - BatchNorm - L2.

    Args:
        in_dim: width of the space that is projected.
        out_dim: width of the space it is projected into.
        hidden_dim: width between (paper: 2048).
        seed: of the Xavier-uniform weights; biases start at zero.

    Source: Molecule-Space, section 3.2.2; the layers are those of the published
    checkpoints, whose state-dict keys ``{0,1,3,4}.*`` are kept.
    """

    def __init__(self, in_dim: int, out_dim: int, hidden_dim: int, *, seed: int = 0) -> None:
        super().__init__(paper_layers(in_dim, out_dim, hidden_dim), seed=seed)


@torch.inference_mode()
def project(heads: Sequence[Head], x: Tensor) -> Tensor:
    """Apply a mixture of projectors: the mean of their unit outputs, rescaled to unit norm.

    Args:
        heads: at least one, in eval mode.
        x: (n, in_dim) unit-norm rows.

    Returns:
        (n, out_dim) unit-norm rows.

    Source: Molecule-Space, section 3.2.2 (mixture-of-projectors; mean pool).
    """
    # A sum is enough: ``unit`` undoes the mean's division.
    return unit(_total(heads, x))


@torch.inference_mode()
def project_mean(heads: Sequence[Head], x: Tensor) -> Tensor:
    """Return the mean of projectors' unit outputs at its own length, as ``project`` takes it.

    Args:
        heads: at least one, in eval mode.
        x: (n, in_dim) unit-norm rows.

    Returns:
        (n, out_dim) rows, no longer than 1.
    """
    return _total(heads, x) / len(heads)


def _total(heads: Sequence[Head], x: Tensor) -> Tensor:
    total: Tensor = heads[0](x)
    for head in heads[1:]:
        total = total + head(x)
    return total
