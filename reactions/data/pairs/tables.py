"""Pairs that a table lists: a row a pair, a column a modality."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reactions.core.addresses import Entry
from reactions.data.pairs.config import PairPlaces
from reactions.data.scan_cache import TableCache
from reactions.data.sources.captions import prefixes_of
from reactions.data.sources.config import OnProgress
from reactions.data.sources.parquet_media import FoundMedia
from reactions.data.sources.sides import Side, file_name, named_file, set_apart
from reactions.data.sources.stems import Stems
from reactions.data.sources.table_media import read_media_rows
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.text_values import captions_in
from reactions.modalities.registry import get


def read_sides(
    files: Sequence[Entry],
    places: PairPlaces,
    *,
    tables: TableCache,
    on_progress: OnProgress,
    remarks: list[str],
) -> list[Side]:
    """Return the sides of the pairs that tables list, good and bad, row by row.

    A pair's id is what the column of ids says, else the name of its first file, with the line
    where that comes more than once; with several tables the table's name stands before it. A row
    with the id of an earlier one cannot be used.

    Args:
        files: tables that ``read_media_rows`` takes; on this machine, if they name files.
        places: their columns, and the folder of the files.
        tables: remembers scans of media that lie in tables.
        on_progress: of the progress of scans.
        remarks: gets a sentence for each thing that was guessed.

    Raises:
        DataError: the table is damaged, or lacks a column.
        MissingError: pyarrow is not installed.
        UsageError: the lab file says of a csv what this table does not have.
    """
    sides = [Side(modality) for modality, _ in places.names]
    ids_seen: dict[str, set[str]] = {side.modality: set() for side in sides}
    source = replace(places.source, columns=tuple(column for _, column in places.names))
    stems = [Stems(side.modality) for side in sides]
    kinds = [None if places.by_id else side.modality for side in sides]
    for file, prefix in zip(files, prefixes_of(files), strict=True):
        rows = read_media_rows(
            file, source, kinds, tables=tables, on_progress=on_progress, remarks=remarks
        )
        _add_rows(sides, list(rows), prefix, places, file, ids_seen, stems)
    return sides


def _add_rows(
    sides: Sequence[Side],
    rows: Sequence[TableRow],
    prefix: str,
    places: PairPlaces,
    file: Entry,
    ids_seen: dict[str, set[str]],
    stems: Sequence[Stems],
) -> None:
    """Add the rows of one table to sides."""
    names = [_name(row) for row in rows]
    times = Counter(names)
    line_of: dict[str, str] = {}
    for row, name in zip(rows, names, strict=True):
        why, id = row.why, name
        line = row.place.rpartition(":")[2]
        if not row.id and (times[name] > 1 or not name):
            id = set_apart(name or "row", row)
        if (first := line_of.setdefault(id, line)) != line:
            id, why = set_apart(id, row), why or f"its id is that of line {first}"
        values = row.values or (None,) * len(sides)
        for side, value, named in zip(sides, values, stems, strict=True):
            own_id, text, media, fault = f"{prefix}{id}", "", FoundMedia(row.place), why
            if fault:
                pass
            elif places.by_id:
                own_id, fault = _id(value, side, ids_seen[side.modality])
            elif get(side.modality).inline:
                text, fault = _text(value)
            elif isinstance(value, FoundMedia):
                media, fault = value, value.why
            else:
                written, fault = file_name(value)
                entry = None
                if not fault:
                    entry, fault = named_file(written, file, places.folder, stems=named)
                media = FoundMedia(row.place, entry=entry)
            side.add(
                own_id if not fault else f"{prefix}{id}",
                row.place,
                text=text,
                entry=media.entry,
                cell=media.cell,
                why=fault,
            )


def _id(value: Any, side: Side, ids_seen: set[str]) -> tuple[str, str]:
    """Return the id that a field holds, and why it cannot be used."""
    id, why = _text(str(value) if isinstance(value, int) else value)
    if not why and id in ids_seen:
        # Rows of a corpus have ids of their own: the same item cannot be in it twice.
        why = f"the {side.modality} id '{id}' comes a second time"
    ids_seen.add(id)
    return id, why


def _name(row: TableRow) -> str:
    """Return what a row is called: by its id, or by its first file."""
    if row.id or row.why:
        return row.id
    first = row.values[0]
    return first.name if isinstance(first, FoundMedia) else file_name(first)[0]


def _text(value: Any) -> tuple[str, str]:
    texts = captions_in(value)
    return texts[0] if len(texts) == 1 else ("", f"{len(texts)} texts, where a pair has one")
