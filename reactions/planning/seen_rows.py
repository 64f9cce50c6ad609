"""Which scored items, named by ids of embeddings, a product's projectors were trained on."""

from __future__ import annotations

from reactions.core.errors import MolspaceError
from reactions.core.types import Modality, Space
from reactions.data.corpora import ids_of
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, sides_of
from reactions.labs.lab import Lab
from reactions.planning.planner import Planner
from reactions.planning.training import row_counts
from reactions.products.target import Target
from reactions.products.tree import mixtures


def seen_notes(lab: Lab, target: Target, task: Task, data: BenchmarkData) -> tuple[str, ...]:
    """Return what to say of scored rows that were trained on, or of which that is not known.

    Folders of embeddings are corpora and evaluation sets at once: what is scored may well have
    been trained on.

    Args:
        lab: where the task is.
        target: what is scored.
        task: a set whose items are named by ids; of others nothing is said.
        data: of the task.
    """
    own_set = lab.own_tasks.get(task.name)
    if own_set is None or not own_set.by_id or target.bundle is None:
        return ()
    if next(mixtures(target.space), None) is None:
        return ()
    key = ("trained rows", target.space, target.bundle.record.get("digest"))
    if key not in lab.opened:
        lab.opened[key] = _trained(lab, target.space, target.bundle.record.get("rows"))
    trained, why = lab.opened[key]
    if why:
        return (f"whether its projectors were trained on what is scored is not known: {why}",)
    shares = []
    for side in sides_of(data):
        if side.modality in own_set.by_id:
            seen = trained.get(side.modality, frozenset())
            n = sum(id in seen for id in ids_of(side))
            shares += [f"{n:,} of {len(side):,} {side.modality} items"] if n else []
    if not shares:
        return ()
    return (
        f"{' and '.join(shares)} are among those that its projectors were trained on (one by one, "
        "not as pairs); [corpora.MODALITY] in a lab file says what is trained on",
    )


def _trained(
    lab: Lab, space: Space, recorded: object
) -> tuple[dict[Modality, frozenset[str]], str]:
    """Return the ids that projectors were trained on, by modality, or why they are not known."""
    planner = Planner(lab)
    try:
        planner.heads(space)  # type: ignore[arg-type]  # an Lcl's base is planned as well
        splits = {pair: planner.mixture(*pair).splits for pair in mixtures(space)}
    except MolspaceError as error:
        return {}, error.what
    if [count.to_json() for count in row_counts(splits)] != recorded:
        return {}, "it was trained with other settings or corpora than this lab has"
    trained: dict[Modality, set[str]] = {}
    for by_modality in splits.values():
        for modality, split in by_modality.items():
            trained.setdefault(modality, set()).update(ids_of(split.training))
    return {modality: frozenset(ids) for modality, ids in trained.items()}, ""
