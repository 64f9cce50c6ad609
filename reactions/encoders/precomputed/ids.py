"""Ids of embeddings in files beside a table, and rows found by them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.file_names import nfc
from reactions.core.local_files import read_text_file
from reactions.core.types import Modality
from reactions.encoders.precomputed.names import id_name
from reactions.encoders.precomputed.tables import npy_of

MAX_IDS_BYTES = 1 << 27
"""A text of ids may have this many bytes, and no more than ``_ID_BYTES`` a row beyond the first
megabyte: two million ids of sixty characters. Arrays and columns hold more."""

_ID_BYTES = 1 << 10
_ID_COMMAS = 16
_FEW = 1 << 10

# --- files beside a table ------------------------------------------------------------

_SUFFIXES = (".txt", ".json", ".npy", ".parquet", ".csv", ".tsv", ".lst", "")
_ID_FILE = re.compile(r"(?:(?P<modality>.+?)[._-])?(?:ids?|keys?)")
_TABLES = (
    *(".txt", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".lst", ".list", ".yaml", ".yml"),
    *(".npy", ".npz", ".parquet", ".pkl", ".pickle", ".arrow", ".feather", ".pt", ".pth", ".orc"),
    *(".xlsx", ".xls", ".ods", ".db", ".sqlite", ".sqlite3", ".h5", ".hdf5", ".mat", ".xml"),
)
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_WORDS = re.compile(r"[^\W_]+")
_ID_WORD_LIST = """
id ids key keys items names filenames files paths urls index indices metadata meta manifest list
filelist fileslist id2row id2idx id2index row2id idx2id index2id
"""
_ID_WORDS = frozenset(_ID_WORD_LIST.split())


def id_files(folder: Path, modality: Modality) -> list[Path]:
    """Return the files of a folder that give a modality's ids, or else those that give all's.

    ``MODALITY.ids.txt``, also with ``id``, ``key`` or ``keys``, ``_`` or ``-``, as ``.json``,
    ``.npy``, ``.parquet``, ``.csv`` or ``.tsv``, in any case; without the modality the file is for
    all of them.
    """
    of_modality: list[Path] = []
    shared: list[Path] = []
    for path in _files(folder):
        modality_name = is_id_file(path)
        if modality_name is None:
            continue
        if not modality_name:
            shared.append(path)
        elif nfc(modality_name) == nfc(modality).casefold():
            of_modality.append(path)
    return of_modality or shared


def is_id_file(path: Path) -> Modality | None:
    """Return whose ids a file holds, folded: "" for all modalities', None if it holds none."""
    name = nfc(path.name).casefold()
    suffix = next(end for end in _SUFFIXES if name.endswith(end))
    match = _ID_FILE.fullmatch(name.removesuffix(suffix))
    # "ids" without an ending is as likely a folder's or a program's own file.
    if match is None or (not suffix and match["modality"] is None):
        return None
    return match["modality"] or ""


def possible_ids(folder: Path, modality: Modality, used: Sequence[Path]) -> list[Path]:
    """Return files that may hold the ids of a modality, and are not read.

    Args:
        folder: of the embeddings.
        modality: whose.
        used: files that are read.
    """
    paths, read = [], set(used)
    for path in _files(folder):
        name = nfc(path.name).casefold()
        name = next((name.removesuffix(end) for end in _PACKED if name.endswith(end)), name)
        words = _WORDS.findall(name)
        if path in read or name == "space.json" or not name.endswith(_TABLES) or not words:
            continue
        if words[0] == nfc(modality).casefold() or _is_of_ids(words[:-1]):
            paths.append(path)
    for child in sorted(folder.iterdir()):
        words = _WORDS.findall(nfc(child.name).casefold())
        if child.name.startswith(".") or not (_is_of_ids(words) and child.is_dir()):
            continue
        paths += [path for path in _files(child) if path not in read]
    return paths


def _is_of_ids(words: Sequence[str]) -> bool:
    return any(word in _ID_WORDS or word.endswith("ids") for word in words)


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())


def check_id_file(path: Path) -> None:
    """Refuse a text that is too large to hold ids, by its size alone: digests read all of it.

    Raises:
        DataError: it is.
    """
    if path.suffix.lower() in (".npy", ".parquet"):
        return
    size_bytes = path.stat().st_size
    if size_bytes > MAX_IDS_BYTES:
        raise DataError(
            f"'{path}' is too large",
            why=f"it has {size_bytes:,} bytes; a text of ids may have {MAX_IDS_BYTES:,}",
            fix="write the ids as .npy or .parquet, or keep it elsewhere if it holds none",
            path=str(path),
        )


def read_ids(path: Path, modality: Modality, n: int) -> list[Any]:
    """Read a file of ids: a JSON list, an npy, a column of a table, or one a line.

    Args:
        path: of the file.
        modality: whose ids.
        n: how many rows there are; a text of far more than so many ids is not split up.

    Raises:
        DataError: it cannot be read, is too large, or holds no ids.
    """
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return ids_of_array(_array(path), f"'{path}'")
    if suffix == ".parquet":
        from reactions.encoders.precomputed.parquet import read_id_column

        column = read_id_column(path, modality)
        if column is None:
            raise DataError(f"no column of ids in '{path}'", fix="call it 'id'", path=str(path))
        return column
    most_bytes = min(MAX_IDS_BYTES, (1 << 20) + _ID_BYTES * n)
    if suffix in (".csv", ".tsv"):
        return _ids_in_table(path, modality, n, most_bytes)
    try:
        text = read_text_file(path, most_bytes)
    except (DataError, MissingError, UsageError) as error:
        error.fix = error.fix or "write the ids in UTF-8, one a line, or as a JSON list"
        raise
    if suffix == ".json":
        return parse_ids(text, f"'{path}'", n)
    text = text.removesuffix("\n")
    if text.count("\n") > n + _FEW:
        raise no_ids(f"'{path}'", f"it has {text.count(chr(10)) + 1} lines for {n} rows")
    return text.split("\n")  # not splitlines: ids may hold odd separators


