"""Manifests as parts of a corpus: their media are scanned like those of a folder."""

from __future__ import annotations

from pathlib import Path

from reactions.data.digests import DigestCache
from reactions.data.manifest import ManifestCorpus
from reactions.data.places import Entry, entry_of
from reactions.data.sources.files import files_part
from reactions.data.sources.parts import Part, TextPart
from reactions.data.sources.source import Source, Told, silent
from reactions.data.tables import Strings, Table, TableCache
from reactions.errors import MissingError
from reactions.kinds import Modality


def manifest_part(
    path: Path, modality: Modality, source: Source, *, tables: TableCache, told: Told = silent
) -> Part:
    """Read the items of one modality from a manifest, and scan their files.

    Raises:
        MissingError: there is no such manifest.
        DataError: a line is bad, an id is repeated, or no item has this modality.
    """
    if not path.is_file():
        raise MissingError(
            f"no manifest for the {modality} corpus",
            why=f"{path} does not exist",
            fix=f"correct [corpora.{modality}] in the lab file",
            path=str(path),
        )
    corpus = ManifestCorpus(path, modality, digests=DigestCache())
    items = corpus.items(0, len(corpus))
    if not any(isinstance(item.value, Path) for item in items):
        table = Table(
            {
                "id": Strings.pack(item.id for item in items),
                "text": Strings.pack(item.value or "" for item in items),
                "place": Strings.pack(f"{path}: {item.id}" for item in items),
                "why": Strings.pack("" for _ in items),
            }
        )
        entry = entry_of(path)
        return TextPart(corpus.name, table, entry.stamp, entry.size_bytes)
    files: list[tuple[str, Entry | None]] = [
        (item.id, entry_of(item.value) if isinstance(item.value, Path) else None) for item in items
    ]
    return files_part(
        corpus.name,
        files,
        modality,
        key=f"manifest {path}",
        tables=tables,
        depth=source.check,
        told=told,
    )
