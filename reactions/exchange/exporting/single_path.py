"""Products that, in one modality, are one encoder and layers behind it: what a chain can hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reactions.core.errors import UsageError
from reactions.core.types import Fusion, Leaf, Modality, Space, Tuned
from reactions.products.aligned import AlignedLayers
from reactions.products.parts import Centring, Parts, ProjectorMixture
from reactions.products.tree import Adjustment, coefficients, tunes
from reactions.products.tuned import TunedPath

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class DenseLayer:
    """A linear layer, and what follows it.

    Attributes:
        weight: (out, in) float32.
        bias: (out,) float32.
        is_activated: whether a ReLU follows.
        is_rescaled: whether rows are then rescaled to unit norm.
    """

    weight: Tensor
    bias: Tensor
    is_activated: bool = False
    is_rescaled: bool = False


@dataclass(frozen=True)
class SinglePath:
    """One encoder, whose rows are rescaled to unit norm, and the layers behind it.

    Attributes:
        leaf: the encoder's space.
        layers: in order; () where the product is the encoder.
    """

    leaf: Leaf
    layers: tuple[DenseLayer, ...]

    def apply(self, rows: Tensor) -> Tensor:
        """Pass (n, leaf.dim) rows through the layers: (n, dim) unit-norm rows."""
        from torch import nn

        from reactions.ops.tensors import unit

        rows = unit(rows)
        for layer in self.layers:
            rows = nn.functional.linear(rows, layer.weight, layer.bias)
            rows = rows.relu() if layer.is_activated else rows
            rows = unit(rows) if layer.is_rescaled else rows
        return rows


def single_path(
    space: Space, modality: Modality, parts: Parts, adjustment: Adjustment
) -> SinglePath:
    """Return the one encoder of a product in a modality, and the layers behind it.

    Args:
        space: the product.
        modality: one that it embeds.
        parts: what was trained, on the CPU.
        adjustment: factors and experts.

    Raises:
        UsageError: it takes more than that; the reason names what stands in the way.
    """
    if isinstance(space, Leaf):
        path = SinglePath(space, ())
        part = parts.get((space, None))
        if part is None and space.spec.centre:
            part = Centring(space.label, {})
        return path if part is None else _behind(path, part, modality, space.label)
    if isinstance(space, Tuned):
        return _tuned(space, modality, parts, adjustment)
    return _fused(space, modality, parts, adjustment)


def _tuned(node: Tuned, modality: Modality, parts: Parts, adjustment: Adjustment) -> SinglePath:
    if node.op == "lcl":
        if node.learning.takes_raw_rows:
            raise _refused(modality, "an Lcl takes rows of the norm that the encoder gives")
        base = single_path(node.base, modality, parts, adjustment)
        return _behind(base, parts[node, None], modality, "Lcl")
    if tunes(node, modality):
        raise _refused(modality, f"an Ft tuned the encoder of {modality}")
    if node.arguments[0] == modality:
        part = parts[node, None]
        assert isinstance(part, TunedPath), "parts are checked when they are loaded"
        parts = {**parts, **part.heads}
    return single_path(node.base, modality, parts, adjustment)


def _fused(fusion: Fusion, modality: Modality, parts: Parts, adjustment: Adjustment) -> SinglePath:
    base_share, shares = coefficients(fusion, modality, adjustment)
    acting: list[int | None] = [None] if base_share > 0 else []
    acting += [i for i, share in enumerate(shares) if share > 0]
    if len(acting) > 1:
        names = [(fusion.base if i is None else fusion.experts[i].space).label for i in acting]
        factor = "--lambda" if fusion.op == "dr" else "--sigma"
        raise _refused(
            modality,
            f"it is an average over {', '.join(names[:-1])} and {names[-1]}, each an encoder of "
            f"its own ({factor} 0 or 1, or --experts, may leave one)",
        )
    (index,) = acting
    side = fusion.base if index is None else fusion.experts[index].space
    path = single_path(side, modality, parts, adjustment)
    if (index is None) != (fusion.op == "dr"):
        return path
    expert = fusion.experts[index or 0].label
    return _behind(path, parts[fusion, index or 0], modality, f"{fusion.op.capitalize()}({expert})")


def _behind(path: SinglePath, part: Any, modality: Modality, name: str) -> SinglePath:
    """Return a path with a trained part behind it."""
    import torch

    from reactions.ops.closed_form import AffineMap

    if isinstance(part, ProjectorMixture):
        if len(part) > 1:
            raise _refused(
                modality,
                f"{name} averages {len(part)} projectors, each rescaled to unit norm "
                "(data=TVA trains one)",
            )
        layers = _of_head(part[0].layers)
    elif isinstance(part, AffineMap):
        place = part.modalities.index(modality)
        part.apply(modality, torch.zeros(1, part.matrix.shape[0]))  # refuses what has no map
        bias = part.target[place].double() - part.source[place].double() @ part.matrix.double()
        layers = [DenseLayer(part.matrix.T.contiguous(), bias.float())]
    elif isinstance(part, Centring):
        width = path.layers[-1].weight.shape[0] if path.layers else path.leaf.dim
        part.apply(modality, torch.ones(1, width))  # refuses what has no mean
        layers = [DenseLayer(torch.eye(width), -part.means[modality].float())]
    elif isinstance(part, AlignedLayers):
        if modality not in part.layers:
            return path
        layers = [DenseLayer(*part.layers[modality])]
    else:
        raise _refused(modality, f"{name} is of a kind that dense layers cannot hold")
    last = layers[-1]
    layers[-1] = DenseLayer(last.weight, last.bias, last.is_activated, is_rescaled=True)
    return SinglePath(path.leaf, (*path.layers, *layers))


def _of_head(modules: nn.Sequential) -> list[DenseLayer]:
    """Return a projector's layers, with batch normalisation taken into the linear ones."""
    from torch import nn

    layers: list[DenseLayer] = []
    for module in modules:
        if isinstance(module, nn.Linear):
            layers.append(DenseLayer(module.weight.detach(), module.bias.detach()))
        elif isinstance(module, nn.BatchNorm1d):
            state: Mapping[str, Tensor] = {k: v.double() for k, v in module.state_dict().items()}
            scale = state["weight"] / (state["running_var"] + module.eps).sqrt()
            weight, bias = layers[-1].weight.double(), layers[-1].bias.double()
            shifted = (bias - state["running_mean"]) * scale + state["bias"]
            layers[-1] = DenseLayer((weight * scale[:, None]).float(), shifted.float())
        else:
            assert isinstance(module, nn.ReLU), "heads are made of nothing else"
            layers[-1] = DenseLayer(layers[-1].weight, layers[-1].bias, is_activated=True)
    return layers


def _refused(modality: Modality, why: str) -> UsageError:
    return UsageError(f"{modality} is not one encoder and dense layers", why=why)
