"""Embedding centres as plans: what describes the classes of a task, for any space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from reactions.core.centre_options import DEFAULT_CENTRES, NOT_ZERO_SHOT, CentreOptions
from reactions.core.errors import DataError, DimensionMismatch, UsageError
from reactions.core.local_files import expand_user
from reactions.core.step import Step
from reactions.core.types import Corpus, Modality
from reactions.data.centre_file import SUFFIX, CentreFile, open_centre_file
from reactions.eval.class_texts import (
    class_texts,
    match_classes,
    shared_classes,
    synset_names,
)
from reactions.knowledge.base import KnowledgeBase
from reactions.labs.lab import Lab
from reactions.modalities.text import TEXT
from reactions.planning.planner import Planner
from reactions.planning.scoring import check_embeds
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, needed_leaves, raw_leaves
from reactions.steps.centres import Centres, ChosenDescriptions, FileCentres

if TYPE_CHECKING:
    from numpy.typing import NDArray

CentreSource: TypeAlias = "KnowledgeBase | CentreFile"
"""Where descriptions are from: texts to be embedded, or rows that others embedded."""

_PICKLES = (".pkl", ".pickle", ".pt", ".pth")


@dataclass(frozen=True, slots=True)
class ClassCentres:
    """What is to stand for classes.

    Attributes:
        source: of the descriptions, from ``open_source``.
        options: which of them are chosen, and how they score.
    """

    source: CentreSource
    options: CentreOptions = DEFAULT_CENTRES


@dataclass(frozen=True, slots=True)
class PlannedCentres:
    """The centres of some classes, planned.

    Attributes:
        step: makes them.
        about: where they are from, for records: JSON-able.
        notices: what the user should know of them.
        items: labelled items that chose the descriptions; None where none did.
    """

    step: ChosenDescriptions
    about: Mapping[str, Any]
    notices: tuple[str, ...]
    items: Corpus | None = None


def open_source(lab: Lab, reference: str) -> CentreSource:
    """Return what ``--centres`` names: a knowledge base, or a file of centres.

    Raises:
        MissingError: there is no such file.
        UsageError: the lab has no such knowledge base, or it is a pickle.
        DataError: it cannot be read.
    """
    suffix = Path(reference).suffix.lower()
    if suffix == SUFFIX:
        return open_centre_file(expand_user(reference))
    if suffix in _PICKLES:
        raise UsageError(
            f"'{reference}' is a pickle, which is not opened here",
            why="a pickle may hold code",
            fix=f"molspace kb import unibind {reference} --out CENTRES.safetensors   reads its "
            "tensors alone",
        )
    return lab.knowledge(reference)


def described_classes(source: CentreSource) -> tuple[str, ...]:
    """Return all classes that a source describes, in its order.

    Categories of a knowledge base that has only their names, or only items of them, are left out.
    """
    if isinstance(source, CentreFile):
        return tuple(category.name for category in source.categories)
    return tuple(category for category in source.categories if source.of_category(category))


def plan_centres(
    planner: Planner,
    target: Target,
    centres: ClassCentres,
    classes: Sequence[str],
    *,
    name: str,
    adjustment: Adjustment = NO_ADJUSTMENT,
) -> PlannedCentres:
    """Plan the centres of classes in a target's space.

    Args:
        planner: of the lab.
        target: whose space.
        centres: what stands for the classes.
        classes: names; see ``match_classes`` for how they are found.
        name: of what has the classes, for people.
        adjustment: from ``fit_adjustment``.

    Raises:
        UsageError: the options do not fit.
        MissingError: the target lacks text, or the modality of the items.
        DataError: classes are not described, or have no training items.
    """
    source, options = centres.source, centres.options
    items: Corpus | None = None
    if isinstance(source, CentreFile):
        step: ChosenDescriptions = _of_file(planner, target, source, options, classes, name)
        about: dict[str, Any] = {
            "file": source.name,
            "digest": source.digest,
            "text_space": source.space or "unknown",
        }
        notices = [
            f"the rows of {source.name} are of the text encoder of {source.space or 'a space'}; "
            f"they have the width of {target.name}, and mean something in that very space alone"
        ]
        categories = [str(span) for span in step.spans]
    else:
        check_embeds(
            target, TEXT.name, "a knowledge base", "a space that embeds text: --space NAME"
        )
        categories = list(
            match_classes(
                classes,
                source.categories,
                where=f"knowledge base '{source.name}'",
                fix=f"molspace kb show {source.name} lists its categories; molspace kb build "
                "describes others",
            )
        )
        texts = class_texts(f"{source.name} descriptions", categories, source.of_category)
        items, labels, modality = _training_items(planner, target, options, classes)
        embedded: dict[str, Step] = {
            f"texts/{leaf.label}": planner.encode(leaf, texts.corpus, "descriptions")
            for leaf in needed_leaves(target.space, TEXT.name, adjustment)
        }
        if items is not None:
            raw = raw_leaves(target.space)
            embedded |= {
                f"items/{leaf.label}": planner.encode(
                    leaf, items, "training items", raw=leaf in raw
                )
                for leaf in needed_leaves(target.space, modality, adjustment)
            }
        step = Centres(
            name=f"{name} in {target.name}",
            options=options,
            seed=planner.lab.seed,
            spans=texts.spans,
            dim=target.space.dim,
            scored=target.space,
            trained=target.trained,
            adjustment=adjustment,
            embedded=embedded,
            item_modality=modality,
            item_classes=labels,
        )
        about = {"kb": source.name, "digest": source.digest}
        notices = list(source.notices)
    notices += _notices(classes, categories, step.counts, options)
    return PlannedCentres(step, about, tuple(notices), items)


def _of_file(
    planner: Planner,
    target: Target,
    source: CentreFile,
    options: CentreOptions,
    classes: Sequence[str],
    name: str,
) -> FileCentres:
    """Plan centres whose rows others made."""
    if source.dim != target.space.dim:
        raise DimensionMismatch(
            f"the centres of '{source.path}' do not fit {target.name}",
            why=f"they have {source.dim} dimensions, the space has {target.space.dim}; they are "
            f"of the text encoder of {source.space or 'another space'}",
            fix=f"evaluate {source.space or 'the space that they were made in'}, or make centres "
            "of this space: --centres KB",
            dims=[source.dim, target.space.dim],
        )
    if options.items:
        raise UsageError(
            "the selection 'items' needs descriptions as texts",
            why="the rows of a file of centres were chosen by whoever made it",
            fix="--selection all   or --centres KB",
        )
    categories = match_classes(
        classes,
        [category.name for category in source.categories],
        where=f"'{source.path}'",
        names_of=synset_names,
        fix="centres are of the classes they were made for; --centres KB describes others",
    )
    return FileCentres(
        name=f"{name} in {target.name}",
        options=options,
        seed=planner.lab.seed,
        spans=tuple(source.span(category) for category in categories),
        dim=source.dim,
        file=source,
    )


def _training_items(
    planner: Planner, target: Target, options: CentreOptions, classes: Sequence[str]
) -> tuple[Corpus | None, NDArray[np.int64] | None, Modality]:
    """Return the labelled items that decide, and each one's place among the classes, or -1."""
    if not options.items:
        return None, None, ""
    task, colon, split = options.items.partition(":")
    if not colon or not task or not split:
        raise UsageError(
            f"'{options.items}' names no training items",
            fix="--items TASK:SPLIT, as caltech101:train",
        )
    (training_task,) = planner.lab.parse_tasks(task)
    data = planner.lab.split(training_task.name, split)
    check_embeds(target, data.queries.modality, f"--items {options.items}")
    of_class = {name: place for place, name in enumerate(data.classes)}
    if tuple(classes) == tuple(data.classes):
        places = np.arange(len(classes))
    else:
        matched = match_classes(
            classes,
            list(of_class),
            where=f"the items of {options.items}",
            fix="a split that has them, or --selection central, which needs no items",
        )
        places = np.array([of_class[name] for name in matched])
    labels = np.full(len(data.labels), -1, np.int64)
    for index, place in enumerate(places):
        labels[data.labels == place] = index
    without = [name for index, name in enumerate(classes) if not (labels == index).any()]
    if without:
        raise DataError(
            f"{len(without)} of {len(classes)} classes have no items in {options.items}",
            why=", ".join(without[:5]) + (" and more" if len(without) > 5 else ""),
            fix="another split, or --selection central",
            classes=without[:20],
        )
    return data.queries, labels, data.queries.modality


def _notices(
    classes: Sequence[str],
    categories: Sequence[str],
    counts: Sequence[int],
    options: CentreOptions,
) -> list[str]:
    """Say what of the choice a user may not expect."""
    notices = []
    few = 0 if options.selection == "all" else sum(n < options.k for n in counts)
    if few:
        notices.append(
            f"{few} of {len(counts)} classes have fewer than {options.k} descriptions, the "
            f"fewest {min(counts)}; all of theirs are used"
        )
    n_used = [n if options.selection == "all" else min(n, options.k) for n in counts]
    if options.rule == "sum" and len(set(n_used)) > 1:
        notices.append(
            f"rule sum: classes have {min(n_used)} to {max(n_used)} descriptions, and those with "
            "fewer score lower for it; mean does not depend on their number"
        )
    if options.rule == "top-m" and min(n_used) < options.m:
        notices.append(
            f"rule {options.rule_text}: of classes with fewer than {options.m} descriptions, "
            "all are averaged"
        )
    if options.items:
        notices.append(f"{NOT_ZERO_SHOT}, {options.items}")
    for group in shared_classes(classes, categories):
        notices.append(
            f"{' and '.join(group)} have the same descriptions: no score tells them apart"
        )
    return notices
