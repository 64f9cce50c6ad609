"""A table as an evaluation set, without a lab file: ``eval --pairs`` and ``--labels``.

What the table lists is described as ``[tasks.NAME]`` of a lab file would, and read from that
description, which is also what makes it lasting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, Literal

from reactions.core.errors import UsageError, suggestion
from reactions.core.local_files import expand_user
from reactions.core.types import Modality
from reactions.data.column_names import SPLITS, guessed, named_after
from reactions.data.sources.table_headers import header_of
from reactions.eval.registry import loadable_sets, reserved
from reactions.eval.task import Task, folded
from reactions.labs.given_columns import by_ending, folder_of, no_column, read_columns, read_where
from reactions.labs.known_layouts import KnownLayout, file_names, known_layout
from reactions.labs.lab import Lab
from reactions.labs.mistakes import checked
from reactions.labs.schema import LabFile
from reactions.labs.shard_columns import are_shards, endings_of, media_of
from reactions.labs.task_sections import read_tasks
from reactions.modalities import registry

Kind = Literal["pairs", "labels"]

CLASS: Final = "class"
_CLASS_NAMES: Final = (CLASS, "label", "labels", "category", "classes", "cls")
_IF_IDS: Final = "; --by-id if the columns hold ids of embeddings"
_EXAMPLES: Final = {"audio": "wav", "text": "title"}


@dataclass(frozen=True)
class TableTask:
    """A table as a task of a lab.

    Attributes:
        lab: the lab with the task.
        task: the task.
        section: what ``[tasks.NAME]`` says of it.
        notices: what was guessed.
    """

    lab: Lab
    task: Task
    section: Mapping[str, Any]
    notices: tuple[str, ...]

    @property
    def toml(self) -> str:
        """The section as it stands in a lab file."""
        name = _toml(self.task.name) if "." in self.task.name else self.task.name
        lines = [f"[tasks.{name}]"]
        lines += [f"{key} = {_toml(value)}" for key, value in self.section.items()]
        return "\n".join(lines)


def table_task(
    lab: Lab,
    path: str | Path,
    kind: Kind,
    *,
    columns: Sequence[str] = (),
    templates: Sequence[str] = (),
    id_column: str | None = None,
    separator: str = "",
    folder: str | Path = "",
    where: Sequence[str] = (),
    by_id: bool | Sequence[str] = False,
    max_bad: float | None = None,
) -> TableTask:
    """Describe a table as an evaluation set, and add it to a lab.

    Args:
        lab: the lab.
        path: a csv, tsv, jsonl or parquet file, or annotations (``table_rows.ANNOTATIONS``).
        kind: ``"pairs"`` of two modalities, or ``"labels"`` of items of one.
        columns: ``MODALITY=COLUMN``, and ``class=COLUMN``; a modality several times where it has
            several columns. What is not named is told by the columns' names. A column may be
            composed: ``audio=Y{youtube_id}.wav``.
        templates: prompts for classes.
        id_column: of the items' ids; else files' names are ids.
        separator: between several classes of an item.
        folder: where paths in the table start; "" is beside it.
        where: ``COLUMN=VALUE``: the rows that are taken; of one column several values may be.
        by_id: whether columns hold ids of embeddings, not texts or names of files; or the
            modalities whose columns do.
        max_bad: share of the items that may be unusable; None is the default of all sets.

    Raises:
        MissingError: there is no such file.
        UsageError: it is not clear which columns are meant, or one is not there.
        DataError: the table cannot be read.
    """
    table = expand_user(str(path)).absolute()
    header = endings_of(table) if are_shards(table) else header_of(table)
    columns_given = read_columns(columns, header, table, also=(CLASS,))
    chosen = read_where(where, header, table)
    media_folder = folder_of(folder, table)
    if id_column is not None and id_column not in header:
        raise no_column(id_column, header, table)
    used = {name for names in columns_given.values() for name in names} | {id_column}
    rest = [name for name in header if name not in used]
    for name in by_id if not isinstance(by_id, bool) else ():
        if name not in (names := registry.names()):
            raise UsageError(f"by_id: '{name}' is not a modality", fix=suggestion(name, names))
    for option, is_given in (("id", id_column is not None), ("folder", bool(folder))):
        if by_id is True and is_given:
            raise UsageError(
                f"--{option} says nothing about ids of embeddings",
                why="with by_id the columns of the modalities are the ids",
                fix="--columns MODALITY=COLUMN names them, such as --columns image=key",
            )
    media, notices = _media(columns_given, rest, kind, table, chosen, media_folder, by_id)
    split = next((name for name in rest if name.casefold() in SPLITS), None)
    if split and split not in chosen:
        notices.append(
            f"the column {split} is not looked at: the rows of every {split} are scored; "
            f"--where {split}=test takes one"
        )
    section: dict[str, Any] = {
        "kind": "retrieval" if kind == "pairs" else "classification",
        "path": str(table),
        **{m: names[0] if len(names) == 1 else names for m, names in media.items()},
    }
    if kind == "labels":
        classes = columns_given.get(CLASS) or _class_column(rest, header, table, notices)
        boxes = table.suffix.lower() == ".json" and {"image_id", "category_id"} <= {*header}
        if boxes:
            notices.append("an image has the classes of all its annotations")
        several = bool(separator) or len(classes) > 1 or boxes
        section["kind"] = "multilabel" if several else "classification"
        section[CLASS] = classes[0] if len(classes) == 1 else classes
        if separator:
            section["separator"] = separator
    elif templates or separator or CLASS in columns_given:
        raise UsageError(
            "templates, classes and separators are of --labels", fix="leave them out of --pairs"
        )
    if templates:
        section["templates"] = list(templates)
    if id_column is not None:
        section["id"] = id_column
    if folder:
        section["folder"] = str(media_folder)
    if chosen:
        section["where"] = chosen
    if max_bad is not None:
        section["max_bad"] = max_bad
    if by_id:
        section["by_id"] = True if by_id is True else list(by_id)
    name = _name(table, lab)
    file = checked(LabFile, {"tasks": {name: section}}, table)
    (own_set,) = read_tasks(file.tasks, table, table.parent).values()
    added = replace(lab, own_tasks={**lab.own_tasks, name: own_set})
    return TableTask(added, own_set.task, section, tuple(notices))


def _media(
    columns_given: Mapping[str, list[str]],
    rest: Sequence[str],
    kind: Kind,
    table: Path,
    chosen: dict[str, list[str]],
    folder: Path,
    by_id: bool | Sequence[str],
) -> tuple[dict[Modality, list[str]], list[str]]:
    """Return the columns of each modality, and what was guessed; a known set chooses its split."""
    ids_of = () if not by_id else registry.names() if by_id is True else by_id
    media = {m: names for m, names in columns_given.items() if m != CLASS}
    needed = 2 if kind == "pairs" else 1
    notices: list[str] = []
    if len(media) < needed:
        shards = are_shards(table)
        named = media_of(rest, captions=needed > 1) if shards else guessed(rest, ids_of)
        found = {m: names for m, names in named.items() if m not in media}
        if len(media) + len(found) < needed and not ids_of and not shards:
            found |= {m: n for m, n in by_ending(rest, table).items() if m not in media}
        layout = known_layout(rest) if not ids_of else None
        if len(media) + len(found) < needed and layout and layout.fits(media, needed):
            _know(layout, media, notices, rest, table, chosen, folder)
        elif len(media) + len(found) == needed:
            for modality, names in found.items():
                media[modality] = names
                if names != [modality]:
                    notices.append(f"{modality}: the column {', '.join(names)}")
                if unused := [n for n in rest if n not in names and named_after(modality, n)]:
                    notices.append(
                        f"{modality}: the column {', '.join(names)}, not {', '.join(unused)}; "
                        f"--columns {modality}={unused[0]} takes that"
                    )
        else:
            media = {**media, **found}
    if len(media) != needed:
        what = f"{needed} modalities" if needed > 1 else "one modality"
        described = ", ".join(f"{m} ({', '.join(names)})" for m, names in media.items()) or "none"
        all_columns = [*rest, *chain.from_iterable(columns_given.values())]
        raise UsageError(
            f"cannot tell which columns of '{table.name}' hold {what}",
            why=f"found {described} among its columns {', '.join(all_columns)}",
            fix=f"--columns MODALITY=COLUMN for each, such as {_such_as(media, needed)}"
            + ("" if by_id or not guessed(rest, registry.names()) else _IF_IDS),
        )
    return media, notices


def _such_as(media: Mapping[Modality, Sequence[str]], needed: int) -> str:
    """Return options that name columns: those that were found, if there are more than needed."""
    named = {m: names[0] for m, names in media.items()} if len(media) > needed else _EXAMPLES
    return " ".join(f"--columns {m}={name}" for m, name in islice(named.items(), needed))


def _know(
    layout: KnownLayout,
    media: dict[Modality, list[str]],
    notices: list[str],
    header: Sequence[str],
    table: Path,
    chosen: dict[str, list[str]],
    folder: Path,
) -> None:
    """Add what a published set's columns mean, and its usual split; a notice says all of it."""
    notices.append(f"the columns are those of {layout.title}")
    if layout.split and layout.split[0] in header and layout.split[0] not in chosen:
        column, value = layout.split
        chosen[column] = [value]
        notices.append(f"rows: those of {column} = {value}; --where {column}=NAME takes others")
    for modality, column in layout.media.items():
        if modality not in media:
            media[modality] = [column]
            notices.append(f"{modality}: the column {column}")
    for modality in layout.called:
        if modality not in media:
            pattern, found = file_names(table, header, layout, modality, folder, chosen)
            media[modality] = [pattern]
            notices.append(f"{modality}: files called {pattern}, of which {found}")


def _class_column(
    rest: Sequence[str], header: Sequence[str], table: Path, notices: list[str]
) -> list[str]:
    names = [name for name in rest if name.casefold() in _CLASS_NAMES]
    if len(names) != 1:
        raise UsageError(
            f"cannot tell which column of '{table.name}' holds the classes",
            why=f"its columns: {', '.join(header)}",
            fix="--columns class=COLUMN",
        )
    if names[0] != CLASS:
        notices.append(f"classes: the column {names[0]}")
    return names


def _name(table: Path, lab: Lab) -> str:
    """Return a name for the task that no other has."""
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", table.stem).strip("-._") or "table"
    spellings = {folded(name) for name in lab.own_tasks}
    for published in loadable_sets()[0]:
        spellings |= published.task.spellings()
    while reserved(stem) or folded(stem) in spellings:
        stem = f"own-{stem}"
    return stem


def _toml(value: Any) -> str:
    import json

    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_toml(key)} = {_toml(v)}' for key, v in value.items())} }}"

    # JSON's texts and lists of texts are TOML's.
    return json.dumps(value, ensure_ascii=False)
