"""The arithmetic of a product: who contributes how much to which modality.

A product is a tree of ``Fusion`` and ``Tuned`` nodes over leaves. These functions are pure; the
tensors come in ``reactions.products.fuse``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from reactions.core.encoder_paths import path_of
from reactions.core.errors import UsageError, suggestion
from reactions.core.hashing import digest
from reactions.core.types import (
    Expert,
    Fusion,
    Leaf,
    Mean,
    Modality,
    Op,
    Space,
    Tuned,
    shared_modalities,
)
from reactions.dsl.values import is_factor
from reactions.products.tree_json import tree_to_json

Factors = float | tuple[float, ...] | list[float] | Mapping[Modality, float]
"""One factor for all shared modalities, one each in alphabetical order, or by name."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What inference changes in a trained product, without retraining.

    Attributes:
        sigma: factors of combinations by expert label; the key "" means all of them.
        lambda_: factors of displacements, likewise.
        experts: labels of the experts to keep; None keeps all.

    Source: Molecule-Space, section 3.4 (coarse-to-fine customized inference).
    """

    sigma: Mapping[str, Factors] = field(default_factory=dict)
    lambda_: Mapping[str, Factors] = field(default_factory=dict)
    experts: frozenset[str] | None = None

    def factors(self, op: Op, fusion: Fusion, expert: Expert) -> dict[Modality, float]:
        """Return the factor of each shared modality for one expert.

        Raises:
            UsageError: the factors given do not fit the shared modalities.
        """
        by_expert = self.lambda_ if op == "dr" else self.sigma
        expert_factors = by_expert.get(expert.label, by_expert.get(""))
        shared = shared_modalities(fusion.base, expert.space)
        if expert_factors is None:
            return dict(expert.factors)
        option = "--lambda" if op == "dr" else "--sigma"
        return spread(expert_factors, shared, option=option, expert=expert.label)

    def keeps(self, expert: Expert) -> bool:
        """Return whether an expert takes part."""
        return self.experts is None or expert.label in self.experts


NO_ADJUSTMENT = Adjustment()


def spread(
    factors: Factors, shared: tuple[Modality, ...], *, option: str, expert: str = ""
) -> dict[Modality, float]:
    """Give every shared modality its factor.

    Args:
        factors: as the user gave them.
        shared: shared modalities in alphabetical order.
        option: name for messages.
        expert: that the factors are of, for messages.

    Raises:
        UsageError: wrong count, unknown modality, or a factor outside [0, 1].
    """
    if isinstance(factors, Mapping):
        for name in factors:
            if name not in shared:
                raise UsageError(
                    f"{option}: '{name}' is not a shared modality"
                    + (f" of {expert}" if expert else ""),
                    fix=f"{suggestion(name, shared)}   (for one expert: {option} NAME:0.5,0.1)",
                )
        missing = [m for m in shared if m not in factors]
        if missing:
            raise UsageError(
                f"{option}: no factor for {', '.join(missing)}"
                + (f" of {expert}" if expert else ""),
                fix=f"give one for each of {', '.join(shared)}",
            )
        by_modality = {m: float(factors[m]) for m in shared}
    elif isinstance(factors, tuple | list):  # Python callers write either
        if len(factors) == 1:
            by_modality = dict.fromkeys(shared, float(factors[0]))
        elif len(factors) == len(shared):
            by_modality = dict(zip(shared, map(float, factors), strict=True))
        else:
            raise UsageError(
                f"{option}: {len(factors)} factors for {len(shared)} shared "
                + ("modality" if len(shared) == 1 else "modalities"),
                why=f"{expert} shares {', '.join(shared)} with its base" if expert else "",
                fix=f"give one number, or one for each of {', '.join(shared)} in this order"
                + (f"   (for one expert: {option} NAME:0.5,0.1)" if expert else ""),
            )
    else:
        by_modality = dict.fromkeys(shared, float(factors))
    for modality, value in by_modality.items():
        if not is_factor(value):
            raise UsageError(
                f"{option}: the factor {value:g} for {modality} is outside 0 to 1",
                why="it is the expert's share of a weighted average",
            )
    return by_modality


def coefficients(
    fusion: Fusion, modality: Modality, adjustment: Adjustment = NO_ADJUSTMENT
) -> tuple[float, tuple[float, ...]]:
    """Return the shares of the base and of each expert in one modality; they sum to 1.

    An expert that lacks the modality, or is deselected, gets 0, and the others' weights are
    rescaled. A modality only experts have comes from them alone.

    Raises:
        UsageError: no space is left that embeds this modality.

    Source: Molecule-Space, eq. 1-3, 9, 10.
    """
    present = [
        i
        for i, expert in enumerate(fusion.experts)
        if adjustment.keeps(expert) and modality in embedded_by(expert.space, adjustment)
    ]
    shares = [0.0] * len(fusion.experts)
    total = sum(fusion.experts[i].weight for i in present)
    in_base = modality in embedded_by(fusion.base, adjustment)
    if not present and not in_base:
        raise UsageError(f"none of the chosen experts embeds {modality}")
    # Summed, not 1 - sum(shares): a base without a share must get 0.0, not what rounding leaves.
    base_share = 0.0 if present else 1.0
    for i in present:
        expert = fusion.experts[i]
        factor = adjustment.factors(fusion.op, fusion, expert)[modality] if in_base else 1.0
        shares[i] = expert.weight / total * factor
        base_share += expert.weight / total * (1.0 - factor)
    return base_share, tuple(shares)


def acting_mean(fusion: Fusion, shares: Sequence[float]) -> Mean:
    """Return how the experts are averaged; ``"eq10"`` where one alone has a share."""
    return fusion.mean if sum(share > 0 for share in shares) > 1 else "eq10"


def embedded_by(space: Space, adjustment: Adjustment = NO_ADJUSTMENT) -> frozenset[Modality]:
    """Return the modalities a space embeds with the experts that are kept."""
    if isinstance(space, Leaf) or adjustment.experts is None:
        return frozenset(space.modalities)
    if isinstance(space, Tuned):
        return embedded_by(space.base, adjustment)
    modalities = embedded_by(space.base, adjustment)
    for expert in space.experts:
        if adjustment.keeps(expert):
            modalities |= embedded_by(expert.space, adjustment)
    return modalities


def needed_leaves(
    space: Space, modality: Modality, adjustment: Adjustment = NO_ADJUSTMENT
) -> tuple[Leaf, ...]:
    """Return the leaves with a share in one modality, in order of first appearance.

    Where an ``Ft`` tuned the encoder, it is the ``tuned_leaf``.
    """
    needed: dict[Leaf, None] = {}

    def walk(node: Space) -> None:
        if isinstance(node, Leaf):
            needed[node] = None
        elif isinstance(node, Fusion):
            base, shares = coefficients(node, modality, adjustment)
            if base > 0:
                walk(node.base)
            for expert, share in zip(node.experts, shares, strict=True):
                if share > 0:
                    walk(expert.space)
        else:
            inner = needed_leaves(node.base, modality, adjustment)
            needed.update(dict.fromkeys((tuned_leaf(node),) if tunes(node, modality) else inner))

    walk(space)
    return tuple(needed)


def tunes(node: Tuned, modality: Modality) -> bool:
    """Return whether a node has an encoder of its own for a modality."""
    return node.op == "ft" and node.arguments[0] == modality and node.tuning.tunes_encoder


def tuned_leaf(node: Tuned) -> Leaf:
    """Return the leaf that stands for the encoder that an ``Ft`` tuned.

    It is told from the leaf with the encoder as it is by ``SpaceSpec.tuned``; records name that
    one alone.
    """
    leaf = path_of(node).leaf
    marker = digest("tuned", tree_to_json(node))[:8]
    return Leaf(replace(leaf.spec, tuned=f"tuned {marker}"))


def tuned_leaves(space: Space) -> list[Leaf]:
    """Return the leaves that stand for the encoders that a product's ``Ft`` tuned."""
    return [tuned_leaf(node) for _, node in tuned_nodes(space) if tunes(node, node.arguments[0])]


