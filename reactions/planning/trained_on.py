"""Which of a task's items a product was trained on: zero-shot or fine-tuned, and leaks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from reactions.core.errors import MolspaceError
from reactions.core.scanned import ScannedCorpus
from reactions.data.audit import content_marks
from reactions.data.holdout import has_own_ids, ids_of
from reactions.eval.class_texts import spoken_name
from reactions.eval.protocol import corpora
from reactions.eval.registry import evaluation_set
from reactions.eval.result import Result
from reactions.planning.named_rows import task_data
from reactions.products.aligned import LCL
from reactions.products.tunings import learning_name

if TYPE_CHECKING:
    from reactions.core.types import Corpus, Modality
    from reactions.eval.task import Task
    from reactions.labs.lab import Lab
    from reactions.products.target import Target

FINE_TUNED: Final = "fine-tuned"
ZERO_SHOT: Final = "zero-shot"
ON_LABELS: Final = "trained on labels of these classes"
"""Of other items than the task's, drawn to the names of classes that it tells apart."""
UNKNOWN: Final = "unknown"
"""Where it cannot be found out whether an item or a class of the task was trained on."""
BY_ITEMS: Final = "by training items"
"""Of centres whose descriptions labelled training items chose: nothing was trained, and yet."""

Scored: TypeAlias = "Mapping[str, Corpus]"


@dataclass(frozen=True, slots=True)
class TrainedItems:
    """Items that an Lcl was trained on.

    Attributes:
        by: the Lcl, as ``Lcl(kb)``.
        knowledge: name and digest of the knowledge base.
        modality: of the items.
        corpus: that they are of, by its name in the lab that trained.
        digest: of the corpus.
        rows: items trained on.
        targets: what they were drawn to: ``"descriptions"``, or ``"labels"`` of their classes.
    """

    by: str
    knowledge: Mapping[str, str]
    modality: Modality
    corpus: str
    digest: str
    rows: int
    targets: str

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return {
            "by": self.by,
            "knowledge": dict(self.knowledge),
            "modality": self.modality,
            "corpus": self.corpus,
            "digest": self.digest,
            "rows": self.rows,
            "targets": self.targets,
        }


def with_setting(result: Result, lab: Lab, target: Target, task: Task) -> Result:
    """Return a result with its setting, and what it was trained on.

    The record gets ``setting``, the first of these that is true: ``"fine-tuned"`` where an Lcl
    was trained on the task's items or on a part of its set that may be trained on;
    ``"trained on labels of these classes"`` where it was drawn to the names of classes of the
    task (``targets=labels``); ``"unknown"`` where layers were imported whose items were not
    published, or what an Lcl was trained on cannot be compared with the task; ``"by training
    items"`` where such items chose the descriptions of its classes; else ``"zero-shot"``. What
    the layers of the scored modalities were trained on is in ``trained_on``, whatever the
    setting. Items are compared by the names and digests of corpora, by their contents, and by
    their ids. Scored items that were trained on are counted, and named in a notice; their number
    is None where it is not known.

    Args:
        result: of a score.
        lab: where the task's data are.
        target: what was scored.
        task: which.
    """
    trained = list(trained_items(target))
    centres = result.record.get("centres", {})
    untrained = ZERO_SHOT if centres.get("zero_shot", True) else BY_ITEMS
    imported = [m for m in _imported_layers(target) if m in (task.query, task.other)]
    if not trained and not imported:
        return replace(result, record={**result.record, "setting": untrained})
    data, _ = task_data(lab, task, target.space)
    classes: tuple[str, ...] = getattr(data, "classes", ())  # retrieval tells none apart
    scored = corpora(task, data)
    trained_on: list[dict[str, Any]] = []
    settings = {UNKNOWN} if imported else set()
    notices = [
        f"{task.name}: the layer of {modality} was imported; what it was trained on is not known"
        for modality in imported
    ]
    for items in trained:
        if items.modality not in {corpus.modality for corpus in scored.values()}:
            continue
        count, why = _scored_among(items, lab, scored)
        labelled, why_not = _labels_among(items, lab, classes)
        if why:
            notices.append(
                f"{task.name}: {items.by} was trained on {items.corpus}, which cannot be compared "
                f"with the items that are scored: {why}"
            )
        if why_not:
            notices.append(
                f"{task.name}: {items.by} was trained on labels, which cannot be compared with "
                f"the classes that are told apart: {why_not}"
            )
        if count:
            n = sum(len(c) for c in scored.values() if c.modality == items.modality)
            notices.append(
                f"{task.name}: TRAINED ON WHAT IS SCORED: {count:,} of {n:,} {items.modality} "
                f"items are among those of {items.corpus} that {items.by} was trained on; this is "
                "no score of unseen items"
            )
        if labelled:
            notices.append(
                f"{task.name}: {items.by} was trained on labels of {len(labelled):,} of its "
                f"{len(classes):,} classes"
            )
        if count or _is_of_task(items, lab, task, scored):
            settings.add(FINE_TUNED)
        if labelled:
            settings.add(ON_LABELS)
        if why or why_not:
            settings.add(UNKNOWN)
        trained_on.append({**items.to_json(), "scored": None if why else count})
    order = (FINE_TUNED, ON_LABELS, UNKNOWN)
    setting = next((candidate for candidate in order if candidate in settings), untrained)
    record = {**result.record, "setting": setting}
    if trained_on:
        record["trained_on"] = trained_on
    return replace(result, record={**record, "notices": [*record["notices"], *notices]})


