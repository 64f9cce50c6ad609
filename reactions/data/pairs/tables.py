"""Pairs that a table lists: a row a pair, a column a modality."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from reactions.core.addresses import Entry, is_url
from reactions.core.file_names import as_stored
from reactions.core.local_files import is_file
from reactions.core.storage import entry_of
from reactions.data.pairs.config import PairPlaces
from reactions.data.sources.captions import captions_in
from reactions.data.sources.sides import Side, file_name, set_apart
from reactions.data.sources.table_rows import TableRow, read_table_rows
from reactions.modalities.registry import get


def read_sides(table: Entry, places: PairPlaces, remarks: list[str]) -> list[Side]:
    """Return the sides of the pairs that a table lists, good and bad, row by row.

    A pair's id is what the column of ids says, else the name of its first file, with the line
    where that comes more than once. A row with the id of an earlier one cannot be used.

    Args:
        table: one that ``read_table_rows`` takes, on this machine.
        places: its columns, and the folder of its files.
        remarks: gets a sentence for each thing that was guessed.

    Raises:
        DataError: the table is damaged, or lacks a column.
        MissingError: pyarrow is not installed.
        UsageError: the lab file says of a csv what this table does not have.
    """
    columns = tuple(column for _, column in places.names)
    rows = list(read_table_rows(table, replace(places.source, columns=columns), remarks))
    folder = Path(places.folder) if places.folder else Path(table.url).parent
    sides = [Side(modality) for modality, _ in places.names]
    names = [_name(row) for row in rows]
    times = Counter(names)
    line_of: dict[str, str] = {}
    seen: dict[str, set[str]] = {side.modality: set() for side in sides}
    for row, name in zip(rows, names, strict=True):
        why, id = row.why, name
        line = row.place.rpartition(":")[2]
        if not row.id and (times[name] > 1 or not name):
            id = set_apart(name or "row", row)
        if (first := line_of.setdefault(id, line)) != line:
            id, why = set_apart(id, row), why or f"its id is that of line {first}"
        values = row.values or (None,) * len(sides)
        for side, value in zip(sides, values, strict=True):
            own_id, text, entry, fault = id, "", None, why
            if fault:
                pass
            elif places.by_id:
                own_id, fault = _id(value, side, seen[side.modality])
            elif get(side.modality).inline:
                text, fault = _text(value)
            else:
                entry, fault = _file(value, folder)
            side.add(own_id if not fault else id, row.place, text=text, entry=entry, why=fault)
    return sides


def _id(value: Any, side: Side, seen: set[str]) -> tuple[str, str]:
    """Return the id that a field holds, and why it cannot be used."""
    id, why = _text(str(value) if isinstance(value, int) else value)
    if not why and id in seen:
        # Rows of a corpus have ids of their own: the same item cannot be in it twice.
        why = f"the {side.modality} id '{id}' comes a second time"
    seen.add(id)
    return id, why


def _name(row: TableRow) -> str:
    """Return what a row is called: by its id, or by its first file."""
    if row.id or row.why:
        return row.id
    return file_name(row.values[0])[0]


def _text(value: Any) -> tuple[str, str]:
    texts = captions_in(value)
    return texts[0] if len(texts) == 1 else ("", f"{len(texts)} texts, where a pair has one")


def _file(value: Any, folder: Path) -> tuple[Entry | None, str]:
    """Return the file that a field names, and why there is none."""
    name, why = file_name(value)
    if why:
        return None, why
    if is_url(name):
        return None, f"'{name}' is an address; tables name files of this machine"
    path = as_stored(folder / name)
    return (entry_of(path), "") if is_file(path) else (None, f"there is no file '{path}'")
