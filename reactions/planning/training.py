"""What the projectors of a reaction are trained on, and with which numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from reactions.core.errors import DataError
from reactions.core.settings import ReactionSettings, Subsets
from reactions.core.step import Step, parameters
from reactions.core.types import (
    Anchors,
    Expert,
    Fusion,
    Modality,
    Space,
    leaves,
    shared_modalities,
)
from reactions.data.holdout import Split
from reactions.labs.choices import RULE, Training, training_settings
from reactions.labs.lab import Lab
from reactions.ops.recipes import recipe_of
from reactions.products.tree import projected_side
from reactions.steps.fit_map import FitMap
from reactions.steps.routing import Slot
from reactions.steps.subsets import subset_name, subsets
from reactions.steps.train import Train

Splits = Mapping[tuple[Fusion, int], Mapping[Modality, Split]]
"""The divided corpora of each (fusion, index of expert)."""


@dataclass(frozen=True, slots=True)
class RowCount:
    """How much of a corpus is used.

    Attributes:
        modality: of its items.
        corpus: its name.
        rows: items trained on.
        held_out: items held back.
    """

    modality: Modality
    corpus: str
    rows: int
    held_out: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PlannedProjector:
    """What one projector is trained with.

    Attributes:
        pair: the two spaces, as ``A + Cr(B)``.
        subset: name of the pseudo sets it is trained on.
        rows: pseudo-pairs in them.
        training: the numbers, and which of them the plan chose; None for a closed form, which has
            none.
    """

    pair: str
    subset: str
    rows: int
    training: Training | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a flat JSON object."""
        if self.training is None:
            return {"pair": self.pair, "subset": self.subset, "rows": self.rows}
        training = {**asdict(self.training), "chosen": list(self.training.chosen)}
        return {"pair": self.pair, "subset": self.subset, "rows": self.rows, **training}


@dataclass(frozen=True)
class Mixture:
    """The projectors that join one expert to its base.

    Attributes:
        heads: subset name to train step.
        projectors: what each is trained with.
        splits: the corpora that take part, divided into rows to train on and rows held back.
    """

    heads: Mapping[str, Step]
    projectors: tuple[PlannedProjector, ...]
    splits: Mapping[Modality, Split]


def settings_for(lab: Lab, space: Space) -> ReactionSettings:
    """Return the settings of a reaction: the lab's, but for folders in a lab of ours.

    What the embedded labs say is meant for their own spaces and corpora. Where a reaction has
    none of them, because all it is made of are folders of embeddings, the defaults hold.
    """
    settings = lab.settings
    if not lab.is_built_in or any(leaf.spec.adapter != "precomputed" for leaf in leaves(space)):
        return settings
    return replace(
        settings,
        hidden_dim=None,
        batch_size=None,
        dr_epochs=None,
        cr_epochs=None,
        holdout=ReactionSettings().holdout,
    )


def settings_record(settings: ReactionSettings) -> dict[str, Any]:
    """Return settings for a bundle: what is chosen by rows, or not held back, is left out."""
    record = {**parameters(settings), "dtype": settings.stored_dtype}
    return {
        name: value
        for name, value in record.items()
        if value is not None and (name, value) != ("holdout", 0)
    }


def chosen_subsets(expert: Expert, anchors: Sequence[Modality], choice: Subsets) -> list[Anchors]:
    """Return the subsets of the anchors to train a projector on, by the expert's options."""
    if expert.anchors is not None:
        missing = sorted(set(expert.anchors) - set(anchors))
        if missing:
            raise DataError(f"data={subset_name(expert.anchors)}: no {missing[0]} corpus")
        return [tuple(sorted(expert.anchors))]
    is_mixture = recipe_of(expert.recipe).is_mixture
    return subsets(anchors, choice) if is_mixture else [tuple(anchors)]


def row_counts(splits: Splits) -> tuple[RowCount, ...]:
    """Return how much of every corpus is used, each corpus once."""
    counts: dict[tuple[Modality, str], RowCount] = {}
    for by_modality in splits.values():
        for modality, split in by_modality.items():
            count = RowCount(modality, split.whole.name, len(split.training), split.n_held)
            counts.setdefault((modality, split.whole.digest), count)
    return tuple(counts.values())


