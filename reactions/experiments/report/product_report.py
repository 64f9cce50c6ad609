"""What is shown of a product, and what is missing, with the reason."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reactions.experiments.report.costs import StepCost
from reactions.experiments.report.hops import MeasuredHop
from reactions.experiments.report.maps import Gap, Rows, Sample, SpaceView
from reactions.experiments.report.scores import PaperProduct, TaskScore
from reactions.experiments.report.surfaces import ScoreSurface

if TYPE_CHECKING:
    from reactions.products.bundles.bundle import Bundle
    from reactions.products.target import Target


@dataclass(frozen=True, slots=True)
class Omission:
    """Something that a report does not show.

    Attributes:
        section: where it would be.
        what: is not shown.
        why: the reason.
        fix: what to do about it; "" for nothing.
    """

    section: str
    what: str
    why: str = ""
    fix: str = ""


@dataclass
class ProductReport:
    """What is shown of a product.

    Attributes:
        target: the product.
        bundle: where it is.
        lab: label of all that was measured.
        seed: of the lab that measured.
        paper: the paper's figures of it, if it has the product.
        scores: one a task.
        beaten: titles of the tasks on which a training-free row does better, with a sentence.
        hops: how peaked each hop is.
        views: the base and the product.
        samples: what is on the map.
        places: embeddings of each sample, in the base and in the product; None where the base
            does not embed the modality.
        gaps: (task, modalities) to the gap in the base (None if it lacks one) and in the product.
        costs: one a step.
        surfaces: scores over factors.
        lacks: what is missing.
        notices: what the reader should know of the scores.
    """

    target: Target
    bundle: Bundle
    lab: str
    seed: int
    paper: PaperProduct | None = None
    scores: list[TaskScore] = field(default_factory=list)
    beaten: list[tuple[str, str]] = field(default_factory=list)
    hops: list[MeasuredHop] = field(default_factory=list)
    views: tuple[SpaceView, ...] = ()
    samples: list[Sample] = field(default_factory=list)
    places: list[tuple[Rows | None, Rows]] = field(default_factory=list)
    gaps: dict[tuple[str, str], tuple[Gap | None, Gap]] = field(default_factory=dict)
    costs: list[StepCost] = field(default_factory=list)
    surfaces: list[ScoreSurface] = field(default_factory=list)
    lacks: list[Omission] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def lack(self, section: str, what: str, why: str = "", fix: str = "") -> None:
        """Note that something is missing, once."""
        entry = Omission(section, what, why, fix)
        if entry not in self.lacks:
            self.lacks.append(entry)

    def lacking(self, section: str) -> list[Omission]:
        """Return what a section lacks."""
        return [entry for entry in self.lacks if entry.section == section]


def note_record(report: ProductReport) -> None:
    """Note what the bundle's record does not have."""
    record = report.bundle.record
    if record.get("quality") is None:
        report.lack(
            "quality",
            "no quality on held-out items",
            "nothing was held back from its training, or an earlier version made it",
            "holdout = 0.05 under [reaction] in the lab file, and molspace react again",
        )
    if not record_losses(record):
        why = "the bundle does not record them"
        if record.get("imported"):
            why = "it was imported"
        elif record.get("ranks"):
            why = "its maps are solved for in closed form, and nothing was trained"
        report.lack("losses", "no loss curves", why)


def record_losses(record: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return the loss curves of a record that are such: it may come from anyone."""
    curves: dict[str, list[float]] = {}
    losses = record.get("losses")
    for name, values in losses.items() if isinstance(losses, dict) else ():
        if isinstance(values, list) and values and all(map(_is_loss, values)):
            curves[str(name)] = [float(value) for value in values]
    return curves


def _is_loss(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
