"""Grids: the settings of a product that a sweep compares."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from reactions.core.errors import UsageError, suggestion
from reactions.core.hashing import canonical
from reactions.core.types import Modality, Op, Space, shared_modalities
from reactions.experiments.sweep.texts import FactorText, read_factors, read_subsets
from reactions.products.acting import acting_adjustment
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    effective_factors,
    fit_adjustment,
    mixtures,
)

Texts: TypeAlias = str | Sequence[str] | None
"""What an option was given: nothing, once, or several times."""

OPTIONS: Mapping[Op, tuple[str, str]] = {"cr": ("sigma", "--sigma"), "dr": ("lambda", "--lambda")}


@dataclass(frozen=True, slots=True)
class Cell:
    """One setting of a product.

    Attributes:
        adjustment: factors and experts.
        values: axis name, such as "sigma audio" or "sigma CLAP_m audio", to the factor; those that
            act in this cell alone.
        experts: labels of the experts that take part, sorted; None for all.
    """

    adjustment: Adjustment
    values: Mapping[str, float]
    experts: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells that act differently, each once.

    Attributes:
        cells: in the order of the axes, the last of which changes fastest.
        axes: name to the values that are tried.
    """

    cells: tuple[Cell, ...] = field(repr=False)
    axes: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """A factor that is tried, or several that change together.

    Attributes:
        op: of the stages.
        places: (expert, modality) pairs that the value is the factor of.
        columns: names in tables.
        values: that are tried.
    """

    op: Op
    places: tuple[tuple[str, Modality], ...]
    columns: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class GridPlan:
    """What options ask for, checked, before any cell is made.

    Attributes:
        space: the product.
        axes: factors that are tried.
        subsets: of the experts; None stands for all of them.
    """

    space: Space
    axes: tuple[_Axis, ...]
    subsets: tuple[frozenset[str] | None, ...]

    @property
    def size(self) -> int:
        """How many cells there are, those that act alike counted each."""
        return len(self.subsets) * math.prod(len(axis.values) for axis in self.axes)

    def grid(self) -> Grid:
        """Make the cells."""
        cells: dict[str, Cell] = {}
        for subset in self.subsets:
            for values in itertools.product(*(axis.values for axis in self.axes)):
                cell = self._cell(subset, values)
                cells.setdefault(canonical(acting_adjustment(self.space, cell.adjustment)), cell)
        columns = {column: axis.values for axis in self.axes for column in axis.columns}
        return Grid(tuple(cells.values()), columns)

    def _cell(self, subset: frozenset[str] | None, values: Sequence[float]) -> Cell:
        factors: dict[Op, dict[str, dict[Modality, float]]] = {"cr": {}, "dr": {}}
        for fusion, i in mixtures(self.space):
            expert = fusion.experts[i]
            factors[fusion.op].setdefault(expert.label, dict(expert.factors))
        for axis, value in zip(self.axes, values, strict=True):
            for label, modality in axis.places:
                factors[axis.op][label][modality] = value
        touched = {(axis.op, label) for axis in self.axes for label, _ in axis.places}
        wished = Adjustment(
            sigma={label: factors["cr"][label] for op, label in touched if op == "cr"},
            lambda_={label: factors["dr"][label] for op, label in touched if op == "dr"},
            experts=subset,
        )
        adjustment = fit_adjustment(self.space, wished)
        experts = adjustment.experts
        acting = {
            column: value
            for axis, value in zip(self.axes, values, strict=True)
            if experts is None or any(label in experts for label, _ in axis.places)
            for column in axis.columns
        }
        return Cell(adjustment, acting, None if experts is None else tuple(sorted(experts)))


def plan_grid(
    space: Space, *, sigma: Texts = None, lambda_: Texts = None, experts: Texts = None
) -> GridPlan:
    """Read the options of a sweep.

    Args:
        space: the product.
        sigma: factors of combinations: ``0:1:0.1,0:1:0.1`` for the shared modalities in
            alphabetical order, a single value or range for all of them together,
            ``audio=0:1:0.5`` by name (others keep the product's), ``CLAP_m:0:1:0.5,0.1`` for one
            expert; ``0/0.25/0.5`` are three values.
        lambda_: factors of displacements, likewise.
        experts: ``all-subsets``, or for each subset a text of names with commas between.

    Raises:
        UsageError: a text does not fit the product.
    """
    axes = [*_axes(space, "dr", _listed(lambda_)), *_axes(space, "cr", _listed(sigma))]
    labels = list(dict.fromkeys(f.experts[i].label for f, i in mixtures(space)))
    subsets: list[frozenset[str] | None] = []
    for subset in read_subsets(_listed(experts), labels):
        fitted = fit_adjustment(space, Adjustment(experts=subset)).experts
        if fitted not in subsets:
            subsets.append(fitted)
    return GridPlan(space, tuple(axes), tuple(subsets) or (None,))


