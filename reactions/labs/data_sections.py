"""The sections of a lab file that name data: ``[corpora.MODALITY]`` and ``[data]``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, UsageError, did_you_mean, suggestion
from reactions.core.local_files import expand_user
from reactions.core.protocols import check_address
from reactions.core.storage import absolute, is_url
from reactions.core.types import Modality
from reactions.data.sources.config import DEPTHS, MAX_BAD, Source
from reactions.eval.registry import Folders, task_names
from reactions.labs.toml_values import check_keys, table_of, typed

DATA_VARIABLE = "MOLSPACE_DATA"
_KEYS = (
    "world",
    "manifest",
    "path",
    "column",
    "id",
    "header",
    "delimiter",
    "quoted",
    "member",
    "skip",
    "max_bad",
    "check",
)
_OF_TEXTS = ("column", "id", "header", "delimiter", "quoted")
_OF_FILES = ("column", "id", "header", "delimiter", "quoted", "member")

_USUAL = ("audio", "depth", "image", "text", "thermal", "video")
"""Modalities that a near name must be a slip of; any other may be somebody's own."""


@dataclass(frozen=True, slots=True)
class CorpusSource:
    """Where the items of one modality come from.

    Attributes:
        world_rows: rows of the mini world; 0 for real items.
        sources: files, folders, shards and manifests, in order.
    """

    world_rows: int = 0
    sources: tuple[Source, ...] = ()


def data_home() -> Path:
    """Return what ``$MOLSPACE_DATA`` stands for: the variable, or a place of the user's."""
    chosen = os.environ.get(DATA_VARIABLE)
    if chosen:
        return expand_user(chosen).absolute()
    home = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "molspace" / "data"


def read_corpora(data: Mapping[str, Any], path: Path, root: Path) -> dict[Modality, CorpusSource]:
    """Return what ``[corpora]`` says: a table for each modality, or a list of tables.

    Args:
        data: the whole file.
        path: the file; relative paths start beside it.
        root: what ``$MOLSPACE_DATA`` stands for in paths.

    Raises:
        UsageError: a key or a value is wrong.
        DataError: a corpus of the mini world without rows.
    """
    found: dict[Modality, CorpusSource] = {}
    for modality, entry in table_of(data, "corpora", path).items():
        where = f"corpora.{modality}"
        if modality not in _USUAL and did_you_mean(modality, _USUAL):
            raise UsageError(
                f"{path}: unknown modality '{modality}' in [{where}]",
                fix=suggestion(modality, _USUAL),
            )
        for one in entry if isinstance(entry, list) else [entry]:
            _check_table_keys(one, modality, where, path)
        if isinstance(entry, list):
            if not entry:
                raise UsageError(f"{path}: {where} is an empty list")
            sources = tuple(
                _source(one, f"{where}[{i}]", path, root) for i, one in enumerate(entry)
            )
            found[modality] = CorpusSource(sources=sources)
            continue
        check_keys(entry, _KEYS, path, f"{where}.")
        if "world" in entry:
            if len(entry) > 1:
                raise UsageError(f"{path}: {where} takes nothing beside world")
            rows = typed(entry["world"], int, path, f"{where}.world")
            if rows < 1:
                raise DataError(f"{path}: the {modality} corpus is empty (world = {rows})")
            found[modality] = CorpusSource(world_rows=rows)
        else:
            found[modality] = CorpusSource(sources=(_source(entry, where, path, root),))
    return found


def _source(entry: Any, where: str, path: Path, root: Path) -> Source:
    check_keys(entry, _KEYS, path, f"{where}.")
    if ("path" in entry) == ("manifest" in entry) or "world" in entry:
        raise UsageError(
            f"{path}: {where} needs either world, manifest or path",
            fix='path = "captions.txt", a folder, "shards-{0000..0009}.tar", or a list of them',
        )
    share = typed(entry.get("max_bad", MAX_BAD), float, path, f"{where}.max_bad")
    if not 0 <= share <= 1:
        raise UsageError(f"{path}: {where}.max_bad must be a share from 0 to 1, not {share!r}")
    depth = typed(entry.get("check", "header"), str, path, f"{where}.check")
    if depth not in DEPTHS:
        raise UsageError(f"{path}: {where}.check is '{depth}'", fix=suggestion(depth, DEPTHS))
    manifest = None
    if "manifest" in entry:
        for key in _OF_FILES:
            if key in entry:
                raise UsageError(f"{path}: {where}.{key} goes with path, not with manifest")
        text = typed(entry["manifest"], str, path, f"{where}.manifest")
        manifest = path.parent / expand_user(_rooted(text, root))
    texts = _texts(entry.get("path", []), path, f"{where}.path")
    columns, id_column = _columns(entry, path, where)
    return Source(
        paths=tuple(_absolute(_rooted(text, root), path, f"{where}.path") for text in texts),
        manifest=manifest,
        columns=columns,
        id_column=id_column,
        header=typed(entry.get("header", True), bool, path, f"{where}.header"),
        delimiter=_delimiter(entry, path, where),
        quoted=typed(entry["quoted"], bool, path, f"{where}.quoted") if "quoted" in entry else None,
        member=typed(entry.get("member", ""), str, path, f"{where}.member").lower(),
        skip=frozenset(_texts(entry.get("skip", []), path, f"{where}.skip")),
        max_bad=share,
        check="full" if depth == "full" else "header",
    )