def _ids_in_table(path: Path, modality: Modality, n: int, most_bytes: int) -> list[Any]:
    """Return the column of ids of a csv or tsv whose first line names its columns."""
    from reactions.core.storage import entry_of
    from reactions.data.sources.config import Source
    from reactions.data.sources.table_headers import header_of
    from reactions.data.sources.table_rows import read_table_rows

    entry = entry_of(path)
    if entry.size_bytes > most_bytes:
        raise no_ids(f"'{path}'", f"it has {entry.size_bytes:,} bytes for {n} rows")
    names = header_of(path)
    column = id_name(names, modality, f"'{path}'")
    if not column:
        raise DataError(
            f"no column of ids in '{path}'",
            why=f"its columns: {', '.join(names[:5])}",
            fix="call it 'id' in the first line; without such a line, name the file .txt",
            path=str(path),
        )
    ids: list[Any] = []
    for row in islice(read_table_rows(entry, Source(columns=(column,)), []), n + _FEW):
        value = "" if row.why else str(row.values[0]).strip()
        if not value:
            raise DataError(
                f"no id in line {row.place.rpartition(':')[2]} of '{path}'",
                why=row.why or f"its column '{column}' is empty there",
                fix="give each row an id",
                path=str(path),
            )
        ids.append(value)
    return ids


def _array(path: Path) -> NDArray[Any]:
    shape, dtype, _, offset = npy_of(path)
    if len([n for n in shape if n != 1]) > 1 or dtype.kind not in "iuUS" or 0 in shape:
        raise DataError(
            f"'{path}' holds no ids",
            why=f"it is {dtype} of shape {shape}",
            fix="write whole numbers or strings, one a row",
            path=str(path),
        )
    # At most one side is not 1, which makes it n long whatever its shape.
    return np.memmap(path, dtype, "r", offset, (max(shape, default=1),))


def ids_of_array(array: NDArray[Any], where: str) -> list[Any]:
    """Return the ids in an array of whole numbers or strings.

    Args:
        array: (n,) or (n, 1).
        where: what errors call it.

    Raises:
        DataError: it has another shape, or texts that are not UTF-8.
    """
    if array.ndim != 1 and array.shape[1:] != (1,) * (array.ndim - 1):
        raise no_ids(where, f"its shape is {array.shape}")
    flat = np.ascontiguousarray(array).reshape(-1)
    if flat.dtype.kind in "SU" and flat.dtype.itemsize == 0:
        raise no_ids(where, "its texts have no characters")
    if flat.dtype.kind == "U":
        codes = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
        if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise no_ids(where, "it holds numbers that are not characters")
    try:
        if flat.dtype.kind == "S":
            return [text.decode() for text in flat.tolist()]
        ids: list[Any] = flat.tolist()
    except UnicodeDecodeError as error:
        raise no_ids(where, str(error)) from error
    return ids


def parse_ids(text: str, where: str, n: int) -> list[Any]:
    """Parse a JSON list of ids.

    Args:
        text: the JSON.
        where: what errors call it.
        n: how many rows there are.

    Raises:
        DataError: it is not a JSON list.
    """
    # Each value takes many times its text: what could hold far too many is not parsed.
    if text.count(",") + text.count("[") > _ID_COMMAS * n + _FEW:
        raise no_ids(where, f"it holds far more values than the {n} rows")
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise no_ids(where, str(error)) from error
    if not isinstance(ids, list):
        raise no_ids(where, f"it holds a JSON {type(ids).__name__}")
    return ids


def no_ids(where: str, why: str) -> DataError:
    """Return the error for a place that holds no ids."""
    return DataError(
        f"{where} holds no JSON list of ids"
        if not where.endswith(".npy'")
        else f"{where} holds no ids",
        why=why,
        fix='write one, such as ["a", "b"]',
    )


# --- rows by id ----------------------------------------------------------------------


class RowIndex:
    """Finds rows by id; where an id is not there as it is, by its composed Unicode form.

    Args:
        ids: of the rows, distinct.
    """

    def __init__(self, ids: Sequence[str]) -> None:
        self._row_of = {id: row for row, id in enumerate(ids)}
        self._composed: dict[str, int] | None = None

    @property
    def first(self) -> str:
        """The id of the first row, "" where there is none."""
        return next(iter(self._row_of), "")

    def rows(self, ids: Sequence[str]) -> list[int]:
        """Return the row of each id, -1 for those that are not there."""
        rows = [self._row_of.get(id, -1) for id in ids]
        if -1 in rows and not all(id.isascii() for id in ids):
            rows = [
                self._by_form(id) if row < 0 and not id.isascii() else row
                for row, id in zip(rows, ids, strict=True)
            ]
        return rows

    def _by_form(self, id: str) -> int:
        if self._composed is None:
            self._composed = {}
            for stored_id, row in self._row_of.items():
                if not stored_id.isascii():
                    form = nfc(stored_id)
                    # Two ids of one form name neither row.
                    self._composed[form] = -1 if form in self._composed else row
        return self._composed.get(nfc(id), -1)
