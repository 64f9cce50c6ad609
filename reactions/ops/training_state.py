"""The state of a training that goes on after an interruption, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


def optimiser_arrays(
    parameters: Sequence[nn.Parameter], optimiser: torch.optim.Optimizer
) -> dict[str, NDArray[Any]]:
    """Return copies of parameters, and of what AdamW knows of each."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, parameter in enumerate(parameters):
        arrays[f"parameter.{number}"] = array_of(parameter.detach())
        for name, value in optimiser.state.get(parameter, {}).items():
            arrays[f"{name}.{number}"] = array_of(value.reshape(-1))
    return arrays


class SavedOptimiser:
    """What ``optimiser_arrays`` returned, checked before any of it is taken over.

    Args:
        parameters: those that are trained.
        arrays: of a state.

    Raises:
        LookupError, RuntimeError, TypeError, ValueError: it is of another training.
    """

    def __init__(
        self, parameters: Sequence[nn.Parameter], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        self._parameters = parameters
        self._values = [like(p, arrays[f"parameter.{k}"]) for k, p in enumerate(parameters)]
        self._moments = [_moments(k, p, arrays) for k, p in enumerate(parameters)]

    def restore(self, optimiser: torch.optim.Optimizer) -> None:
        """Put it into the parameters and their optimiser."""
        entries = zip(self._parameters, self._values, self._moments, strict=True)
        with torch.no_grad():
            for parameter, value, moments in entries:
                parameter.copy_(value)
                if moments:
                    optimiser.state[parameter] = moments


def _moments(
    number: int, parameter: nn.Parameter, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, Tensor]:
    """Return what AdamW knows of a parameter; nothing before its first gradient."""
    if f"step.{number}" not in arrays:
        return {}
    # AdamW counts its steps on the CPU, whatever the device.
    step = torch.from_numpy(np.array(arrays[f"step.{number}"])).reshape(())
    kinds = ("exp_avg", "exp_avg_sq")
    return {"step": step} | {
        kind: like(parameter, arrays[f"{kind}.{number}"]).to(parameter.device) for kind in kinds
    }


def like(tensor: Tensor, array: NDArray[Any]) -> Tensor:
    """Return an array of a state as a tensor of another's shape."""
    return torch.from_numpy(np.array(array)).view(tensor.shape)


def array_of(tensor: Tensor) -> NDArray[Any]:
    """Return a copy of a tensor as an array."""
    array: NDArray[Any] = tensor.detach().cpu().clone().numpy()
    return array
