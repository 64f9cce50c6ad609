"""An index on disk.

    index.json              what it is of, its segments, which rows are deleted
    segments/00001/         rows of one modality, never changed once index.json lists them
        units.npy           (n, K, d) atoms, float32 or float16
        lengths.npy         (n, K) float32
        products.npy        (n, K (K - 1) / 2) float32
        items.jsonl         an object a row: id, source, digest; within and place of parts of files,
                            origin of captions and lines
        offsets.npy         (n + 1,) int64: where each line of items.jsonl begins
    approximate/            FAISS's structures, one a modality; see ``approximate``
    lock                    held by whoever writes

``index.json`` is replaced in one move, last: a killed writer leaves the index as it was, and a
segment that is not listed, which the next writer removes.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.errors import StoreError, UsageError
from reactions.core.local_files import exists
from reactions.core.npy import npy_header
from reactions.search.hits import IndexedItem
from reactions.search.record import RECORD, IndexRecord, Segment, damaged, read_record

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.core.types import Modality

_SEGMENTS: Final = "segments"
_ITEMS, _OFFSETS = "items.jsonl", "offsets.npy"
_ARRAYS: Final = ("units.npy", "lengths.npy", "products.npy", _OFFSETS)

# Windows has no fcntl: there two writers are not kept apart.
_fcntl: Any = importlib.import_module("fcntl") if find_spec("fcntl") else None


@contextmanager
def writing(directory: Path) -> Iterator[None]:
    """Keep other writers away from an index, and remove what a killed one left.

    Raises:
        StoreError: another process writes, or the folder cannot be made.
    """
    try:
        (directory / _SEGMENTS).mkdir(parents=True, exist_ok=True)
        lock = (directory / "lock").open("a")
    except OSError as error:
        raise unwritable(directory, error) from error
    with lock:
        if _fcntl is not None:
            try:
                _fcntl.flock(lock, _fcntl.LOCK_EX | _fcntl.LOCK_NB)
            except OSError as error:
                raise StoreError(
                    f"the index '{directory}' is being written by another process",
                    fix="wait for it",
                    path=str(directory),
                ) from error
        listed = set()
        if exists(directory / RECORD):
            listed = {segment.name for segment in read_record(directory).segments}
        for folder in (directory / _SEGMENTS).iterdir():
            if folder.name not in listed:
                shutil.rmtree(folder, ignore_errors=True)
        yield


def write_record(directory: Path, record: IndexRecord) -> None:
    """Replace what an index says of itself, in one move; the caller is ``writing``.

    Raises:
        StoreError: the disk is full, or cannot be written.
    """
    new = directory / f"{RECORD}.new"
    try:
        with new.open("w", encoding="utf-8") as file:
            json.dump(record.to_json(), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(directory / RECORD)
    except OSError as error:
        raise unwritable(directory, error) from error


def write_segment(
    directory: Path,
    record: IndexRecord,
    items: Sequence[IndexedItem],
    units: NDArray[np.float32],
    lengths: NDArray[np.float32],
    products: NDArray[np.float32],
) -> IndexRecord:
    """Write rows of one modality; the caller is ``writing`` and publishes the record.

    Returns:
        The record with the segment.

    Raises:
        StoreError: the disk is full, or cannot be written.
    """
    name = f"{record.n_written + 1:05d}"
    folder = directory / _SEGMENTS / name
    lines = [_line(item) for item in items]
    offsets = np.cumsum([0, *map(len, lines)], dtype=np.int64)  # ASCII: a character is a byte
    arrays = (units.astype(record.dtype), lengths, products, offsets)
    files: dict[str, tuple[int, str]] = {}
    try:
        folder.mkdir()
        for file_name, array in zip(_ARRAYS, arrays, strict=True):
            with (folder / file_name).open("wb") as file:
                np.save(file, np.ascontiguousarray(array), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
        with (folder / _ITEMS).open("w", encoding="ascii", newline="\n") as text:
            text.writelines(lines)
            text.flush()
            os.fsync(text.fileno())
        for file_name in (*_ARRAYS, _ITEMS):
            path = folder / file_name
            files[file_name] = file_facts(path)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise unwritable(directory, error) from error
    segment = Segment(name, items[0].modality, len(items), units.shape[1], files)
    return replace(record, segments=(*record.segments, segment), n_written=record.n_written + 1)


@dataclass(frozen=True)
class OpenSegment:
    """A segment, memory-mapped.

    Attributes:
        segment: what is known of it.
        units: (n, K, d).
        lengths: (n, K).
        products: (n, K (K - 1) / 2).
    """

    segment: Segment
    units: NDArray[Any]
    lengths: NDArray[np.float32]
    products: NDArray[np.float32]
    _offsets: NDArray[np.int64]
    _lines: NDArray[np.uint8]

    def item(self, row: int) -> IndexedItem:
        """Return the item of a row."""
        start, stop = int(self._offsets[row]), int(self._offsets[row + 1])
        return _item(self._lines[start:stop].tobytes(), self.segment.modality)

    def items(self) -> Iterator[IndexedItem]:
        """Yield all items, in order."""
        for line in self._lines.tobytes().splitlines():
            yield _item(line, self.segment.modality)


def _line(item: IndexedItem) -> str:
    facts: dict[str, Any] = {"id": item.id, "source": item.source, "digest": item.digest}
    if item.within:
        facts |= {"within": item.within, "place": item.place}
    elif item.origin:
        facts["origin"] = item.origin
    return json.dumps(facts, ensure_ascii=True) + "\n"


def _item(line: bytes, modality: Modality) -> IndexedItem:
    facts = json.loads(line)
    within = facts.get("within", "")
    start, size_bytes, column = facts.get("place", (0, 0, ""))
    place = (int(start), int(size_bytes), str(column))
    identity = facts["id"], modality, facts["source"], facts["digest"]
    return IndexedItem(*identity, within, place, facts.get("origin", ""))


def open_segment(directory: Path, record: IndexRecord, segment: Segment) -> OpenSegment:
    """Map a segment's files into memory.

    Raises:
        DataError: a file is missing, or is not of the size and shape that it should have.
    """
    folder = directory / _SEGMENTS / segment.name
    pairs = segment.n_atoms * (segment.n_atoms - 1) // 2
    expected = {
        "units.npy": ((segment.n, segment.n_atoms, record.dim), record.dtype),
        "lengths.npy": ((segment.n, segment.n_atoms), "float32"),
        "products.npy": ((segment.n, pairs), "float32"),
        _OFFSETS: ((segment.n + 1,), "int64"),
    }
    arrays = []
    try:
        for name, (shape, dtype) in expected.items():
            path = folder / name
            with path.open("rb") as file:
                found_shape, found_dtype, fortran, _ = npy_header(file, path.stat().st_size)
            if (found_shape, str(found_dtype)) != (shape, dtype) or fortran:
                raise ValueError(
                    f"{name} holds {found_dtype} of shape {found_shape}, not {dtype} of {shape}"
                )
            arrays.append(np.load(path, mmap_mode="r", allow_pickle=False))
        size, _ = segment.files[_ITEMS]
        if (folder / _ITEMS).stat().st_size != size or int(arrays[3][-1]) != size:
            raise ValueError(f"{_ITEMS} has another size")
        lines = np.memmap(folder / _ITEMS, dtype=np.uint8, mode="r")
    except (OSError, ValueError, KeyError) as error:
        raise damaged(directory, f"segment {segment.name}: {error}") from error
    units, lengths, products, offsets = arrays
    return OpenSegment(segment, units, lengths, products, offsets, lines)


def verify(directory: Path, record: IndexRecord) -> int:
    """Compare every file with its digest; return how many bytes were read.

    Raises:
        DataError: one differs, or is missing.
    """
    read_bytes = 0
    for segment in record.segments:
        for name, (size, digest) in segment.files.items():
            path = directory / _SEGMENTS / segment.name / name
            try:
                _, actual = file_facts(path)
            except OSError as error:
                why = f"{path.name} of segment {segment.name}: {error}"
                raise damaged(directory, why) from error
            if actual != digest:
                raise damaged(directory, f"{path.name} of segment {segment.name} was changed")
            read_bytes += size
    return read_bytes


def check_directory(directory: Path) -> None:
    """Refuse a folder that holds something else.

    Raises:
        UsageError: it does.
    """
    if not exists(directory) or exists(directory / RECORD):
        return
    if not directory.is_dir():
        raise UsageError(f"'{directory}' is a file, and an index is a folder", fix="another --out")
    index_names = {RECORD, f"{RECORD}.new", _SEGMENTS, "lock", "approximate"}
    other_names = sorted({path.name for path in directory.iterdir()} - index_names)
    if other_names:
        raise UsageError(
            f"'{directory}' holds something other than an index",
            why=f"there is {', '.join(other_names[:3])}",
            fix="--out DIR, an empty or new folder",
        )


def file_facts(path: Path) -> tuple[int, str]:
    """Return a file's size in bytes and its SHA-256."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest


def unwritable(directory: Path, error: Exception) -> StoreError:
    """Return an error about an index that cannot be written."""
    return StoreError(
        f"cannot write the index '{directory}'",
        why=str(getattr(error, "strerror", None) or error).splitlines()[0].lower(),
        fix="--out DIR, where there is room",
        path=str(directory),
    )
