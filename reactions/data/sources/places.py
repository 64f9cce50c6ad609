"""What a path, URL or pattern of a corpus holds: a folder, files, shards or tables, as a part."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.addresses import Entry, label
from reactions.core.errors import MissingError, UsageError
from reactions.core.storage import find
from reactions.core.types import Modality
from reactions.data.hub.config import DatasetPlace
from reactions.data.hub.files import dataset_files
from reactions.data.scan_cache import TableCache
from reactions.data.sources import captions
from reactions.data.sources.captions import texts_part
from reactions.data.sources.config import OnProgress, Source
from reactions.data.sources.files import (
    files_part,
    folder_part,
    named,
    names_folder,
    refuse_other_modalities,
)
from reactions.data.sources.listed_media import SUFFIXES as LISTS
from reactions.data.sources.listed_media import listed_part
from reactions.data.sources.parquet_media import parquet_part
from reactions.data.sources.parts import CorpusPart, no_items
from reactions.data.sources.shards import shards_part
from reactions.modalities.registry import get
from reactions.modalities.suffixes import is_packed, may_hold, modality_of, other_kind


def part_of(
    path: str, modality: Modality, source: Source, tables: TableCache, on_progress: OnProgress
) -> CorpusPart:
    """Scan what lies at a path, URL or pattern.

    Args:
        path: absolute.
        modality: of the items.
        source: columns, member and depth.
        tables: remembers what earlier scans found.
        on_progress: of the progress.

    Raises:
        MissingError: nothing is there, or nothing of the modality, or a package is missing.
        DataError: what is there cannot be used.
        UsageError: the source says of it what it does not have.
    """
    inline = get(modality).inline
    if names_folder(path):
        _refuse_columns(source, modality, path)
        if inline:
            raise no_items(
                modality,
                path,
                "it is a folder",
                f"give its files, such as {path.rstrip('/')}/*.txt",
            )
        return folder_part(
            path, modality, tables=tables, depth=source.check, on_progress=on_progress
        )
    return _files_part(path, find(path), modality, source, tables, on_progress)


def dataset_part(
    place: DatasetPlace,
    modality: Modality,
    source: Source,
    tables: TableCache,
    on_progress: OnProgress,
) -> CorpusPart:
    """Scan a data set, fetching what is not there.

    Args:
        place: the data set.
        modality: of the items.
        source: columns, member and depth.
        tables: remembers what earlier scans found.
        on_progress: of the progress.

    Raises:
        MissingError: it is not there, or holds nothing of the modality, or a package is missing.
        DataError: what is there cannot be used.
        UsageError: the source says of it what it does not have.
    """
    remarks: list[str] = []
    files = dataset_files(place, [modality], on_progress=on_progress, remarks=remarks)
    part = _files_part(str(place), files, modality, source, tables, on_progress)
    return part.with_notices(remarks)


def _files_part(
    path: str,
    files: Sequence[Entry],
    modality: Modality,
    source: Source,
    tables: TableCache,
    on_progress: OnProgress,
) -> CorpusPart:
    inline = get(modality).inline
    kinds = {_kind(file, modality) for file in files}
    if kinds not in ({"parquet"}, {"table"}):
        _refuse_columns(source, modality, path)
    if kinds == {"tar"}:
        return shards_part(
            label(path), files, modality, source, tables=tables, on_progress=on_progress
        )
    if kinds == {"captions"} and inline:
        return texts_part(label(path), files, source, tables=tables, on_progress=on_progress)
    if kinds == {"parquet"}:
        return parquet_part(
            label(path), files, modality, source, tables=tables, on_progress=on_progress
        )
    if kinds == {"table"}:
        return listed_part(
            label(path), files, modality, source, tables=tables, on_progress=on_progress
        )
    if kinds == {modality}:
        return files_part(
            label(path),
            named(files),
            modality,
            key=path,
            tables=tables,
            depth=source.check,
            on_progress=on_progress,
        )
    if not inline:
        refuse_other_modalities(modality)
    endings = (
        ", ".join((".tar", *captions.SUFFIXES))
        if inline
        else f"{', '.join(('.tar', '.parquet', *LISTS))}, or a folder"
    )
    usual = "captions" if inline else modality
    other_file = next(
        (file for file in files if _kind(file, modality) not in ("tar", "parquet", "table", usual)),
        None,
    )
    kind = other_kind(other_file.name, modality) if other_file else None
    packed = other_file is not None and is_packed(other_file.name)
    plain = "compressed" if packed else f"none of what {modality} corpora are made of"
    what = kind.name if kind else plain
    usable = f"give files that end in {endings}; list different kinds one by one: path = [...]"
    raise MissingError(
        f"cannot tell how to read {modality} from '{path}'",
        why=f"'{other_file.name}' is {what}" if other_file else "it mixes shards with other files",
        fix=kind.fix if kind else "unpack it, to a plain .tar or a folder" if packed else usable,
        path=path,
        modality=modality,
    )


def _refuse_columns(source: Source, modality: Modality, path: str) -> None:
    """Refuse columns of media that lie in files of their own."""
    if (source.columns or source.id_column != "") and not get(modality).inline:
        raise UsageError(
            f"{'column' if source.columns else 'id'} says nothing about '{path}'",
            why=f"{modality} has columns in tables only: {', '.join((*LISTS, '.parquet'))}",
            fix="remove it",
            path=path,
        )


def _kind(file: Entry, modality: Modality) -> str:
    name = file.name.lower()
    if name.endswith(".tar"):
        return "tar"
    if get(modality).inline:
        return "captions" if name.endswith(captions.SUFFIXES) else ""
    if may_hold(name, modality):
        return modality
    if name.endswith(LISTS):
        return "table"
    return "parquet" if name.endswith(".parquet") else modality_of(name) or ""
