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

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.file_digests import DigestCache
from reactions.core.hashing import digest
from reactions.core.paths import cache_root
from reactions.core.types import Item, Modality, SpaceSpec
from reactions.data.corpora import IdCorpus
from reactions.encoders.precomputed.folder import (
    ADAPTER,
    folder_of,
    open_table,
    read_info,
    unread_files,
)
from reactions.encoders.precomputed.ids import RowIndex
from reactions.encoders.precomputed.layouts import find_sets, sidecars
from reactions.encoders.precomputed.tables import EmbeddingFile


def resolve(uri: str | Path, *, digest_cache: DigestCache | None = None) -> SpaceSpec:
    """Describe the space in a folder, reading headers and hashing files.

    Args:
        uri: the folder, or ``precomputed:PATH`` or ``file:PATH``.
        digest_cache: remembers digests of large files.

    Raises:
        MissingError: there is no such folder.
        DimensionMismatch: the modalities differ in width.
        DataError: the folder holds no embeddings, or unusable ones.
    """
    folder = folder_of(uri)
    digests = digest_cache or DigestCache()
    sets = find_sets(folder)
    dims = {modality: one.open(digests).shape[1] for modality, one in sets.items()}
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
    contents = {
        modality: [digests.of(path) for path in (*one.paths, *sidecars(folder, modality))]
        for modality, one in sets.items()
    }
    digests.save()
    hub = info.get("hub")
    if "hub" not in info and "image" in sets and len(sets) >= 3:
        hub = "image"
    return SpaceSpec(
        name=info.get("name") or folder.name,
        dim=dims[first],
        modalities=tuple(sets),
        adapter=ADAPTER,
        source=str(folder),
        revision=info.get("revision") or "",
        licence=info.get("licence") or "",
        weights_digest=digest("precomputed", contents),
        hub=hub,
    )


class PrecomputedEncoder:
    """Looks embeddings up by item id.

    Args:
        spec: from ``resolve``.
        digests: beside its file indexes of tars are remembered.
    """

    def __init__(self, spec: SpaceSpec, digests: DigestCache | None = None) -> None:
        self.spec = spec
        self._digests = digests or DigestCache()
        self._tables: dict[Modality, tuple[EmbeddingFile, RowIndex | None]] = {}

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
            table, ids, _ = open_table(self.spec, modality, self._digests)
            self._tables[modality] = table, None if ids is None else RowIndex(ids)
        return self._tables[modality]


def load(spec: SpaceSpec, *, device: str = "cpu") -> PrecomputedEncoder:
    """Open a precomputed space; ``device`` is ignored, for nothing is computed.

    Raises:
        MissingError: the folder is gone.
        DataError: its files are not the ones that ``spec`` was made from.
    """
    del device
    digests = DigestCache(cache_root())
    found = resolve(spec.source, digest_cache=digests)
    if spec.weights_digest and found.weights_digest != spec.weights_digest:
        raise DataError(
            f"the embeddings in '{spec.source}' changed",
            why="projectors and stored results belong to what was there before",
            fix="restore the files, or run the reaction again",
            path=spec.source,
        )
    return PrecomputedEncoder(spec, digests)


def corpus(spec: SpaceSpec, modality: Modality) -> IdCorpus:
    """Return all items of one modality of a precomputed space, in the file's order.

    Raises:
        DataError: the space lacks the modality, or its ids do not fit its embeddings.
    """
    ids, _ = _all_ids(spec, modality)
    return IdCorpus(f"{spec.name}/{modality}", modality, ids)


