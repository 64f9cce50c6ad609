"""Projectors by recipe: untrained ones, and those that were stored."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from reactions.ops.projector import Head
from reactions.ops.recipes import recipe_of, stored_layers


def make_head(
    recipe: str, in_dim: int, out_dim: int, hidden_dim: int = 0, *, seed: int = 0
) -> Head:
    """Return an untrained head of a recipe's.

    Args:
        recipe: its name.
        in_dim: width of the space that is projected.
        out_dim: width of the space it is projected into.
        hidden_dim: width between, for recipes that do not derive it.
        seed: of the Xavier-uniform weights; biases start at zero.
    """
    return Head(recipe_of(recipe).layers(in_dim, out_dim, hidden_dim), seed=seed)


def load_head(recipe: str, state: Mapping[str, Tensor]) -> Head:
    """Rebuild a head of a recipe's, in eval mode, from what ``state`` returned.

    Raises:
        KeyError: a tensor is missing.
        RuntimeError: a tensor has a wrong shape or is unexpected.
    """
    # Only linear layers have weights of two axes; BatchNorm's have one. Sorted as numbers:
    # as text, "10" comes before "3".
    linears = sorted(
        (int(name.partition(".")[0]), tensor.shape)
        for name, tensor in state.items()
        if name.endswith(".weight") and tensor.ndim == 2
    )
    if not linears:
        raise KeyError("0.weight")
    (_, (hidden_dim, in_dim)), (_, (out_dim, _)) = linears[0], linears[-1]
    return Head(stored_layers(recipe, in_dim, out_dim, hidden_dim)).load(state)
