"""Folders of embeddings, whatever wrote them: one file a modality, or many.

Plain files:

    clap/audio.npy, clap/text.safetensors, clap/image.parquet

As clip-retrieval writes them, numbered, with the ids in the metadata:

    clip/img_emb/img_emb_0.npy, clip/text_emb/text_emb_0.npy, ...
    clip/metadata/metadata_0.parquet      column 'key', else 'image_path'

WebDataset tars of one vector a member; the modality is the member's (``0001.image.npy``),
else the folder's or the tar's own:

    set/image-0000.tar or set/image/0000.tar, with members 0001.npy, ...

``<modality>.ids.txt`` or ``<modality>.ids.json`` in the folder give ids to any of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reactions.data.digests import DigestCache
from reactions.errors import DataError, DimensionMismatch
from reactions.kinds import Modality
from reactions.spaces.embedding_files import (
    SUFFIXES,
    EmbeddingFile,
    open_embeddings,
    read_column,
    read_ids,
)
from reactions.spaces.embedding_tars import open_tars

_METADATA = "metadata"
_ID_COLUMNS = ("key", "image_path")
_ALIASES: Mapping[str, Modality] = {"img": "image", "images": "image", "sound": "audio"}
_MODALITY = re.compile(r"(.+?)(_emb|_embeddings?|_features)?")
_NUMBER = re.compile(r"(\d+)$")


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
        DataError: it holds nothing, or a modality in two ways.
    """
    found: dict[Modality, EmbeddingSet] = {}
    for modality, one in (*_plain(folder), *_numbered(folder), *_tars(folder)):
        if modality in found:
            first, second = (_shown(folder, paths) for paths in (found[modality].paths, one.paths))
            raise DataError(
                f"two files of {modality} embeddings in '{folder}'",
                why=f"{first} and {second}",
                fix="remove one",
                path=str(folder),
            )
        found[modality] = one
    if not found:
        raise DataError(
            f"no embeddings in '{folder}'",
            fix="it needs one npy, safetensors or parquet file for each modality, such as "
            "audio.npy and text.npy, or the folders that clip-retrieval writes, or tars of npy",
            path=str(folder),
        )
    return dict(sorted(found.items()))


def sidecars(folder: Path, modality: Modality) -> list[Path]:
    """Return the files that give a modality ids."""
    paths = [folder / f"{modality}.ids.txt", folder / f"{modality}.ids.json"]
    return [path for path in paths if path.exists()]


def all_ids(
    folder: Path, modality: Modality, one: EmbeddingSet, table: EmbeddingFile
) -> list[Any] | None:
    """Return the ids of a modality as they are written, or None without any.

    Raises:
        DataError: they are given more than once, or do not match the rows in number.
    """
    found, where = one.own_ids(table)
    sides = sidecars(folder, modality)
    # clip-retrieval always writes metadata: a file beside them is meant to count instead.
    if len(sides) + (found is not None and not isinstance(one, _Numbered)) > 1:
        places = [path.name for path in sides] + ([] if found is None else [where])
        raise DataError(
            f"ids of {modality} given more than once in '{folder}'",
            why=" and ".join(places),
            fix="keep one",
            path=str(folder),
        )
    if sides:
        where, found = sides[0].name, read_ids(sides[0])
    if found is not None and len(found) != table.shape[0]:
        raise DataError(
            f"mismatched ids: '{where}' has {len(found)} for {table.shape[0]} {modality} "
            "embeddings",
            path=str(folder / where),
            n_ids=len(found),
            n_embeddings=table.shape[0],
        )
    return found


# --- plain files ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Plain:
    paths: tuple[Path, ...]

    def open(self, digests: DigestCache) -> EmbeddingFile:
        return open_embeddings(self.paths[0])

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        return table.ids(), self.paths[0].name


def _plain(folder: Path) -> list[tuple[Modality, EmbeddingSet]]:
    found: list[tuple[Modality, EmbeddingSet]] = []
    for path in sorted(folder.iterdir(), key=lambda path: (path.stem, path.name)):
        if path.name.startswith(".") or path.suffix not in SUFFIXES or not path.is_file():
            continue
        if "." in path.stem:
            raise DataError(
                f"cannot tell the modality of '{path}'",
                fix="name it <modality>.npy, .safetensors or .parquet; ids go into "
                "<modality>.ids.txt or <modality>.ids.json",
                path=str(path),
            )
        found.append((path.stem, _Plain((path,))))
    return found


# --- as clip-retrieval writes them ---------------------------------------------------


