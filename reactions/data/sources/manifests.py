"""Manifests as parts of a corpus: their media are scanned like those of a folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from reactions.core.addresses import Entry
from reactions.core.errors import MissingError
from reactions.core.file_names import as_stored
from reactions.core.local_files import is_file
from reactions.core.storage import entry_of
from reactions.core.types import Modality
from reactions.data.manifest import other_digest, read_manifest
from reactions.data.manifest_lines import ManifestRow
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.files import files_part
from reactions.data.sources.parts import CorpusPart, FilePart, TextPart
from reactions.modalities.values import text_tag


def manifest_part(
    path: Path,
    modality: Modality,
    source: Source,
    *,
    tables: TableCache,
    on_progress: OnProgress = silent,
) -> CorpusPart:
    """Read the items of one modality from a manifest, and scan their files.

    Lines that say what they hold, but not where a usable one is, are rows that cannot be used.

    Raises:
        MissingError: there is no such manifest.
        DataError: a line names no modality, an id is repeated, or no line has this modality.
    """
    path = as_stored(path)
    if not is_file(path):
        raise MissingError(
            f"no manifest for the {modality} corpus",
            why=f"{path} does not exist",
            fix=f"correct [corpora.{modality}] in the lab file",
            path=str(path),
        )
    other_modalities: Counter[Modality] = Counter()
    rows = read_manifest(path, modality, other_modalities)
    facts = {"notices": [others_remark(path, other_modalities)]} if other_modalities else {}
    own_ids = np.array([row.own_id for row in rows], bool)
    if not any(isinstance(row.value, Path) for row in rows):
        tags = (text_tag(str(row.value)) if row.sha256 else "" for row in rows)
        table = ScanTable(
            {
                "id": Strings.pack(row.id for row in rows),
                "text": Strings.pack(str(row.value or "") for row in rows),
                "place": Strings.pack(_place(path, row) for row in rows),
                "why": _verdicts(rows, [""] * len(rows), tags),
            },
            facts,
        )
        entry = entry_of(path)
        return TextPart(path.stem, table, entry.stamp, entry.size_bytes, own_ids)
    files: list[tuple[str, Entry | None]] = [
        (row.id, entry_of(row.value) if isinstance(row.value, Path) else None) for row in rows
    ]
    part = files_part(
        path.stem,
        files,
        modality,
        key=f"manifest {path}",
        tables=tables,
        depth=source.check,
        on_progress=on_progress,
    )
    facts = {**part.table.facts, **facts}
    if not any(row.why or row.sha256 for row in rows):
        table = ScanTable(part.table.columns, facts)
        return FilePart(part.name, table, part.signature, part.size_bytes, own_ids)
    # What the manifest says is not part of the scan: it may change when no file does.
    columns = {
        **part.table.columns,
        "place": Strings.pack(_place(path, row) for row in rows),
        "why": _verdicts(rows, part.table.strings("why"), part.table.strings("tag")),
    }
    return FilePart(part.name, ScanTable(columns, facts), part.signature, part.size_bytes, own_ids)


def others_remark(manifest: Path, others: Mapping[Modality, int]) -> str:
    """Return a line on the lines of a manifest that are of other modalities.

    Args:
        manifest: the file.
        others: how many there are of each.
    """
    counts = ", ".join(f"{n} {modality}" for modality, n in sorted(others.items()))
    return f"'{manifest.name}': {counts} lines are of other modalities, and left out"


def _place(manifest: Path, row: ManifestRow) -> str:
    return str(row.value) if isinstance(row.value, Path) else f"{manifest}:{row.line_number}"


def _verdicts(rows: Sequence[ManifestRow], whys: Iterable[str], tags: Iterable[str]) -> Strings:
    """Join what the lines, the scan and the digests say.

    Args:
        rows: lines.
        whys: why each one's value cannot be used.
        tags: tagged digest of each value.
    """
    return Strings.pack(
        row.why or why or other_digest(row.sha256, tag.rpartition(":")[2])
        for row, why, tag in zip(rows, whys, tags, strict=True)
    )
