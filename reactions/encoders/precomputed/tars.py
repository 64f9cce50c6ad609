"""Embeddings in WebDataset tars: one vector a member, read where it lies."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.file_digests import DigestCache
from reactions.core.npy import npy_header
from reactions.core.storage import entry_of, read
from reactions.core.types import Modality
from reactions.data.scan_cache import TableCache
from reactions.data.sources.tar_index import index_shards, split_member
from reactions.data.tar_members import tar_members
from reactions.encoders.precomputed.names import NO_MODALITIES, modality_of
from reactions.encoders.precomputed.tables import EmbeddingFile

_FIRST_MEMBERS = 64


def first_sample(path: Path) -> list[str]:
    """Return what follows the key in the names of a tar's first sample.

    Raises:
        DataError: it is not a tar.
    """
    endings: list[str] = []
    key = ""
    try:
        with path.open("rb") as stream:
            members = tar_members(stream, str(path), path.stat().st_size)
            for member, _ in zip(members, range(_FIRST_MEMBERS), strict=False):
                member_key, rest = split_member(member.name)
                if key and member_key != key:
                    break
                if member_key:
                    key = member_key
                    endings.append(rest)
    except OSError as error:
        raise DataError(
            f"the tar '{path}' is damaged",
            why=str(error),
            fix="copy or write it again, without compression",
            path=str(path),
        ) from error
    return endings


def open_tars(
    paths: Sequence[Path], is_vector: Callable[[str], bool], digests: DigestCache
) -> TarEmbeddings:
    """Index the vectors in tars.

    Args:
        paths: the tars, in order.
        is_vector: whether a member is a vector of the set, by the rest of its name.
        digests: beside its file the index is remembered.

    Raises:
        DataError: a tar is damaged, or none of its members is a vector.
    """
    folder = None if digests.folder is None else digests.folder / "corpora"
    entries = [entry_of(path) for path in paths]
    keys: list[str] = []
    places: list[tuple[int, int, int]] = []
    for number, index in enumerate(index_shards(entries, tables=TableCache(folder))):
        rows = zip(
            index.strings("member"),
            index.numbers("offset").tolist(),
            index.numbers("size").tolist(),
            strict=True,
        )
        for member, offset, size_bytes in rows:
            key, rest = split_member(member)
            if is_vector(rest):
                keys.append(key)
                places.append((number, offset, size_bytes))
    if not keys:
        raise DataError(
            f"no embeddings in '{paths[0]}'",
            why="it holds no such npy members",
            fix="name each sample's vector KEY.npy, or KEY.MODALITY.npy",
            path=str(paths[0]),
        )
    return TarEmbeddings(list(paths), keys, np.array(places, np.int64))


class TarEmbeddings:
    """Vectors in tars, as one table.

    Args:
        paths: the tars.
        keys: of the samples, in order.
        places: (n, 3) number of the tar, offset and size of each vector's npy.
    """

    def __init__(self, paths: list[Path], keys: list[str], places: NDArray[np.int64]) -> None:
        self.path = paths[0]
        self._paths = paths
        self._keys = keys
        self._places = places
        first = self._vector(0)
        self.shape = (len(keys), len(first))

    def ids(self) -> list[Any] | None:
        """Return the keys of the samples."""
        return list(self._keys)

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        """Return the given rows, in the given order."""
        out = np.empty((len(rows), self.shape[1]), np.float32)
        for i, row in enumerate(rows.tolist()):
            vector = self._vector(row)
            if len(vector) != self.shape[1]:
                raise DimensionMismatch(
                    f"ragged embeddings in '{self.path}'",
                    why=f"'{self._keys[row]}' is {len(vector)} wide, the first is "
                    f"{self.shape[1]} wide",
                    fix="write vectors of one width",
                    path=str(self.path),
                    row=row,
                )
            out[i] = vector
        return out

    def _vector(self, row: int) -> NDArray[np.floating[Any]]:
        number, offset, size_bytes = self._places[row].tolist()
        path = self._paths[number]
        data = read(str(path), offset, size_bytes)
        try:
            shape, dtype, _, start = npy_header(io.BytesIO(data), len(data))
        except ValueError as error:
            raise self._bad(path, row, str(error)) from error
        if dtype.kind != "f":
            raise self._bad(path, row, "it holds no floats")
        n = math.prod(shape)
        # (d,), or (1, d) and the like.
        if n == 0 or n != shape[-1]:
            raise self._bad(path, row, f"its shape is {shape}, not one vector")
        return np.frombuffer(data, dtype, n, start)

    def _bad(self, path: Path, row: int, why: str) -> DataError:
        return DataError(
            f"no embedding for '{self._keys[row]}' in '{path}'",
            why=why,
            fix="store one row of floats a sample: KEY.npy",
            path=str(path),
            row=row,
        )


# --- sets ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tars:
    paths: tuple[Path, ...]
    modality: Modality
    named: bool

    def open(self, digests: DigestCache) -> EmbeddingFile:
        return open_tars(self.paths, self._is_vector, digests)

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        return table.ids(), self.paths[0].name

    def _is_vector(self, rest: str) -> bool:
        """Return whether a member, by the rest of its name, is of this modality."""
        name, _, suffix = rest.rpartition(".")
        member_modality = modality_of(name) if self.named else name
        return suffix == "npy" and member_modality == (self.modality if self.named else "")


def tar_sets(folder: Path) -> list[tuple[Modality, _Tars]]:
    """Return the sets in the tars of a folder.

    Raises:
        DataError: a tar is damaged, or its modality is unclear.
    """
    groups: dict[tuple[Modality, bool], list[Path]] = {}
    for path in sorted([*folder.glob("*.tar"), *folder.glob("*/*.tar")]):
        # image/0000.tar and image-0000.tar are both of images.
        name = path.parent.name if path.parent != folder else re.split(r"[-_.\d]", path.stem)[0]
        inside = _named_inside(path)
        for modality in inside or [modality_of(name)]:
            if not modality or modality in NO_MODALITIES:
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
    names = [rest.rpartition(".")[0] for rest in first_sample(path) if rest.endswith("npy")]
    return sorted({modality_of(name) for name in names if name})
