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

from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.local_files import exists, expand_user, is_dir
from reactions.core.storage import entry_of
from reactions.core.text_lines import MAX_LINE_BYTES, read_lines
from reactions.core.types import Modality
from reactions.data.delimited import DELIMITERS, Dialect
from reactions.data.sources.captions import TABLES, parse_json
from reactions.data.sources.config import Source
from reactions.data.sources.table_rows import SUFFIXES, read_table_rows
from reactions.eval.registry import loadable_sets, reserved
from reactions.eval.task import Task, folded
from reactions.labs.lab import Lab
from reactions.labs.mistakes import checked
from reactions.labs.schema import LabFile
from reactions.labs.task_sections import read_tasks
from reactions.modalities import registry
from reactions.modalities.suffixes import modality_of

Kind = Literal["pairs", "labels"]

CLASS: Final = "class"
_CLASS_NAMES: Final = (CLASS, "label", "labels", "category", "classes")
_FILE_NAMES: Final = ("file", "filename", "file_name", "path", "filepath", "file_path", "fname")
_SPLITS: Final = ("split", "subset", "partition")
_USUAL: Final[Mapping[Modality, tuple[str, ...]]] = {
    "text": ("caption", "captions", "sentence", "description", "query", "texts"),
    "image": ("img", "picture", "photo", "images"),
    "audio": ("sound", "wav", "sounds"),
    "video": ("clip", "videos"),
}
_SAMPLED_ROWS: Final = 100


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
        lines = [f"[tasks.{self.task.name}]"]
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
) -> TableTask:
    """Describe a table as an evaluation set, and add it to a lab.

    Args:
        lab: the lab.
        path: a csv, tsv, jsonl or parquet file; paths in it start beside it.
        kind: ``"pairs"`` of two modalities, or ``"labels"`` of items of one.
        columns: ``MODALITY=COLUMN``, and ``class=COLUMN``; a modality several times where it has
            several columns. What is not named is told by the columns' names.
        templates: prompts for classes.
        id_column: of the items' ids; else files' names are ids.
        separator: between several classes of an item.

    Raises:
        MissingError: there is no such file.
        UsageError: it is not clear which columns are meant, or one is not there.
        DataError: the table cannot be read.
    """
    table = expand_user(str(path)).absolute()
    header = _header(table)
    columns_given = _given(columns, header, table)
    if id_column is not None and id_column not in header:
        raise _no_column(id_column, header, table)
    used = {name for names in columns_given.values() for name in names} | {id_column}
    rest = [name for name in header if name not in used]
    media, notices = _media(columns_given, rest, kind, table)
    if split := next((name for name in rest if name.casefold() in _SPLITS), None):
        notices.append(f"the column {split} is not looked at: the rows of every {split} are scored")
    section: dict[str, Any] = {
        "kind": "retrieval" if kind == "pairs" else "classification",
        "path": str(table),
        **{m: names[0] if len(names) == 1 else names for m, names in media.items()},
    }
    if kind == "labels":
        classes = columns_given.get(CLASS) or _class_column(rest, header, table, notices)
        several = bool(separator) or len(classes) > 1
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
    name = _name(table, lab)
    file = checked(LabFile, {"tasks": {name: section}}, table)
    (own_set,) = read_tasks(file.tasks, table, table.parent).values()
    added = replace(lab, own_tasks={**lab.own_tasks, name: own_set})
    return TableTask(added, own_set.task, section, tuple(notices))


def _header(table: Path) -> list[str]:
    """Return the names of a table's columns."""
    if not exists(table):
        raise MissingError(f"no table at '{table}'", fix="correct the path", path=str(table))
    if is_dir(table) or table.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"'{table}' is not a table",
            why=f"it does not end in {', '.join(SUFFIXES)}",
            fix="folders of files are described in a lab file: [tasks.NAME], docs/own-data.md",
        )
    suffix = table.suffix.lower()
    if suffix == ".parquet":
        from reactions.encoders.precomputed.parquet import pyarrow_of

        pa, parquet = pyarrow_of(table)
        try:
            return list(parquet.read_schema(table).names)
        except (OSError, pa.ArrowException) as error:
            raise _unreadable(table, str(error)) from error
    try:
        with table.open("rb") as stream:
            lines = (line for _, line in read_lines(stream) if line.strip())
            first = next(lines, b"")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise _unreadable(table, str(error)) from error
    if not first or len(first) > MAX_LINE_BYTES:
        blank = "it holds no text" if table.stat().st_size else "it is empty"
        raise _unreadable(table, "its first line has no end" if first else blank)
    if suffix not in TABLES:
        record, why = parse_json(first)
        if why or not isinstance(record, dict):
            raise _unreadable(table, why or "its first line is not a JSON object")
        return list(record)
    try:
        text = first.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _unreadable(table, "its first line is not UTF-8") from None
    delimiter = "\t" if suffix == ".tsv" else max(DELIMITERS, key=text.count)
    try:
        names = Dialect(delimiter, quoted=suffix != ".tsv").fields_of(text)
    except Exception as error:
        raise _unreadable(table, str(error)) from error
    return [name.strip() for name in names]