def _check_table_keys(entry: Any, modality: Modality, where: str, path: Path) -> None:
    for key in _OF_TEXTS if modality != "text" and isinstance(entry, Mapping) else ():
        if key in entry:
            raise UsageError(
                f"{path}: {where}.{key} says how texts are read; {modality} has no columns",
                fix="remove it",
            )


def _absolute(text: str, path: Path, where: str) -> str:
    """Return an absolute path or URL; an address that is never opened is refused here already."""
    found = absolute(text, path.parent)
    if is_url(found):
        try:
            check_address(found)
        except UsageError as error:
            raise UsageError(
                f"{path}: {where}: {error.what}", why=error.why, fix=error.fix, **error.fields
            ) from None
    return found


def _columns(
    entry: Mapping[str, Any], path: Path, where: str
) -> tuple[tuple[str | int, ...], str | int]:
    """Return the columns of captions, and that of ids: by name, or by number from 0."""
    columns: list[str | int] = []
    given = entry.get("column", [])
    for column in given if isinstance(given, list) else [given]:
        columns.append(_column(column, path, f"{where}.column"))
    id_column = entry.get("id", "")
    if id_column != "":
        id_column = _column(id_column, path, f"{where}.id")
    if len(set(columns)) < len(columns):
        raise UsageError(f"{path}: {where}.column names a column twice")
    if entry.get("header") is False:
        for key, column in (*(("column", c) for c in columns), ("id", id_column)):
            if isinstance(column, str) and column:
                raise UsageError(
                    f"{path}: {where}.{key} is '{column}', but with header = false none has a name",
                    fix=f"give its number, from 0: {key} = 0",
                )
    return tuple(columns), id_column


def _column(value: Any, path: Path, where: str) -> str | int:
    if type(value) is int:
        if value < 0:
            raise UsageError(f"{path}: {where} is {value}; columns are counted from 0")
        return value
    if not isinstance(value, str):
        raise UsageError(f"{path}: {where} must be a string or a whole number, not {value!r}")
    if not value.strip():
        raise UsageError(f"{path}: {where} is empty")
    return value


def _delimiter(entry: Mapping[str, Any], path: Path, where: str) -> str:
    text: str = typed(entry.get("delimiter", ""), str, path, f"{where}.delimiter")
    if ("delimiter" in entry and len(text) != 1) or text in ('"', "\r", "\n", "\0"):
        raise UsageError(
            f"{path}: {where}.delimiter must be one character, no quote and no line break",
            fix='delimiter = ";"   or, for tabs,   delimiter = "\\t"',
        )
    return text


def _rooted(text: str, root: Path) -> str:
    return text.replace(f"${DATA_VARIABLE}", str(root), 1) if text.startswith("$") else text


def _texts(value: Any, path: Path, where: str) -> tuple[str, ...]:
    """Return a text or a list of texts, none of them empty."""
    found = value if isinstance(value, list) else [value]
    for text in found:
        if not typed(text, str, path, where).strip():
            raise UsageError(f"{path}: {where} is empty")
    return tuple(found)


def read_folders(data: Mapping[str, Any], base: Folders, path: Path, root: Path) -> Folders:
    """Return what ``[data]`` says: ``root = FOLDER``, and ``[data.TASK]`` with ``path``.

    Args:
        data: the whole file.
        base: what the lab that this one extends says.
        path: the file; relative folders start beside it.
        root: what ``$MOLSPACE_DATA`` stands for in paths.

    Raises:
        UsageError: a key or a value is wrong.
    """
    given = table_of(data, "data", path)
    check_keys(given, ("root", *task_names()), path, "data.")
    folder, tasks = base.root, dict(base.tasks)
    for key, value in given.items():
        if key == "root":
            text = _rooted(typed(value, str, path, "data.root"), root)
            folder = path.parent / expand_user(text)
            continue
        check_keys(value, ("path",), path, f"data.{key}.")
        if "path" not in value:
            raise UsageError(f"{path}: data.{key}.path is missing", fix='path = "FOLDER"')
        text = _rooted(typed(value["path"], str, path, f"data.{key}.path"), root)
        tasks[key] = path.parent / expand_user(text)
    return Folders(root=folder, tasks=tasks)