def make_grid(
    space: Space, *, sigma: Texts = None, lambda_: Texts = None, experts: Texts = None
) -> Grid:
    """Return the cells that options ask for; see ``plan_grid``."""
    return plan_grid(space, sigma=sigma, lambda_=lambda_, experts=experts).grid()


def own_cell(space: Space, axes: Iterable[str]) -> Cell:
    """Return a product as it is, with the factors of its own.

    Args:
        space: the product.
        axes: names of the factors to show, where all experts that share one have the same.
    """
    axis_values: dict[str, set[float]] = {}
    for name, factors in effective_factors(space).items():
        word, _, label = name.partition(" ")
        for modality, value in factors.items():
            for axis in (f"{word} {modality}", f"{word} {label} {modality}"):
                axis_values.setdefault(axis, set()).add(value)
    values = {axis: axis_values[axis].pop() for axis in axes if len(axis_values.get(axis, ())) == 1}
    return Cell(NO_ADJUSTMENT, values)


def _listed(texts: Texts) -> list[str]:
    return [] if texts is None else [texts] if isinstance(texts, str) else list(texts)


def _axes(space: Space, op: Op, texts: Sequence[str]) -> Iterator[_Axis]:
    word, option = OPTIONS[op]
    shared: dict[str, tuple[Modality, ...]] = {}
    for fusion, i in mixtures(space):
        if fusion.op == op:
            expert = fusion.experts[i]
            shared.setdefault(expert.label, shared_modalities(fusion.base, expert.space))
    if texts and not shared:
        raise UsageError(
            f"{option} has no effect on this product",
            why=f"it has no {'combination (Cr)' if op == 'cr' else 'displacement (Dr)'}",
            fix=f"leave {option} out",
        )
    read = read_factors(option, texts, list(shared))
    named_experts = {text.expert for text in read if text.expert}
    for text in read:
        labels = (
            [text.expert]
            if text.expert
            else [label for label in shared if label not in named_experts]
        )
        yield from _axes_of(op, text, {label: shared[label] for label in labels}, word, option)


def _axes_of(
    op: Op,
    text: FactorText,
    shared: Mapping[str, tuple[Modality, ...]],
    word: str,
    option: str,
) -> Iterator[_Axis]:
    """Yield the axes of one text for the experts that it is about."""
    modalities = sorted({m for of_expert in shared.values() for m in of_expert})
    prefix = f"{word} {text.expert}" if text.expert else word

    def axis(axis_modalities: Sequence[Modality], values: tuple[float, ...]) -> _Axis:
        places = tuple(
            (label, m)
            for label, of_expert in shared.items()
            for m in of_expert
            if m in axis_modalities
        )
        return _Axis(op, places, tuple(f"{prefix} {m}" for m in axis_modalities), values)

    if not shared:
        return
    if text.named is not None:
        for name, values in text.named.items():
            if name not in modalities:
                raise UsageError(
                    f"{option}: '{name}' is not a shared modality",
                    fix=f"{suggestion(name, modalities)}   (for one expert: {option} NAME:0:1:0.5)",
                )
            yield axis([name], values)
        return
    if len(text.values) == 1:
        yield axis(modalities, text.values[0])
        return
    if len(text.values) != len(modalities) or any(
        len(of_expert) < len(modalities) for of_expert in shared.values()
    ):
        names = "; ".join(f"{label}: {', '.join(of_expert)}" for label, of_expert in shared.items())
        raise UsageError(
            f"{option}: {len(text.values)} factors do not fit the shared modalities",
            why=f"they are, in this order, of {names}",
            fix=f"{option} " + ",".join(f"{m}=0:1:0.5" for m in modalities),
        )
    for modality, values in zip(modalities, text.values, strict=True):
        yield axis([modality], values)
