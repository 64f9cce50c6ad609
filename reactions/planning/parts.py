"""The trained parts of a reaction that have files of their own in its bundle, and its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeAlias

from reactions.core.step import Step, named_steps
from reactions.planning.planned import PlannedLearning, PlannedTuning
from reactions.planning.training import RowCount, settings_record
from reactions.products.bundles.bundle import describe
from reactions.products.tree import trained_nodes

if TYPE_CHECKING:
    from reactions.core.settings import ReactionSettings
    from reactions.core.types import Space
    from reactions.labs.lab import Lab
    from reactions.planning.planned import Planning

PlannedParts: TypeAlias = "Mapping[str, PlannedTuning | PlannedLearning]"
"""What every ``Ft`` and ``Lcl`` trains, by the path of its node; inner ones first."""


def planned_parts(planner: Planning, space: Space) -> PlannedParts:
    """Plan what every ``Ft`` and ``Lcl`` of a product trains."""
    return {
        path: planner.tuning(node) if node.op == "ft" else planner.learning(node)
        for path, node in trained_nodes(space)
    }


def described_rows(parts: PlannedParts) -> tuple[RowCount, ...]:
    """Return how much of every corpus an ``Lcl`` is trained on, each corpus once."""
    counts = {
        (modality, layer.corpus.digest): RowCount(modality, layer.name, layer.n_items, layer.n_held)
        for part in parts.values()
        if isinstance(part, PlannedLearning)
        for modality, layer in part.layers.items()
    }
    return tuple(counts.values())


def reaction_record(
    lab: Lab,
    settings: ReactionSettings,
    expression: str,
    space: Space,
    heads: Sequence[Mapping[str, Step]],
    parts: PlannedParts,
) -> dict[str, Any]:
    """Return the record of a reaction's bundle, but for what follows from its results.

    Args:
        lab: where it is made.
        settings: of the reaction.
        expression: canonical text.
        space: the product.
        heads: subset to train step of each mixture.
        parts: from ``planned_parts``.
    """
    return describe(
        expression,
        space,
        lab={"name": lab.name, "label": lab.label, "seed": lab.seed},
        subsets=[list(mixture) for mixture in heads],
        settings=settings_record(settings),
        step_keys={
            f"{index}.{name}": step.key
            for index, mixture in enumerate(heads)
            for name, step in mixture.items()
        }
        | {
            name: step.key
            for i, part in enumerate(parts.values())
            for name, step in named_steps(f"part.{i}", part.made_by)
        },
        version=metadata.version("molspace"),
        parts=[part.part(path) for path, part in parts.items()],
    )