def _given(columns: Sequence[str], header: Sequence[str], table: Path) -> dict[str, list[str]]:
    """Read ``MODALITY=COLUMN``."""
    columns_given: dict[str, list[str]] = {}
    names = [*registry.names(), CLASS]
    for text in columns:
        name, equals, column = text.partition("=")
        if not equals or not column:
            raise UsageError(
                f"--columns {text}", fix="--columns MODALITY=COLUMN, such as audio=wav"
            )
        if name not in names:
            raise UsageError(f"--columns: '{name}' is not a modality", fix=suggestion(name, names))
        if column not in header:
            raise _no_column(column, header, table)
        columns_given.setdefault(name, []).append(column)
    return columns_given


def _media(
    columns_given: Mapping[str, list[str]], rest: Sequence[str], kind: Kind, table: Path
) -> tuple[dict[Modality, list[str]], list[str]]:
    """Return the columns of each modality, and what was guessed."""
    media = {m: names for m, names in columns_given.items() if m != CLASS}
    needed = 2 if kind == "pairs" else 1
    notices: list[str] = []
    if len(media) < needed:
        guessed = {m: names for m, names in _guessed(rest).items() if m not in media}
        if not guessed and (by_ending := _by_ending(rest, table)):
            guessed = by_ending
        if len(media) + len(guessed) == needed:
            for modality, names in guessed.items():
                media[modality] = names
                if names != [modality]:
                    notices.append(f"{modality}: the column {', '.join(names)}")
                if unused := [n for n in rest if n not in names and _names(modality, n)]:
                    notices.append(
                        f"{modality}: the column {', '.join(names)}, not {', '.join(unused)}; "
                        f"--columns {modality}={unused[0]} takes that"
                    )
        else:
            media = {**media, **guessed}
    if len(media) != needed:
        what = f"{needed} modalities" if needed > 1 else "one modality"
        described = ", ".join(f"{m} ({', '.join(names)})" for m, names in media.items()) or "none"
        all_columns = [*rest, *chain.from_iterable(columns_given.values())]
        raise UsageError(
            f"cannot tell which columns of '{table.name}' hold {what}",
            why=f"found {described} among its columns {', '.join(all_columns)}",
            fix="--columns MODALITY=COLUMN for each, such as --columns audio=wav"
            + (" --columns text=title" if needed > 1 else ""),
        )
    return media, notices


def _guessed(names: Sequence[str]) -> dict[Modality, list[str]]:
    """Return the columns that are named after modalities, alone or numbered."""
    guessed: dict[Modality, list[str]] = {}
    for modality in registry.names():
        matching = [name for name in names if _names(modality, name)]
        numbered = [name for name in matching if name[-1].isdecimal()]
        exact = [name for name in matching if name not in numbered]
        if len(exact) == 1 and not numbered:
            guessed[modality] = exact
        elif numbered and not exact:
            guessed[modality] = numbered
        elif modality in names:
            guessed[modality] = [modality]
    return guessed


def _names(modality: Modality, column: str) -> bool:
    """Return whether a column is named after a modality, alone or numbered."""
    words = {modality, *_USUAL.get(modality, ())}
    words |= {f"{modality}_path", f"{modality}_file", f"{modality}s"}
    stems = "|".join(re.escape(word) for word in sorted(words))
    return re.fullmatch(rf"(?:{stems})(?:[_ ]?\d+)?", column.casefold()) is not None


def _by_ending(names: Sequence[str], table: Path) -> dict[Modality, list[str]]:
    """Return a column of files by the endings of its first values; {} where they do not agree."""
    files = [name for name in names if name.casefold() in _FILE_NAMES]
    if len(files) != 1:
        return {}
    rows = read_table_rows(entry_of(table), Source(columns=(files[0],)), [])
    modalities = {
        modality_of(str(row.values[0])) for row in islice(rows, _SAMPLED_ROWS) if not row.why
    }
    if len(modalities) != 1 or not (modality := modalities.pop()):
        return {}
    return {modality: files}


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


def _no_column(column: str, header: Sequence[str], table: Path) -> UsageError:
    return UsageError(
        f"'{table.name}' has no column '{column}'",
        why=f"its columns: {', '.join(header)}",
        fix=suggestion(column, header),
    )


def _unreadable(table: Path, why: str) -> DataError:
    return DataError(f"cannot read '{table}'", why=why, path=str(table))


def _toml(value: Any) -> str:
    import json

    # JSON's texts and lists of texts are TOML's.
    return json.dumps(value, ensure_ascii=False)
