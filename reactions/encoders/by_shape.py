"""Inputs of different lengths through a network that takes those of one length at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from numpy.typing import NDArray


def by_shape(network: nn.Module, inputs: Sequence[NDArray[np.float32]], device: str) -> Tensor:
    """Return a network's outputs for inputs of different lengths, those of one length at once.

    Args:
        network: (n, ...) to (n, dim).
        inputs: of equal shapes but for the last axis.
        device: where the network is.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, array in enumerate(inputs):
        groups.setdefault(array.shape, []).append(i)
    outputs = [
        network(torch.from_numpy(np.stack([inputs[i] for i in rows])).to(device))
        for rows in groups.values()
    ]
    order = torch.tensor([i for rows in groups.values() for i in rows])
    # argsort of a permutation is its inverse: rows return to the order of the inputs.
    return torch.cat(outputs)[torch.argsort(order).to(device)]