@dataclass(frozen=True)
class _Numbered:
    paths: tuple[Path, ...]
    tables: tuple[Path, ...]
    metadata: tuple[Path, ...]

    def open(self, digests: DigestCache) -> EmbeddingFile:
        return Joined(self.tables[0].parent, [open_embeddings(path) for path in self.tables])

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        if not self.metadata:
            return None, ""
        assert isinstance(table, Joined)
        found: list[Any] = []
        for path, part in zip(self.metadata, table.parts, strict=True):
            ids = read_column(path, _ID_COLUMNS)
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
            found += ids
        return found, _METADATA


class Joined:
    """Several tables, one after the other.

    Raises:
        DimensionMismatch: they differ in width.
    """

    def __init__(self, path: Path, parts: Sequence[EmbeddingFile]) -> None:
        self.path = path
        self.parts = list(parts)
        for part in self.parts:
            if part.shape[1] != self.parts[0].shape[1]:
                raise DimensionMismatch(
                    f"the embeddings in '{path}' differ in width",
                    why=f"{self.parts[0].path.name} has {self.parts[0].shape[1]} dimensions, "
                    f"{part.path.name} has {part.shape[1]}",
                    fix="embed all of them with one model",
                    path=str(path),
                )
        self._starts = np.cumsum([0] + [part.shape[0] for part in self.parts])
        self.shape = (int(self._starts[-1]), self.parts[0].shape[1])

    def ids(self) -> list[Any] | None:
        """Return None: ids lie beside the parts."""
        return None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Return the given rows, in the given order."""
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        if len(rows) and (owner == owner[0]).all():
            return self.parts[int(owner[0])].read(rows - self._starts[owner[0]])
        out = np.empty((len(rows), self.shape[1]), np.float32)
        for i in np.unique(owner).tolist():
            here = np.flatnonzero(owner == i)
            out[here] = self.parts[i].read(rows[here] - self._starts[i])
        return out


def _numbered(folder: Path) -> list[tuple[Modality, EmbeddingSet]]:
    metadata = _by_number(folder / _METADATA, ".parquet")
    found: list[tuple[Modality, EmbeddingSet]] = []
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
        vectors, names = tuple(tables.values()), tuple(metadata.values())
        found.append((_modality(child.name), _Numbered((*vectors, *names), vectors, names)))
    return found


def _by_number(folder: Path, suffix: str) -> dict[int, Path]:
    """Return the numbered files of a folder, 10 after 9."""
    found = {}
    if folder.is_dir():
        for path in folder.iterdir():
            number = _NUMBER.search(path.stem)
            if path.suffix == suffix and number is not None and not path.name.startswith("."):
                found[int(number[1])] = path
    return dict(sorted(found.items()))


# --- WebDataset tars -----------------------------------------------------------------


@dataclass(frozen=True)
class _Tars:
    paths: tuple[Path, ...]
    modality: Modality
    named: bool

    def open(self, digests: DigestCache) -> EmbeddingFile:
        return open_tars(self.paths, self._wanted, digests)

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        return table.ids(), self.paths[0].name

    def _wanted(self, rest: str) -> bool:
        """Tell whether a member, by the rest of its name, is of this modality."""
        name, _, suffix = rest.rpartition(".")
        own = _modality(name) if self.named else name
        return suffix == "npy" and own == (self.modality if self.named else "")


def _tars(folder: Path) -> list[tuple[Modality, EmbeddingSet]]:
    groups: dict[tuple[Modality, bool], list[Path]] = {}
    for path in sorted([*folder.glob("*.tar"), *folder.glob("*/*.tar")]):
        own = path.parent.name if path.parent != folder else re.split(r"[-_.\d]", path.stem)[0]
        inside = _named_inside(path)
        for modality in inside or [_modality(own)]:
            if not modality:
                raise DataError(
                    f"cannot tell the modality of '{path}'",
                    fix="name it <modality>-0000.tar, put it into a folder of that name, or "
                    "call its members <key>.<modality>.npy",
                    path=str(path),
                )
            groups.setdefault((modality, bool(inside)), []).append(path)
    return [
        (modality, _Tars(tuple(paths), modality, named))
        for (modality, named), paths in groups.items()
    ]


def _named_inside(path: Path) -> list[Modality]:
    """Return the modalities that the first sample of a tar names."""
    from reactions.spaces.embedding_tars import first_sample

    names = [rest.rpartition(".")[0] for rest in first_sample(path) if rest.endswith("npy")]
    return sorted({_modality(name) for name in names if name})


# --- names ---------------------------------------------------------------------------


def _modality(name: str) -> Modality:
    match = _MODALITY.fullmatch(name)
    stem = match[1] if match else name
    return _ALIASES.get(stem, stem)


def _few(numbers: Mapping[int, Path]) -> str:
    keys = list(numbers)
    return ", ".join(map(str, keys)) if len(keys) <= 4 else f"{keys[0]} to {keys[-1]}"


def _shown(folder: Path, paths: Sequence[Path]) -> str:
    return str(paths[0].relative_to(folder))