def trained_nodes(space: Space) -> Iterator[tuple[str, Tuned]]:
    """Yield every distinct node of an ``Ft`` or ``Lcl`` with its path, inner ones first."""
    seen: set[Space] = set()
    for path, node in reversed(list(nodes(space))):
        if isinstance(node, Tuned) and node not in seen:
            seen.add(node)
            yield path, node


def tuned_nodes(space: Space) -> Iterator[tuple[str, Tuned]]:
    """Yield every distinct node that an ``Ft`` tuned with its path, inner ones first."""
    return ((path, node) for path, node in trained_nodes(space) if node.op == "ft")


def learned_nodes(space: Space) -> Iterator[tuple[str, Tuned]]:
    """Yield every distinct node that an ``Lcl`` trained with its path, inner ones first."""
    return ((path, node) for path, node in trained_nodes(space) if node.op == "lcl")


def raw_leaves(space: Space) -> set[Leaf]:
    """Return the leaves whose rows an ``Lcl`` takes with the norm that their model gives."""
    return {
        node.base
        for _, node in learned_nodes(space)
        if node.learning.takes_raw_rows and isinstance(node.base, Leaf)
    }


def nodes(space: Space) -> Iterator[tuple[str, Space]]:
    """Yield every node of a tree with its path: "" for the root, "base", "experts.0.base", ..."""

    def walk(path: tuple[str, ...], node: Space) -> Iterator[tuple[str, Space]]:
        yield ".".join(path), node
        if isinstance(node, Leaf):
            return
        yield from walk((*path, "base"), node.base)
        if isinstance(node, Fusion):
            for i, expert in enumerate(node.experts):
                yield from walk((*path, "experts", str(i)), expert.space)

    yield from walk((), space)


