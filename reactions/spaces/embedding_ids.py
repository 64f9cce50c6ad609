"""Ids of embeddings: which names mean them, and the files that hold them.

Columns of parquet, tensors and metadata of safetensors, and files beside a table are
recognised by the same names. What looks like ids and cannot be understood is refused: rows
that are paired by number where names were meant are wrong, and look right.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.data.local_files import read_text_file
from reactions.errors import DataError, MissingError, UsageError
from reactions.kinds import Modality

MAX_IDS_BYTES = 1 << 27
"""A text of ids may have so many bytes, and no more than ``_ID_BYTES`` a row beyond the first
megabyte: two million ids of sixty characters. Arrays and columns hold more."""

_ID_BYTES = 1 << 10
_ID_COMMAS = 16
_FEW = 1 << 10

NAMES = (
    *("id", "ids", "key", "keys", "__key__", "item_id", "sample_id", "_id", "uid", "uuid", "guid"),
    *("image_id", "audio_id", "text_id", "video_id", "caption_id", "sentence_id", "doc_id"),
    *("image_path", "audio_path", "video_path", "file_name", "filename", "file_path", "filepath"),
    *("path", "file", "url", "index", "__index_level_0__"),
)
"""Names of columns and tensors that hold ids, the surest first, after MODALITY_id and the like."""

_LOOKS_LIKE_IDS = re.compile(
    r"(.*[\W_])?(id|ids|key|keys|uid|uuid|guid|names?|files?|filenames?|paths?|urls?|uri|hash|md5|"
    r"sha\d*|index)",
    re.IGNORECASE,
)


_ALIASES: Mapping[str, Modality] = {"img": "image", "images": "image", "sound": "audio"}
_MODALITY = re.compile(r"(.+?)(_emb|_embeddings?|_features)?")
_GENERIC = """
all arr array data dataset emb embedding embeddings embs feat feats feature features ids items keys
matrix metadata model output outputs part rows shard test train val valid validation vec vecs vector
vectors x
"""
NO_MODALITIES = frozenset(_GENERIC.split())
"""Names that people give to embeddings of whatever they have."""


def modality_of(name: str) -> Modality:
    """Return the modality that the name of a file or folder stands for."""
    match = _MODALITY.fullmatch(name)
    stem = match[1] if match else name
    return _ALIASES.get(stem, stem)


def id_name(names: Sequence[str], modality: Modality, where: str) -> str:
    """Return which of some names means ids, or "" if none does.

    Args:
        names: of columns, tensors or keys.
        modality: of the embeddings; ``image_id`` is more than ``text_id`` to an image.
        where: what errors call their place.

    Raises:
        DataError: several could, and none is a usual one.
    """
    folded: dict[str, str] = {}
    for name in names:
        folded.setdefault(name.casefold(), name)
    own = [f"{modality}{end}" for end in ("_id", "_ids", "_key", "_keys")] if modality else []
    for name in (*NAMES[:2], *own, *NAMES[2:]):
        if name in folded:
            return folded[name]
    likely = [name for name in names if _LOOKS_LIKE_IDS.fullmatch(name)]
    if len(likely) == 1 and likely[0].casefold().endswith(("_id", "_ids", "_key")):
        return likely[0]
    if likely:
        raise DataError(
            f"cannot tell the ids in {where}",
            why=f"{', '.join(map(repr, likely[:5]))} may hold them, but none is called 'id'",
            fix="rename the one that holds the ids to 'id', or the others to something else",
            names=likely,
        )
    return ""


# --- files beside a table ------------------------------------------------------------

_SUFFIXES = (".txt", ".json", ".npy", ".parquet", ".lst", "")
_ID_FILE = re.compile(r"(?:(?P<modality>.+?)[._-])?(?:ids?|keys?)")
_TEXTUAL = (".txt", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".lst", ".list")
_ARRAYS = (".npy", ".npz", ".parquet", ".pkl", ".pickle", ".arrow", ".feather", ".pt", ".pth")
_WORDS = re.compile(r"[^\W_]+")
_ID_WORD_LIST = "id ids key keys items names filenames files paths urls index indices metadata meta"
_ID_WORDS = frozenset(_ID_WORD_LIST.split())


def id_files(folder: Path, modality: Modality) -> list[Path]:
    """Return the files of a folder that give a modality's ids, or else those that give all's.

    ``MODALITY.ids.txt``, also with ``id``, ``key`` or ``keys``, ``_`` or ``-``, as ``.json``,
    ``.npy`` or ``.parquet``, in any case; without the modality the file is for all of them.
    """
    own: list[Path] = []
    shared: list[Path] = []
    for path in _files(folder):
        named = is_id_file(path)
        if named is None:
            continue
        if not named:
            shared.append(path)
        elif _nfc(named) == _nfc(modality).casefold():
            own.append(path)
    return own or shared


def is_id_file(path: Path) -> Modality | None:
    """Return whose ids a file holds, folded: "" for all modalities', None if it holds none."""
    name = _nfc(path.name).casefold()
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
    found = []
    for path in _files(folder):
        name = _nfc(path.name).casefold()
        words = _WORDS.findall(name)
        if path in used or name == "space.json" or not name.endswith(_TEXTUAL + _ARRAYS):
            continue
        if words[0] == _nfc(modality).casefold() or _ID_WORDS & set(words[:-1]):
            found.append(path)
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def read_ids(path: Path, modality: Modality, n: int) -> list[Any]:
    """Read a file of ids: a JSON list, an npy or parquet of one column, or one a line.

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
        from reactions.spaces.embedding_parquet import read_id_column

        column = read_id_column(path, modality)
        if column is None:
            raise DataError(f"no column of ids in '{path}'", fix="call it 'id'", path=str(path))
        return column
    try:
        text = read_text_file(path, min(MAX_IDS_BYTES, (1 << 20) + _ID_BYTES * n))
    except (DataError, MissingError, UsageError) as error:
        error.fix = error.fix or "write the ids in UTF-8, one a line, or as a JSON list"
        raise
    if suffix == ".json":
        return parse_ids(text, f"'{path}'", n)
    text = text.removesuffix("\n")
    if text.count("\n") > n + _FEW:
        raise no_ids(f"'{path}'", f"it has {text.count(chr(10)) + 1} lines for {n} rows")
    return text.split("\n")  # not splitlines: ids may hold odd separators


def _array(path: Path) -> NDArray[Any]:
    from reactions.spaces.embedding_files import npy_of

    shape, dtype, _, offset = npy_of(path)
    if len([n for n in shape if n != 1]) > 1 or dtype.kind not in "iuUS" or 0 in shape:
        raise DataError(
            f"'{path}' holds no ids",
            why=f"it is {dtype} of shape {shape}",
            fix="write whole numbers or strings, one a row",
            path=str(path),
        )
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
            raise no_ids(where, "it holds numbers that are no characters")
    try:
        if flat.dtype.kind == "S":
            return [text.decode() for text in flat.tolist()]
        found: list[Any] = flat.tolist()
    except UnicodeDecodeError as error:
        raise no_ids(where, str(error)) from error
    return found


def parse_ids(text: str, where: str, n: int) -> list[Any]:
    """Parse a JSON list of ids.

    Args:
        text: the JSON.
        where: what errors call it.
        n: how many rows there are.

    Raises:
        DataError: it is no JSON list.
    """
    # Each value takes many times its text: what could hold far too many is not parsed.
    if text.count(",") + text.count("[") > _ID_COMMAS * n + _FEW:
        raise no_ids(where, f"it holds far more values than the {n} rows")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise no_ids(where, str(error)) from error
    if not isinstance(found, list):
        raise no_ids(where, f"it holds a JSON {type(found).__name__}")
    return found


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

    def rows(self, ids: Sequence[str]) -> list[int]:
        """Return the row of each id, -1 for those that are not there."""
        found = [self._row_of.get(id, -1) for id in ids]
        if -1 in found and not all(id.isascii() for id in ids):
            found = [
                self._by_form(id) if row < 0 and not id.isascii() else row
                for row, id in zip(found, ids, strict=True)
            ]
        return found

    def _by_form(self, id: str) -> int:
        if self._composed is None:
            self._composed = {}
            for known, row in self._row_of.items():
                if not known.isascii():
                    form = _nfc(known)
                    # Two ids of one form name neither row.
                    self._composed[form] = -1 if form in self._composed else row
        return self._composed.get(_nfc(id), -1)