def setting_notices(lab: Lab, target: Target, task: Task) -> list[str]:
    """Return what ``with_setting`` would note of any score of a target, and what is not zero-shot.

    For tables of many scores, whose rows do not say it.
    """
    record = with_setting(Result({"notices": []}, {}), lab, target, task).record
    if record["setting"] == ZERO_SHOT:
        return list(record["notices"])
    names = ", ".join(dict.fromkeys(entry["corpus"] for entry in record.get("trained_on", ())))
    trained = f"; layers were trained on {names}" if names else ""
    return [f"{task.name}: setting: {record['setting']}{trained}", *record["notices"]]


def _labels_among(items: TrainedItems, lab: Lab, classes: Sequence[str]) -> tuple[set[str], str]:
    """Return the classes whose names were trained on, and why that is not known, or ""."""
    if items.targets != "labels" or not classes:
        return set(), ""
    try:
        knowledge = lab.knowledge(items.knowledge["name"])
    except MolspaceError as error:
        return set(), error.what
    if knowledge.digest != items.knowledge["digest"]:
        return set(), f"knowledge base '{knowledge.name}' is another one here, or has changed since"
    labels = {spoken_name(category) for category in knowledge.items(items.modality).categories}
    return {name for name in classes if spoken_name(name) in labels}, ""


def _imported_layers(target: Target) -> list[Modality]:
    """Return the modalities whose layers were imported, without what they were trained on."""
    record = target.bundle.record if target.bundle else {}
    return sorted(
        modality
        for part in record.get("parts", ())
        if part["kind"] == LCL and part["about"]["knowledge"] is None
        for modality in part["about"]["layers"]
    )


def trained_items(target: Target) -> Iterator[TrainedItems]:
    """Yield what every Lcl of a bundle was trained on; imported layers do not say."""
    record = target.bundle.record if target.bundle else {}
    for about in (part["about"] for part in record.get("parts", ()) if part["kind"] == LCL):
        if (knowledge := about["knowledge"]) is None:
            continue
        for modality, layer in about["layers"].items():
            yield TrainedItems(
                learning_name(about),
                {"name": knowledge["name"], "digest": knowledge["digest"]},
                modality,
                layer["corpus"],
                layer["digest"],
                layer["rows"],
                about["targets"],
            )


def _scored_among(items: TrainedItems, lab: Lab, scored: Scored) -> tuple[int, str]:
    """Return how many scored items were trained on, and why that is not known, or ""."""
    corpora = [corpus for corpus in scored.values() if corpus.modality == items.modality]
    if any(corpus.digest == items.digest for corpus in corpora):
        return sum(len(c) for c in corpora if c.digest == items.digest), ""
    try:
        corpus = lab.named_corpus(items.corpus)
    except MolspaceError as error:
        return 0, error.what
    if corpus.digest != items.digest:
        return 0, "it is another one here, or has changed since"
    return sum(_in_common(lab, corpus, other) for other in corpora), ""


def _is_of_task(items: TrainedItems, lab: Lab, task: Task, scored: Scored) -> bool:
    """Return whether items are of a task's set: a part that may be trained on, or all of it."""
    head = items.corpus.partition(":")[0]
    try:
        (trained_task,) = lab.parse_tasks(head)
    except (MolspaceError, ValueError):
        trained_task = None
    if trained_task is not None and trained_task.name == task.name:
        return True
    if trained_task is not None and _shares_items(lab, trained_task, items.modality, scored):
        return True
    return items.digest in _splits(lab, task.name)


def _shares_items(lab: Lab, other: Task, modality: Modality, scored: Scored) -> bool:
    """Return whether another task, whose set was trained on, scores some of the same items."""
    try:
        trained_corpora = corpora(other, lab.benchmark(other.name)).values()
    except MolspaceError:
        return False
    return any(
        _in_common(lab, trained, scored_corpus)
        for trained in trained_corpora
        for scored_corpus in scored.values()
        if trained.modality == scored_corpus.modality == modality
    )


def _splits(lab: Lab, task: str) -> Iterator[str]:
    """Yield the digests of the parts of a task's set that may be trained on."""
    try:
        names = evaluation_set(task).splits
    except MolspaceError:  # one of the lab's own, which has no such parts
        return
    for name in names:
        try:
            yield lab.split(task, name).queries.digest
        except MolspaceError:
            continue


def _in_common(lab: Lab, trained: Corpus, scored: Corpus) -> int:
    """Return how many scored items were trained on, by their contents or their ids."""
    if trained.digest == scored.digest:
        return len(scored)
    marks, scored_marks = _marks(lab, trained), _marks(lab, scored)
    same = np.isin(scored_marks, marks[marks != 0])
    if (
        has_own_ids(trained)
        and has_own_ids(scored)
        and not (_is_scanned(trained) and _is_scanned(scored))
    ):
        # Contents decide where they are known: files of different folders may have one name.
        trained_ids = set(ids_of(trained))
        same |= np.fromiter((id in trained_ids for id in ids_of(scored)), bool, len(scored))
    return int(same.sum())


def _is_scanned(corpus: Corpus) -> bool:
    return isinstance(corpus, ScannedCorpus)


def _marks(lab: Lab, corpus: Corpus) -> Any:
    """Return the marks of a corpus's contents, made once a lab."""
    key = ("marks", corpus.digest)
    if key not in lab.opened:
        lab.opened[key] = content_marks(corpus)
    return lab.opened[key]
