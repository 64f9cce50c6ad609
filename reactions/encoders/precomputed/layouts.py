"""Folders of embeddings, whatever wrote them: one file a modality, or many.

Plain files, also in numbered parts:

    clap/audio.npy, clap/text.safetensors, clap/image_0.parquet, clap/image_1.parquet

What ``molspace infer`` wrote, which may mix modalities (``embedding_outputs``).

As clip-retrieval writes them, numbered, with the ids in the metadata:

    clip/img_emb/img_emb_0.npy, clip/text_emb/text_emb_0.npy, ...
    clip/metadata/metadata_0.parquet      column 'key', else 'image_path'

WebDataset tars of one vector a member; the modality is the member's (``0001.image.npy``),
else the folder's or the tar's own:

    set/image-0000.tar or set/image/0000.tar, with members 0001.npy, ...

Files of ids in the folder, such as ``<modality>.ids.txt``, go with any of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from reactions.core.errors import DataError
from reactions.core.file_digests import DigestCache
from reactions.core.lance import SUFFIX, is_lance
from reactions.core.types import Modality
from reactions.encoders.precomputed.files import SUFFIXES, open_embeddings
from reactions.encoders.precomputed.ids import (
    check_id_file,
    id_files,
    is_id_file,
    possible_ids,
    read_ids,
)
from reactions.encoders.precomputed.infer_outputs import outputs, refuse_without_items
from reactions.encoders.precomputed.names import NO_MODALITIES, modality_of
from reactions.encoders.precomputed.parquet import read_id_column
from reactions.encoders.precomputed.tables import EmbeddingFile, Joined
from reactions.encoders.precomputed.tars import tar_sets

_METADATA = "metadata"
_NUMBER = re.compile(r"(\d+)$")
# image_3, or image-00003-of-00010.
_PART = re.compile(r"(?P<stem>.*?)[-_.](?P<number>\d+)(?:[-_.]of[-_.](?P<count>\d+))?")
_EMBEDDED = (
    *(*SUFFIXES, ".npz", ".pt", ".pth", ".pkl", ".pickle", ".h5", ".hdf5", ".arrow", ".feather"),
    *(".tar", ".jsonl", ".ndjson", ".csv", ".tsv", ".bin", ".mat", ".gz", ".zip"),
)
_LISTS = (".txt", ".json", ".lst", ".list", ".yaml", ".yml", ".xlsx", ".xls", ".db", ".sqlite")
_OTHERS = ("space.json", "config.json", "readme.txt", "license.txt", "licence.txt", "notice.txt")


class EmbeddingSet(Protocol):
    """The embeddings of one modality in a folder."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """The files that decide rows and ids, in order."""

    def open(self, digests: DigestCache) -> EmbeddingFile:
        """Open them as one table; only headers are read."""

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        """Return the ids that come with the embeddings, and where from; None for none."""


def find_sets(folder: Path) -> dict[Modality, EmbeddingSet]:
    """Return what a folder holds, sorted by modality.

    Raises:
        DataError: it holds nothing, or a modality in two ways, or something whose modality
            is not clear.
    """
    sets: dict[Modality, EmbeddingSet] = {}
    files = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
    tables = [p for p in (folder, *sorted(folder.iterdir())) if p.suffix == SUFFIX and is_lance(p)]
    written = outputs([*files, *tables])
    written_sets: list[tuple[Modality, EmbeddingSet]] = [(part.modality, part) for part in written]
    paths_taken = {path for _, part in written_sets for path in part.paths}
    plain = _plain([path for path in files if path not in paths_taken])
    for modality, part in (*written_sets, *plain, *_numbered(folder), *tar_sets(folder)):
        if not modality.isprintable():
            raise DataError(
                f"cannot tell the modality of {part.paths[0].name!a} in '{folder}'",
                fix="name files after modalities, in characters that can be printed",
                path=str(folder),
            )
        if modality in sets:
            first, second = (_shown(folder, paths) for paths in (sets[modality].paths, part.paths))
            raise DataError(
                f"two files of {modality} embeddings in '{folder}'",
                why=f"{first} and {second}",
                fix="remove one",
                path=str(folder),
            )
        sets[modality] = part
    if not sets:
        raise DataError(
            f"no embeddings in '{folder}'",
            fix="it needs one npy, safetensors or parquet file for each modality, such as "
            "audio.npy and text.npy, or the folders that clip-retrieval writes, or tars of npy",
            path=str(folder),
        )
    return dict(sorted(sets.items()))


def sidecars(folder: Path, modality: Modality) -> list[Path]:
    """Return the files that give a modality ids.

    Raises:
        DataError: one is far too large.
    """
    paths = id_files(folder, modality)
    for path in paths:
        check_id_file(path)
    return paths


def all_ids(
    folder: Path, modality: Modality, part: EmbeddingSet, table: EmbeddingFile
) -> tuple[list[Any] | None, str]:
    """Return the ids of a modality as they are written, or None without any; and where they are.

    Raises:
        DataError: they are given more than once, do not match the rows in number, or lie in a
            file that is not understood.
    """
    ids, place = part.own_ids(table)
    sides = sidecars(folder, modality)
    # clip-retrieval always writes metadata: a file beside them is meant to count instead.
    if len(sides) + (ids is not None and not isinstance(part, _Numbered)) > 1:
        places = [path.name for path in sides] + ([] if ids is None else [place])
        raise DataError(
            f"ids of {modality} given more than once in '{folder}'",
            why=" and ".join(places),
            fix="keep one",
            path=str(folder),
        )
    if sides:
        place, ids = sides[0].name, read_ids(sides[0], modality, table.shape[0])
    if ids is None:
        _refuse_unread_ids(folder, modality, part)
        return None, ""
    if len(ids) != table.shape[0]:
        raise DataError(
            f"mismatched ids: '{place}' has {len(ids)} for {table.shape[0]} {modality} embeddings",
            fix=f"give each modality ids of its own, as {modality}.ids.txt, one for each row",
            path=str(folder / place),
            n_ids=len(ids),
            n_embeddings=table.shape[0],
        )
    return ids, place


def _refuse_unread_ids(folder: Path, modality: Modality, part: EmbeddingSet) -> None:
    sets = find_sets(folder)
    used = {path for other in sets.values() for path in other.paths}
    used |= {path for other in sets for path in sidecars(folder, other)}
    unread = possible_ids(folder, modality, [*used, *part.paths])
    if unread:
        raise DataError(
            f"the {modality} embeddings in '{folder}' have no ids that are read",
            why=f"{', '.join(path.name for path in unread[:4])} may hold them",
            fix=f"name the file {modality}.ids.txt (one a line), .json (a list), .npy, .parquet "
            "or .csv (a column 'id'); if it holds no ids, keep it elsewhere",
            path=str(folder),
            files=[path.name for path in unread],
        )


def unread(folder: Path) -> list[Path]:
    """Return the files of a folder that look like embeddings or lists, and are not read."""
    sets = find_sets(folder)
    used = {path for part in sets.values() for path in part.paths}
    # infer describes its npy files in JSON beside them.
    used |= {path.with_suffix(".json") for path in used if path.suffix.lower() == ".npy"}
    used |= {path for modality in sets for path in sidecars(folder, modality)}
    return sorted(
        path
        for pattern in ("*", "*/*")
        for path in folder.glob(pattern)
        if path.name.lower().endswith(_EMBEDDED if "/" in pattern else (*_EMBEDDED, *_LISTS))
        and path.name.lower() not in _OTHERS
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
        and path not in used
        and path.is_file()
    )


# --- plain files ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Plain:
    paths: tuple[Path, ...]
    modality: Modality

    def open(self, digests: DigestCache) -> EmbeddingFile:
        tables = [open_embeddings(path, self.modality) for path in self.paths]
        for path, table in zip(self.paths, tables, strict=True):
            refuse_without_items(path, table)
        return tables[0] if len(tables) == 1 else Joined(self.paths[0].parent, tables)

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        parts = table.parts if isinstance(table, Joined) else [table]
        ids_of_parts = [part.ids() for part in parts]
        without = [
            part.path.name for part, ids in zip(parts, ids_of_parts, strict=True) if ids is None
        ]
        if len(without) == len(parts):
            return None, ""
        if without:
            raise DataError(
                f"no ids in '{without[0]}'",
                why=f"other parts of the {self.modality} embeddings have some",
                fix="write all parts alike",
                path=str(self.paths[0].parent / without[0]),
            )
        return [id for ids in ids_of_parts for id in ids or ()], self.paths[0].name


def _plain(files: Iterable[Path]) -> list[tuple[Modality, EmbeddingSet]]:
    groups: dict[Modality, list[Path]] = {}
    parts: dict[tuple[Modality, str], dict[Path, tuple[int, int]]] = {}
    for path in files:
        if path.suffix.lower() not in SUFFIXES or is_id_file(path) is not None:
            continue
        match = _PART.fullmatch(path.stem)
        stem = match["stem"] if match else path.stem
        modality = modality_of(stem)
        if "." in stem or stem.lower() in NO_MODALITIES or not stem or modality.isdigit():
            raise DataError(
                f"cannot tell the modality of '{path}'",
                fix="name it <modality>.npy, .safetensors or .parquet; ids go into "
                "<modality>.ids.txt or <modality>.ids.json",
                path=str(path),
            )
        if match:
            number = int(match["number"]), int(match["count"] or 0)
            parts.setdefault((modality, f"{stem}{path.suffix.lower()}"), {})[path] = number
        else:
            groups.setdefault(modality, []).append(path)
    sets: list[tuple[Modality, EmbeddingSet]] = [
        (modality, _Plain((path,), modality))
        for modality, paths in groups.items()
        for path in paths
    ]
    for (modality, _), numbers in parts.items():
        ordered = _in_order({path: number for path, (number, _) in numbers.items()})
        count = max(count for _, count in numbers.values())
        if count and len(ordered) != count:
            raise _incomplete(list(ordered.values()), f"there are {len(ordered)} of {count}")
        sets.append((modality, _Plain(_without_gaps(ordered), modality)))
    return sets


# --- as clip-retrieval writes them ---------------------------------------------------


@dataclass(frozen=True)
class _Numbered:
    paths: tuple[Path, ...]
    modality: Modality
    tables: tuple[Path, ...]
    metadata: tuple[Path, ...]

    def open(self, digests: DigestCache) -> EmbeddingFile:
        return Joined(self.tables[0].parent, [open_embeddings(path) for path in self.tables])

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        if not self.metadata:
            return None, ""
        assert isinstance(table, Joined)
        collected: list[Any] = []
        for path, part in zip(self.metadata, table.parts, strict=True):
            ids = read_id_column(path, self.modality)
            if ids is None:
                return None, ""
            if len(ids) != part.shape[0]:
                raise DataError(
                    f"mismatched ids: '{path.name}' has {len(ids)} for {part.shape[0]} "
                    f"embeddings in '{part.path.name}'",
                    fix="run clip-retrieval again: one of them was not written to its end",
                    path=str(path),
                    n_ids=len(ids),
                    n_embeddings=part.shape[0],
                )
            collected += ids
        return collected, _METADATA


def _numbered(folder: Path) -> list[tuple[Modality, EmbeddingSet]]:
    metadata = _by_number(folder / _METADATA, ".parquet")
    sets: list[tuple[Modality, EmbeddingSet]] = []
    for child in sorted(folder.iterdir()):
        if not (child.is_dir() and child.name.endswith("_emb")):
            continue
        tables = _by_number(child, ".npy")
        if not tables:
            continue
        if metadata and list(metadata) != list(tables):
            raise DataError(
                f"metadata and embeddings in '{folder}' do not match",
                why=f"{_METADATA} has the numbers {_few(metadata)}, {child.name} has "
                f"{_few(tables)}",
                fix="copy all of what clip-retrieval wrote",
                path=str(folder),
            )
        names = tuple(metadata.values())
        vectors = tuple(tables.values()) if names else _without_gaps(tables)
        modality = modality_of(child.name)
        sets.append((modality, _Numbered((*vectors, *names), modality, vectors, names)))
    return sets


def _by_number(folder: Path, suffix: str) -> dict[int, Path]:
    """Return the numbered files of a folder, 10 after 9."""
    if not folder.is_dir():
        return {}
    return _in_order(
        {
            path: int(number[1])
            for path in sorted(folder.iterdir())
            if path.suffix.lower() == suffix
            and not path.name.startswith(".")
            and (number := _NUMBER.search(path.stem)) is not None
        }
    )


def _in_order(numbers: Mapping[Path, int]) -> dict[int, Path]:
    """Return files by number, in order.

    Raises:
        DataError: two have the same.
    """
    ordered: dict[int, Path] = {}
    for path, number in sorted(numbers.items(), key=lambda entry: entry[1]):
        if number in ordered:
            raise DataError(
                f"two files of embeddings in '{path.parent}' have the number {number}",
                why=f"{ordered[number].name} and {path.name}",
                fix="remove one, or number them apart",
                path=str(path),
            )
        ordered[number] = path
    return ordered


def _without_gaps(files: Mapping[int, Path]) -> tuple[Path, ...]:
    """Return files that follow one another: without ids a missing one would shift all rows."""
    numbers = list(files)
    if numbers[0] not in (0, 1) or numbers[-1] - numbers[0] != len(numbers) - 1:
        raise _incomplete(list(files.values()), f"they have the numbers {_few(files)}")
    return tuple(files.values())


def _incomplete(paths: Sequence[Path], why: str) -> DataError:
    return DataError(
        f"numbered files of embeddings are missing beside '{paths[0]}'",
        why=why,
        fix="copy all of them; numbers begin at 0 or 1",
        path=str(paths[0]),
    )


def _few(numbers: Mapping[int, Path]) -> str:
    keys = list(numbers)
    return ", ".join(map(str, keys)) if len(keys) <= 4 else f"{keys[0]} to {keys[-1]}"


def _shown(folder: Path, paths: Sequence[Path]) -> str:
    return str(paths[0].relative_to(folder))