def mixtures(space: Space) -> Iterator[tuple[Fusion, int]]:
    """Yield every (fusion, index of expert) of a tree once, bases before what stands on them."""
    seen: set[Fusion] = set()

    def walk(node: Space) -> Iterator[tuple[Fusion, int]]:
        if isinstance(node, Tuned):
            yield from walk(node.base)
        if not isinstance(node, Fusion) or node in seen:
            return
        seen.add(node)
        yield from walk(node.base)
        for expert in node.experts:
            yield from walk(expert.space)
        yield from ((node, i) for i in range(len(node.experts)))

    yield from walk(space)


def projected_side(fusion: Fusion, index: int) -> Space:
    """Return which of an expert and its base is projected: Dr projects the base, Cr the expert."""
    return fusion.base if fusion.op == "dr" else fusion.experts[index].space


def fit_adjustment(space: Space, adjustment: Adjustment) -> Adjustment:
    """Fit an adjustment to a product, refusing what names something it does not have.

    An expert that is a product itself stays whole if it is named, and stays with the experts
    that are named inside it.

    Returns:
        The adjustment, with ``experts`` naming each expert that takes part.

    Raises:
        UsageError: an unknown expert, a factor without a reaction of its kind, or factors
            that do not fit the shared modalities.
    """
    pairs = list(mixtures(space))
    labels = {op: [f.experts[i].label for f, i in pairs if f.op == op] for op in ("dr", "cr")}
    everyone = labels["dr"] + labels["cr"]
    for option, op, by_expert in (
        ("--sigma", "cr", adjustment.sigma),
        ("--lambda", "dr", adjustment.lambda_),
    ):
        if by_expert and not labels[op]:
            raise UsageError(
                f"{option} has no effect on this product",
                why=f"it has no {'combination (Cr)' if op == 'cr' else 'displacement (Dr)'}",
                fix=f"leave {option} out",
            )
        for label in by_expert:
            if label and label not in labels[op]:
                raise UsageError(
                    f"{option}: no expert '{label}'", fix=suggestion(label, labels[op])
                )
    for label in adjustment.experts or ():
        if label not in everyone:
            raise UsageError(
                f"--experts: no expert '{label}'",
                why="" if everyone else "it is a space by itself, which has no experts",
                fix=suggestion(label, everyone) if everyone else "leave --experts out",
            )
    for fusion, i in pairs:  # for what it raises, before anything is loaded
        adjustment.factors(fusion.op, fusion, fusion.experts[i])
    if adjustment.experts is None:
        return adjustment
    experts = set(adjustment.experts)
    for fusion, i in pairs:
        expert = fusion.experts[i]
        within = {f.experts[j].label for f, j in mixtures(expert.space)}
        if expert.label in adjustment.experts:
            experts |= within
        elif within & adjustment.experts:
            experts.add(expert.label)
    return replace(adjustment, experts=frozenset(experts))


def effective_factors(
    space: Space, adjustment: Adjustment = NO_ADJUSTMENT
) -> dict[str, dict[Modality, float]]:
    """Return ``{"sigma CLAP_m": {"audio": 0.5, ...}, ...}`` as they act, for reports.

    An expert that takes part twice is distinguished by its turn: ``"sigma CLAP_m (2)"``.
    """
    acting = [(fusion, i) for fusion, i in mixtures(space) if adjustment.keeps(fusion.experts[i])]
    return {
        name: adjustment.factors(fusion.op, fusion, fusion.experts[i])
        for (fusion, i), name in _factor_names(acting).items()
    }


def factor_names(space: Space) -> dict[tuple[Fusion, int], str]:
    """Return what ``effective_factors`` calls the factors of each stage and expert."""
    return _factor_names(list(mixtures(space)))


def _factor_names(pairs: Sequence[tuple[Fusion, int]]) -> dict[tuple[Fusion, int], str]:
    names: dict[tuple[Fusion, int], str] = {}
    for fusion, i in pairs:
        expert = fusion.experts[i]
        if expert.factors:  # none where nothing is shared
            name = f"{'lambda' if fusion.op == 'dr' else 'sigma'} {expert.label}"
            again = sum(used == name or used.startswith(f"{name} (") for used in names.values())
            names[fusion, i] = f"{name} ({again + 1})" if again else name
    return names


def effective_means(space: Space, adjustment: Adjustment = NO_ADJUSTMENT) -> dict[str, Mean]:
    """Return ``{"CLAP_m & CLAP_g": "unit"}`` for each stage that does not follow equation 10."""
    by_stage: dict[str, Mean] = {}
    for fusion in dict.fromkeys(fusion for fusion, _ in mixtures(space)):
        acting = [expert.label for expert in fusion.experts if adjustment.keeps(expert)]
        if fusion.mean != "eq10" and len(acting) > 1:
            by_stage[" & ".join(acting)] = fusion.mean
    return by_stage