def projector_step(
    pair: Fusion,
    projector: PlannedProjector,
    settings: ReactionSettings,
    seed: int,
    *,
    anchors: Anchors,
    pseudo_sets: Mapping[Modality, Mapping[Slot, Step]],
    corpora: Collection[Modality],
) -> Step:
    """Return the step that makes one projector: trained, or solved for in closed form.

    Args:
        pair: a base with one expert, whose recipe says which.
        projector: what it is made with.
        settings: the reaction's.
        seed: the lab's, of which a closed form knows nothing.
        anchors: the subset.
        pseudo_sets: of the whole mixture.
        corpora: modalities that take part.
    """
    base, expert = pair.base, pair.experts[0]
    modalities = (
        [m for m in sorted(corpora) if m in base.modalities],
        [m for m in sorted(corpora) if m in expert.space.modalities],
    )
    dims = base.dim, expert.space.dim
    if projector.training is None:
        return FitMap(
            spaces=projector.pair,
            op=pair.op,
            anchors=anchors,
            pseudo_sets=pseudo_sets,
            dims=dims,
            modalities=modalities,
            recipe=expert.recipe,
            embeds=projected_side(pair, 0).modalities,
        )
    return Train(
        spaces=projector.pair,
        op=pair.op,
        anchors=anchors,
        pseudo_sets=pseudo_sets,
        dims=dims,
        modalities=modalities,
        precision=settings.precision,
        settings=training_settings(settings, projector.training, seed),
        recipe=expert.recipe,
    )


def few_pairs(
    pair: Fusion, corpora: Collection[Modality], projectors: Sequence[PlannedProjector]
) -> Iterator[str]:
    """Say which closed forms have fewer pseudo-pairs than their maps have dimensions."""
    shared = [m for m in shared_modalities(pair.base, pair.experts[0].space) if m in corpora]
    least = min(pair.base.dim, pair.experts[0].space.dim)
    for projector in projectors:
        if projector.training is None and projector.rows * len(shared) < least:
            yield (
                f"{projector.pair}: {projector.rows:,} pseudo-pairs of {', '.join(shared)} fix at "
                f"most {projector.rows * len(shared):,} of {least:,} dimensions; the map leaves "
                "the others out"
            )


def many_subsets(label: str, anchors: Sequence[Modality], mixture: Mapping[str, Step]) -> str:
    """Return a notice on a mixture of all subsets of many modalities.

    Args:
        label: of the mixture.
        anchors: its modalities.
        mixture: subset to train step.
    """
    fewer = [subset_name(subset) for subset in subsets(anchors, "singles+all")]
    flops = {name: step.cost.flops for name, step in mixture.items()}
    share = sum(flops[name] for name in fewer) / max(sum(flops.values()), 1.0)
    return (
        f"{label}: {len(mixture)} projectors, one for each subset of {len(anchors)} modalities; "
        f'subsets = "singles+all" under [reaction] trains {len(fewer)} of them, with {share:.0%} '
        "of the compute"
    )


def choices_notices(projectors: Sequence[PlannedProjector]) -> tuple[str, ...]:
    """Say which numbers were chosen, and why; empty where the lab says all of them."""
    groups: dict[tuple[str, int, Training], list[str]] = {}
    for projector in projectors:
        if projector.training is not None and projector.training.chosen:
            groups.setdefault((projector.pair, projector.rows, projector.training), []).append(
                projector.subset
            )
    sentences = []
    for (pair, rows, training), names in groups.items():
        values = [
            f"{name} {value}"
            for name, value in (
                ("hidden width", "hidden_dim" in training.chosen and training.hidden_dim),
                ("batch", "batch_size" in training.chosen and training.batch_size),
                # ``choose`` lists epochs last, as dr_epochs or cr_epochs.
                ("epochs", training.chosen[-1].endswith("epochs") and training.epochs),
            )
            if value
        ]
        sentences.append(f"{pair} on {', '.join(names)}: {', '.join(values)} for {rows:,} rows")
    if sentences:
        sentences.append(f"chosen by n rows, where [reaction] says nothing: {RULE}")
    return tuple(sentences)
