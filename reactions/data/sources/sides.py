"""Items of one modality that a table or folders name, good and bad, and their scan as a part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.addresses import Entry, is_url
from reactions.core.file_names import as_stored
from reactions.core.hashing import digest
from reactions.core.local_files import is_file
from reactions.core.paths import cache_root
from reactions.core.storage import entry_of
from reactions.core.types import Modality
from reactions.data.parquet_cells import ParquetCell
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.cells import CellPart, with_cells
from reactions.data.sources.config import OnProgress
from reactions.data.sources.files import Look, files_part
from reactions.data.sources.parts import CorpusPart, FilePart, TextPart, signature_of
from reactions.data.sources.stems import Stems, has_ending
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.text_values import captions_in
from reactions.modalities.base import CheckDepth
from reactions.modalities.registry import get
from reactions.modalities.suffixes import describe_others
from reactions.weights.hub import hub_cache


@dataclass(slots=True)
class Side:
    """Items of one modality, good and bad, by rows.

    Attributes:
        modality: of all of them.
        ids: of each, unique.
        places: where each comes from.
        texts: of inline items; "" for files.
        entries: of the files; None where there is none, and for inline items.
        cells: items that are fields of parquet files, scanned already; None for others.
        whys: why it cannot be used; "" for good ones.
        owners: of right items: the id of the left one.
        labels: the classes of each.
        others: files of other kinds that lie beside.
    """

    modality: Modality
    ids: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    entries: list[Entry | None] = field(default_factory=list)
    cells: list[ParquetCell | None] = field(default_factory=list)
    whys: list[str] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    labels: list[list[str]] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)

    def add(
        self,
        id: str,
        place: str,
        *,
        text: str = "",
        entry: Entry | None = None,
        cell: ParquetCell | None = None,
        why: str = "",
        owner: str = "",
        labels: Sequence[str] = (),
    ) -> None:
        """Add a row."""
        self.ids.append(id)
        self.places.append(place)
        self.texts.append(text)
        self.entries.append(entry)
        self.cells.append(cell)
        self.whys.append(why)
        self.owners.append(owner)
        self.labels.append(list(labels))


def side_part(
    name: str,
    side: Side,
    *,
    key: str,
    size_bytes: int = 0,
    tables: TableCache,
    depth: CheckDepth,
    on_progress: OnProgress,
    remarks: Sequence[str] = (),
    look: Look | None = None,
    own_ids: NDArray[np.bool_] | bool = True,
) -> CorpusPart:
    """Scan the files of a side; texts are read already.

    Args:
        name: of the part.
        side: the items.
        key: what to remember the scan under.
        size_bytes: of what holds the texts.
        tables: remembers scans.
        depth: how hard to look for damage.
        on_progress: of the progress.
        remarks: for people, about how the items were read.
        look: see ``files_part``.
        own_ids: which rows have ids of their own.

    Raises:
        DataError: an id is repeated, or nothing is there.
    """
    notices = list(remarks)
    if side.others:
        notices.append(describe_others(side.others, side.modality))
    facts: dict[str, Any] = {"notices": notices} if notices else {}
    if side.others:
        facts["others"] = side.others
    columns = {"id": side.ids, "text": side.texts, "place": side.places, "why": side.whys}
    if get(side.modality).inline:
        packed = {key: Strings.pack(values) for key, values in columns.items()}
        # Not the table's own stamp: other columns of one table are other texts.
        signature = digest("texts", [side.ids, side.texts])
        return TextPart(name, ScanTable(packed, facts), signature, size_bytes)
    part = files_part(
        name,
        list(zip(side.ids, side.entries, strict=True)),
        side.modality,
        key=key,
        tables=tables,
        depth=depth,
        on_progress=on_progress,
        look=look,
    )
    whys = zip(side.whys, part.table.strings("why"), strict=True)
    scanned = {
        **part.table.columns,
        "place": Strings.pack(side.places),
        "why": Strings.pack(why or fault for why, fault in whys),
    }
    facts = {**part.table.facts, **facts}
    if not any(side.cells):
        table = ScanTable(scanned, facts)
        return FilePart(name, table, part.signature, part.size_bytes, own_ids)
    table = with_cells(ScanTable(scanned, facts), side.cells)
    # By contents, for a scan's digests are those of what it read.
    cells = [[cell.row, cell.tag] if cell else 0 for cell in side.cells]
    signature = signature_of([part.signature, digest("cells", cells)])
    cached = "cells-" + digest("scan", [key, side.modality])[:32]
    signed = signature and digest("cells", [signature, facts, side.ids, side.places, side.whys])
    table = tables.get(cached, signed) or tables.put(cached, signed, table)
    cells_bytes = sum(cell.size_bytes or 0 for cell in side.cells if cell)
    return CellPart(name, table, signature, part.size_bytes + cells_bytes, own_ids)


def file_name(value: object) -> tuple[str, str]:
    """Return the name of a file that a field of a table holds, and why it holds none."""
    names = captions_in(value)
    if len(names) > 1:
        return "", f"it names {len(names)} files"
    name, why = names[0]
    return name, f"the name of its file: {why}" if why else ""


def named_file(
    name: str,
    table: Entry,
    folder: str = "",
    *,
    stays_beside: bool = False,
    stems: Stems | None = None,
) -> tuple[Entry | None, str]:
    """Return the file that a row of a table names, and why there is none.

    Args:
        name: a path, absolute or relative.
        table: the table.
        folder: where relative paths start; "" means beside the table.
        stays_beside: refuse paths that lead elsewhere: whoever made the table wrote them for
            another machine, or to have a file of this one read.
        stems: finds files whose names have no ending; None takes names as they are.
    """
    if is_url(name):
        return None, f"'{name}' is an address; tables name files of this machine"
    if not folder and is_url(table.url):
        return None, f"'{name}' is a file beside a table that lies elsewhere: download both"
    climbs = Path(name).is_absolute() or ".." in Path(name).parts
    if climbs and stays_beside:
        return None, f"'{name}' is not beside its table"
    if climbs and any(
        Path(table.url).is_relative_to(place) for place in (hub_cache(), cache_root() / "datasets")
    ):
        return None, f"'{name}' is outside of its data set"
    path = as_stored((Path(folder) if folder else Path(table.url).parent) / name)
    if is_file(path):
        return entry_of(path), ""
    if stems is not None and not has_ending(path.name, stems.modality):
        return stems.find(path)
    return None, f"there is no file '{path}'"


def set_apart(id: str, row: TableRow) -> str:
    """Return an id that no other row of a table has."""
    return f"{id} (line {row.place.rpartition(':')[2]})"
