"""A space given as embeddings: a folder with one file for each modality.

    clap/
      audio.npy            (n, dim) float16, float32 or float64
      audio.ids.txt        optional: one id a line
      text.safetensors     one 2-d tensor; ids optional, as JSON list in the metadata 'ids'
      image.parquet        column 'embedding' (list of floats); optional column 'id'
      space.json           optional: {"name", "revision", "licence", "hub"}

``<modality>.ids.txt`` and the like give ids to any of the formats (``embedding_ids``). Without
ids the items are called ``0`` to ``n-1``, and no input can look them up: rows are paired by their
numbers, and that is reported. ``embedding_sets`` knows what else a folder may hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.left_out import Limits
from reactions.core.types import Digest, Item, Modality, SpaceSpec
from reactions.encoders.base import Adapter, SpaceRequest
from reactions.encoders.precomputed.folder import ADAPTER, folder_of, open_table, read_info
from reactions.encoders.precomputed.ids import RowIndex
from reactions.encoders.precomputed.layouts import EmbeddingSet, find_sets, sidecars
from reactions.encoders.precomputed.tables import EmbeddingFile


@dataclass(frozen=True, slots=True)
class EmbeddingFolder:
    """A folder of embeddings.

    Attributes:
        path: of the folder, absolute.
        sets: modality to its embeddings.
    """

    path: Path
    sets: Mapping[Modality, EmbeddingSet]


class PrecomputedAdapter(Adapter[EmbeddingFolder]):
    """``precomputed:PATH`` or ``file:PATH``: looks embeddings up; nothing is computed."""

    scheme = ADAPTER

    def locate(self, request: SpaceRequest) -> EmbeddingFolder:
        """Find the folder, and what it holds."""
        folder = folder_of(request.locator.overrides.get(request.name, request.uri))
        return EmbeddingFolder(folder, find_sets(folder))

    def describe(self, files: EmbeddingFolder, digests: DigestCache) -> SpaceSpec:
        """Describe the space in a folder, reading headers and hashing files."""
        folder, sets = files.path, files.sets
        dims = {modality: part.open(digests).shape[1] for modality, part in sets.items()}
        first = next(iter(dims))
        for modality, dim in dims.items():
            if dim != dims[first]:
                raise DimensionMismatch(
                    f"the modalities of '{folder}' differ in width",
                    why=f"{first} has {dims[first]} dimensions, {modality} has {dim}",
                    fix="embed all of them with one model",
                    path=str(folder),
                    dims=dims,
                )
        info = read_info(folder, tuple(sets))
        hub = info.get("hub")
        if "hub" not in info and "image" in sets and len(sets) >= 3:
            hub = "image"
        return SpaceSpec(
            name=info.get("name") or folder.name,
            dim=dims[first],
            modalities=tuple(sets),
            adapter=self.scheme,
            source=str(folder),
            revision=info.get("revision") or "",
            licence=info.get("licence") or "",
            weights_digest=self.digest(files, digests),
            hub=hub,
        )

    def digest(self, files: EmbeddingFolder, digests: DigestCache) -> Digest:
        """Return the digest of all files that give embeddings or their ids."""
        contents = {
            modality: [digests.of(path) for path in (*part.paths, *sidecars(files.path, modality))]
            for modality, part in files.sets.items()
        }
        return digest("precomputed", contents)

    def changed(self, spec: SpaceSpec, path: Path, expected: Digest, found: Digest) -> DataError:
        """Return the error for a folder whose files are not those it was described by."""
        return DataError(
            f"the embeddings in '{spec.source}' changed",
            why="projectors and stored results belong to what was there before",
            fix="restore the files, or run the reaction again",
            path=spec.source,
        )

    def open(self, spec: SpaceSpec, files: EmbeddingFolder, device: str) -> PrecomputedEncoder:
        """Return what looks embeddings up; files are opened when they are first asked for."""
        return PrecomputedEncoder(spec)


class PrecomputedEncoder:
    """Looks embeddings up by item id.

    Args:
        spec: from ``PrecomputedAdapter.resolve``.
    """

    def __init__(self, spec: SpaceSpec) -> None:
        self.spec = spec
        self._tables: dict[Modality, tuple[EmbeddingFile, RowIndex | None]] = {}

    def limits(self, modality: Modality) -> Limits:
        """Return that nothing of items is read, and so nothing left out, but their ids."""
        return {self.spec.name: ()}

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Return the stored embeddings of the items, normalised.

        Returns:
            (len(items), spec.dim) float32, unit-norm rows, in order.

        Raises:
            DataError: an id is unknown, or is not the item's own; an embedding is zero or not
                finite; or the folder has no ids and the items are not bare row numbers.
        """
        _refuse_given_ids(self.spec, modality, items)
        table, row_of = self._table(modality)
        if row_of is None:
            _refuse_strangers(table, modality, items)
        rows = _rows(table, row_of, modality, [item.id for item in items])
        return _normalise(table, modality, rows)

    def _table(self, modality: Modality) -> tuple[EmbeddingFile, RowIndex | None]:
        if modality not in self._tables:
            table, ids, _ = open_table(self.spec, modality)
            self._tables[modality] = table, None if ids is None else RowIndex(ids)
        return self._tables[modality]