def common_corpus(specs: Sequence[SpaceSpec], modality: Modality) -> IdCorpus:
    """Return the items of one modality that several precomputed spaces must share.

    Args:
        specs: at least one, each embedding ``modality``. The first gives the ids and
            their order; the others must have them all, and, where neither names its
            items, exactly as many.
        modality: which items.

    Returns:
        The items; its notices say how rows are paired, where that is not by ids.

    Raises:
        DataError: a space lacks some of the first one's items.
    """
    first = specs[0]
    ids, named = _all_ids(first, modality)
    notices = []
    for other in specs[1:]:
        if other.source == first.source:
            continue
        others, others_named = _all_ids(other, modality)
        missing = _missing(ids, others)
        # Bare row numbers always overlap; only equal counts make it likely that they agree.
        if missing or (not named and not others_named and len(ids) != len(others)):
            raise DataError(
                f"mismatched ids: {modality} of '{other.name}' does not cover '{first.name}'",
                why=f"'{first.name}' has {len(ids)} items, '{other.name}' has {len(others)}"
                + (
                    f"; {len(missing)} of the former are not in the latter, "
                    f"such as {', '.join(missing[:3])}"
                    if missing
                    else ", and without ids rows must pair one to one"
                ),
                fix="embed the same items with every model, and give them ids",
                modality=modality,
                spaces=[first.name, other.name],
                counts=[len(ids), len(others)],
                n_missing=len(missing),
                missing=missing[:5],
            )
        nameless = [s.name for s, has in ((first, named), (other, others_named)) if not has]
        if nameless:
            notices.append(
                f"{len(ids)} {modality} rows of '{first.name}' and '{other.name}' are paired by "
                f"their numbers: there are no {modality} ids in {' and '.join(nameless)}"
            )
        if len(others) > len(ids):
            notices.append(
                f"{len(others) - len(ids)} of {len(others)} {modality} rows of '{other.name}' are "
                f"not used, as '{first.name}' lacks them"
            )
    return IdCorpus(f"{first.name}/{modality}", modality, ids, notices, positional=not named)


def missing_ids(spec: SpaceSpec, modality: Modality, ids: Sequence[str]) -> list[str]:
    """Return those of some ids that a space has no row for.

    Raises:
        DataError: the space lacks the modality, names no rows, or its ids do not fit.
    """
    known, named = _all_ids(spec, modality)
    if not named:
        raise DataError(
            f"space '{spec.name}' has no ids for its {modality} rows",
            why=f"items are named by the lab's {modality} corpus, and rows found by ids alone",
            fix=f"give the ids used when embedding, as {modality}.ids.txt in {spec.source}",
            space=spec.name,
            modality=modality,
        )
    return _missing(ids, known)


def unread_note(spec: SpaceSpec) -> str:
    """Return a line on what lies in the folder of a space and is not read; "" for nothing."""
    return unread_files(spec)


def _all_ids(spec: SpaceSpec, modality: Modality) -> tuple[list[str], bool]:
    """Return the ids of a modality, and whether the folder names them."""
    table, ids, _ = open_table(spec, modality)
    if ids is None:
        return [str(row) for row in range(table.shape[0])], False
    return ids, True


def _missing(ids: Sequence[str], known: Sequence[str]) -> list[str]:
    return [id for id, row in zip(ids, RowIndex(known).rows(ids), strict=True) if row < 0]


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
            fix="give ids (README, 'Your own embeddings'), or a space that has an encoder",
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
            why=f"which row is {modality} '{stranger}' cannot be told by a number alone",
            fix=f"give the ids used when embedding, as {modality}.ids.txt beside the file",
            path=str(table.path),
            id=stranger,
        )


def _rows(
    table: EmbeddingFile, row_of: RowIndex | None, modality: Modality, ids: list[str]
) -> NDArray[np.int64]:
    n = table.shape[0]
    if row_of is None:
        numbers = [int(id) if id.isascii() and id.isdigit() else -1 for id in ids]
        found = [
            row if row < n and str(row) == id else -1 for row, id in zip(numbers, ids, strict=True)
        ]
    else:
        found = row_of.rows(ids)
    missing = [id for id, row in zip(ids, found, strict=True) if row < 0]
    if missing:
        raise DataError(
            f"no {modality} embedding for {len(missing)} of {len(ids)} items in '{table.path}'",
            why=f"first missing id: '{missing[0]}'"
            + (f"; without ids its items are 0 to {n - 1}" if row_of is None else ""),
            fix="embed these items too, or give the ids used when embedding",
            path=str(table.path),
            n_missing=len(missing),
            missing=missing[:5],
        )
    return np.array(found, np.int64)


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
