"""Items of evaluation sets that are named by the ids of their embeddings: those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from reactions.core.errors import DataError, UsageError
from reactions.core.types import Corpus, Modality, Space, SpaceSpec
from reactions.data.corpora import ids_of
from reactions.encoders.registry import ADAPTERS
from reactions.eval.own_set import OwnSet
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData, part_of, sides_of
from reactions.labs.lab import Lab
from reactions.modalities.text import TEXT
from reactions.planning.like_ids import how_alike
from reactions.products.acting import reachable_leaves

_FOLDER = "precomputed"
_SHOWN = 3


def task_data(lab: Lab, task: Task, space: Space) -> tuple[BenchmarkData, tuple[str, ...]]:
    """Return a task's data, and what is left out of them for a space.

    Of a set whose items are named by id, those are left out that a folder of embeddings in the
    space has no row for, whatever the factors: up to ``max_bad`` of a side.

    Args:
        lab: where the data are.
        task: which.
        space: that embeds them.

    Raises:
        MissingError: the lab has no such data.
        DataError: a folder has no ids, or lacks too many of the items.
        UsageError: an encoder of the space would have to embed what has only an id.
    """
    data = lab.benchmark(task.name)
    own_set = lab.own_tasks.get(task.name)
    if own_set is None or not own_set.by_id:
        return data, ()
    sides = [side for side in sides_of(data) if side.modality in own_set.by_id]
    folders = {side.modality: _folders(space, side.modality, own_set) for side in sides}
    key = (
        "named rows",
        own_set,
        tuple(side.digest for side in sides_of(data)),
        tuple(spec.weights_digest for specs in folders.values() for spec in specs),
    )
    if key not in lab.opened:
        lab.opened[key] = _with_rows(data, own_set, folders)
    found: tuple[BenchmarkData, tuple[str, ...]] = lab.opened[key]
    return found


def check_named_classes(
    lab: Lab, task: Task, data: BenchmarkData, prompts: Corpus, space: Space
) -> None:
    """Check that folders have the rows of classes that are looked up by their names.

    Args:
        lab: remembers what was checked.
        task: which.
        data: of it; of sets whose classes are prompted nothing is checked.
        prompts: of its classes.
        space: that embeds them.

    Raises:
        DataError: a folder has no ids, or lacks some of the classes.
    """
    if isinstance(data, RetrievalData) or not data.classes_by_id:
        return
    ids = ids_of(prompts)
    for spec in _specs(space, TEXT.name):
        key = ("named classes", spec.weights_digest, prompts.digest)
        if spec.adapter != _FOLDER or key in lab.opened:
            continue
        stored = _stored(spec, TEXT.name, task)
        absent = _absent(ids, stored)
        if absent:
            several = len(task.templates) > 1
            what = "prompts" if several else "classes"
            how = "with several prompts a class --template for each, and rows CLASS/0, CLASS/1, ..."
            raise DataError(
                f"no text embedding for {len(absent)} of {len(ids)} {what} of task '{task.name}' "
                f"in '{spec.source}'",
                why=f"looked for the ids {_few(absent)}; text ids that are there: {_few(stored)}",
                fix=f"embed the {what}, and call their rows so; {how}; or --centres FILE",
                task=task.name,
                space=spec.name,
                n_missing=len(absent),
                missing=absent[:5],
            )
        lab.opened[key] = True


def _with_rows(
    data: BenchmarkData, own_set: OwnSet, folders: dict[Modality, list[SpaceSpec]]
) -> tuple[BenchmarkData, tuple[str, ...]]:
    notices = [note for side in sides_of(data) for note in getattr(side, "notices", ())]
    n_before = len(notices)
    found = []
    for side in sides_of(data):
        ids = ids_of(side)
        absent: dict[str, str] = {}
        for spec in folders.get(side.modality, ()):
            stored = _stored(spec, side.modality, own_set.task)
            lacking = _absent(ids, stored)
            if len(lacking) == len(ids):
                raise _none(own_set, spec, side.modality, ids, stored)
            absent |= dict.fromkeys(lacking, spec.name)
        if absent:
            _hold_to(own_set, side, absent)
            first, space = next(iter(absent.items()))
            are = "is" if len(absent) == 1 else "are"
            notices.append(
                f"{side.modality}: {len(absent)} of {len(ids)} items {are} left out, as folders "
                f"have no rows for them: '{first}' in '{space}'"
            )
        found.append(np.array([id not in absent for id in ids], np.bool_))
    if len(notices) == n_before:
        return data, ()
    if not isinstance(data, RetrievalData):
        return part_of(data, found[0], what="embedded", expected=data.expected), tuple(notices)
    left, right = found
    right = right & left[data.owner]
    left = np.isin(np.arange(len(left)), data.owner[right])
    if not left.any():
        raise DataError(
            f"no pair of task '{own_set.task.name}' has the embeddings of both of its items",
            why="; ".join(notices[n_before:]),
            fix=own_set.fix,
            task=own_set.task.name,
        )
    taken = part_of(data, left, right=right, what="embedded", expected=data.expected)
    return taken, tuple(notices)


def _specs(space: Space, modality: Modality) -> list[SpaceSpec]:
    return list(
        {leaf.spec.source: leaf.spec for leaf in reachable_leaves(space, modality)}.values()
    )


def _folders(space: Space, modality: Modality, own_set: OwnSet) -> list[SpaceSpec]:
    """Return the folders that look up a modality.

    Raises:
        UsageError: an encoder of ours embeds it, too.
    """
    specs = _specs(space, modality)
    for spec in specs:
        others = sorted(own_set.by_id - {modality})
        some = f', or name the other alone, by_id = "{others[0]}"' if others else ""
        refuse_encoder(spec, modality, f"task '{own_set.task.name}'", some)
    # Adapters of installed packages may look up ids, too, and say themselves what they lack.
    return [spec for spec in specs if spec.adapter == _FOLDER]


def refuse_encoder(spec: SpaceSpec, modality: Modality, named_by: str, some: str = "") -> None:
    """Refuse to have one of our encoders embed items of which only the ids are there.

    Args:
        spec: of the space.
        modality: of the items.
        named_by: what names them.
        some: how others may be named so all the same.

    Raises:
        UsageError: the space is no folder of embeddings.
    """
    if spec.adapter != _FOLDER and spec.adapter in ADAPTERS:
        raise UsageError(
            f"{named_by} names {modality} items by id, and '{spec.name}' embeds {modality} itself",
            why="by_id looks rows up in folders of embeddings; an encoder needs the "
            + ("texts" if modality == TEXT.name else "files"),
            fix=f"leave by_id out{some}; or take spaces that are folders of embeddings",
            space=spec.name,
            modality=modality,
        )


def refuse_ids_alone(corpus: Corpus, specs: Sequence[SpaceSpec], named_by: str) -> None:
    """Refuse to have our encoders embed a corpus whose items have only ids.

    Raises:
        UsageError: one of the spaces is no folder of embeddings.
    """
    if corpus.items(0, 1)[0].value is None:  # of such a corpus, as of all of its rows
        for spec in specs:
            refuse_encoder(spec, corpus.modality, named_by)


def _stored(spec: SpaceSpec, modality: Modality, task: Task) -> list[str]:
    from reactions.encoders.precomputed.corpora import named_rows

    return named_rows(spec, modality, f"task '{task.name}'")


def _absent(ids: Sequence[str], stored: Sequence[str]) -> list[str]:
    from reactions.encoders.precomputed.ids import RowIndex

    return [id for id, row in zip(ids, RowIndex(list(stored)).rows(ids), strict=True) if row < 0]


def _none(
    own_set: OwnSet, spec: SpaceSpec, modality: Modality, ids: Sequence[str], stored: Sequence[str]
) -> DataError:
    columns = dict(own_set.media).get(modality, ())
    alike = how_alike(ids, stored, modality, columns)
    return DataError(
        f"none of the {len(ids)} {modality} ids of task '{own_set.task.name}' is in "
        f"'{spec.source}'",
        why=f"the table has {_few(ids)}; the folder has {_few(stored)}",
        fix=alike
        or f"{own_set.fix}: name the column that holds the ids used when embedding"
        + (
            '; texts that are to be encoded are no ids: by_id = "MODALITY" names those that are'
            if modality == TEXT.name
            else ""
        ),
        task=own_set.task.name,
        space=spec.name,
        modality=modality,
        missing=list(ids[:5]),
        stored=list(stored[:5]),
    )


def _hold_to(own_set: OwnSet, side: Corpus, absent: dict[str, str]) -> None:
    share = own_set.source.max_bad
    if len(absent) <= share * len(side) + 1e-6:  # 0.29 of 100 are 29
        return
    shown = [f"'{id}' in '{space}'" for id, space in list(absent.items())[:_SHOWN]]
    raise DataError(
        f"folders have no rows for {len(absent)} of {len(side)} {side.modality} items of task "
        f"'{own_set.task.name}'",
        why=f"such as {', '.join(shown)}",
        fix="embed these items too, leave them out of the table, or raise max_bad (now "
        f"{share:g}) under [tasks.{own_set.task.name}]",
        task=own_set.task.name,
        modality=side.modality,
        n_missing=len(absent),
        n_items=len(side),
        missing=list(absent)[:5],
    )


def _few(ids: Iterable[str]) -> str:
    ids = list(ids)
    more = ", ..." if len(ids) > _SHOWN else ""
    return ", ".join(f"'{id[:60]}'" for id in ids[:_SHOWN]) + more