def _refuse_given_ids(spec: SpaceSpec, modality: Modality, items: Sequence[Item]) -> None:
    """Refuse items whose ids are only their positions, or their texts as they were typed.

    Row numbers are the usual ids of tables: any first item would be answered by row 0.
    """
    stranger = next((item for item in items if not item.own_id), None)
    if stranger is not None:
        raise DataError(
            f"no id to look {modality} up by in space '{spec.name}'",
            why="its embeddings lie in a folder and are found by ids alone, "
            'which the input has to give: {"id": "...", "modality": "' + modality + '"}',
            fix="give ids (docs/own-data.md), or a space that has an encoder",
            space=spec.name,
            modality=modality,
            id=stranger.id,
        )


def _refuse_strangers(table: EmbeddingFile, modality: Modality, items: Sequence[Item]) -> None:
    """Refuse items with contents of their own where rows have only numbers.

    Line 3 of a file, prompt 3 of a task and row 3 of a table have nothing but "3" in common.
    """
    stranger = next((item.id for item in items if item.value is not None), None)
    if stranger is not None:
        raise DataError(
            f"no ids in '{table.path}'",
            why=f"a number alone does not say which row is {modality} '{stranger}'",
            fix=f"give the ids used when embedding, as {modality}.ids.txt beside the file",
            path=str(table.path),
            id=stranger,
        )


def _rows(
    table: EmbeddingFile, row_of: RowIndex | None, modality: Modality, ids: list[str]
) -> NDArray[np.int64]:
    n = table.shape[0]
    if row_of is None:
        digits = len(str(n))  # Python refuses to read numbers of thousands of digits
        numbers = [
            int(id) if id.isascii() and id.isdigit() and len(id) <= digits else -1 for id in ids
        ]
        # Numbers as they are written here: 07 is not the id of row 7.
        row_numbers = [
            row if row < n and str(row) == id else -1 for row, id in zip(numbers, ids, strict=True)
        ]
    else:
        row_numbers = row_of.rows(ids)
    missing = [id for id, row in zip(ids, row_numbers, strict=True) if row < 0]
    if missing:
        bare = missing[0].partition("/")[2]  # evaluation sets put their names before ids
        is_bare = bool(bare) and row_of is not None and row_of.rows([bare])[0] >= 0
        raise DataError(
            f"no {modality} embedding for {len(missing)} of {len(ids)} items in '{table.path}'",
            why=f"first missing id: '{missing[0]}'"
            + (
                f"; without ids its items are 0 to {n - 1}"
                if row_of is None
                else f"; ids that are there begin with '{row_of.first}'"
            ),
            fix=f"'{bare}' is there: by_id in the evaluation set (--by-id) takes ids as they are"
            if is_bare
            else "embed these items too, or give the ids used when embedding",
            path=str(table.path),
            n_missing=len(missing),
            missing=missing[:5],
        )
    return np.array(row_numbers, np.int64)


def _normalise(
    table: EmbeddingFile, modality: Modality, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    raw = table.read(rows)
    # Halves overflow and vanish early; and what is not in this machine's order is slow.
    raw = raw.astype(np.result_type(np.float32, raw.dtype.newbyteorder("=")), copy=False)
    peak = np.abs(raw).max(axis=1, initial=0.0)  # NaN and inf both survive a maximum
    bad = ~np.isfinite(peak) | (peak == 0)
    if bad.any():
        first = int(np.argmax(bad))
        why = "zero" if peak[first] == 0 else "not finite"
        raise DataError(
            f"unusable {modality} embeddings in '{table.path}': {int(bad.sum())} of {len(rows)}",
            why=f"row {rows[first]} is {why}",
            fix="embed these items again, or leave them out",
            path=str(table.path),
            modality=modality,
            row=int(rows[first]),
        )
    # Scaled by the peak first, so that squares neither overflow nor vanish.
    scaled = (raw / peak[:, None]).astype(np.float32)
    unit: NDArray[np.float32] = scaled / np.linalg.norm(scaled, axis=1, keepdims=True)
    return unit
