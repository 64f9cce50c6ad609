"""What ``molspace infer`` wrote, as embeddings: rows of several modalities in one table.

    emb.safetensors + emb.items.jsonl
    emb.npy + emb.items.jsonl + emb.json
    emb.parquet                               a row an item: id, modality, numbered, embedding
    emb.lance                                 a folder with the same columns
    emb.jsonl                                 one item a line, with its embedding

The items name the modality and the id of each row; see ``reactions.inference.writers``. Ids that
are numbers of lines are not: line 3 of one input is not line 3 of another.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.file_digests import DigestCache
from reactions.core.lance import is_lance, lance_files
from reactions.core.local_files import read_text_file
from reactions.core.types import Modality
from reactions.encoders.precomputed.files import OWN_FORMAT, open_embeddings
from reactions.encoders.precomputed.item_groups import (
    Groups,
    ItemRows,
    add_record,
    bad_line,
    settled,
)
from reactions.encoders.precomputed.lance_tables import LanceTable, lance_facts, lance_items
from reactions.encoders.precomputed.parquet import pyarrow_of
from reactions.encoders.precomputed.tables import (
    EmbeddingFile,
    Selected,
    reading,
    shape_of,
    unreadable,
)

ITEMS = ".items.jsonl"

MAX_ITEMS_BYTES = 1 << 30
"""Most bytes of a file of items: ten million rows."""

_MAX_LINE_BYTES = 1 << 20
_MAX_FACTS_BYTES = 1 << 20


@dataclass(frozen=True)
class Output:
    """The rows of one modality in an output.

    Attributes:
        paths: the files that decide rows and ids.
        modality: whose rows.
        rows: (n,) which they are.
        ids: of the same.
        n_numbered: how many of the ids are numbers of lines.
        folder: of a Lance table, which all of ``paths`` lie in.
    """

    paths: tuple[Path, ...]
    modality: Modality
    rows: NDArray[np.int64]
    ids: list[str]
    n_numbered: int = 0
    folder: Path | None = None

    @property
    def place(self) -> Path:
        """What a person calls the output: its embeddings' file, or folder."""
        return self.folder or self.paths[0]

    def open(self, digests: DigestCache) -> EmbeddingFile:
        """Open its rows as one table.

        Raises:
            DataError: the items belong to other embeddings.
        """
        path = self.place
        if self.folder is not None:
            return Selected(LanceTable(path), self.rows)
        if path.suffix == ".jsonl":
            return Selected(_Lines(path, *_embedded(path, *_stamp(path))), self.rows)
        if path.suffix == ".parquet":
            return Selected(open_embeddings(path), self.rows)
        table = open_embeddings(path)
        digest, n, _ = _items(self.paths[1], *_stamp(self.paths[1]))
        facts = _facts(path, table)
        if n != table.shape[0]:
            raise _mismatch(self.paths, f"{n} items for {table.shape[0]} embeddings")
        if facts.get("items_sha256", digest) != digest:
            raise _mismatch(self.paths, "the items are not those that were written with it")
        return Selected(table, self.rows)

    def own_ids(self, table: EmbeddingFile) -> tuple[list[Any] | None, str]:
        """Return the ids of its items, or None where none of them has one of its own.

        Raises:
            DataError: some have, and some do not.
        """
        if self.n_numbered == len(self.ids):
            return None, ""
        if self.n_numbered:
            raise DataError(
                f"{self.n_numbered} of {len(self.ids)} {self.modality} items in "
                f"'{self.place}' have no id of their own",
                why="they are called by the number of their line, which says nothing elsewhere",
                fix='give every item an id, {"id": "...", ...}, and run infer again',
                path=str(self.place),
            )
        is_alone = self.place.suffix in (".jsonl", ".parquet") or self.folder is not None
        return list(self.ids), (self.place if is_alone else self.paths[1]).name


def outputs(files: list[Path]) -> Iterator[Output]:
    """Yield the outputs among files and Lance tables of a folder, a modality at a time.

    Raises:
        DataError: an output is damaged, or lacks its embeddings or its items.
    """
    for path in files:
        if path.name.endswith(ITEMS):
            stem = path.name.removesuffix(ITEMS)
            tables = [p for p in files if p.stem == stem and p.suffix in (".npy", ".safetensors")]
            if len(tables) != 1:
                raise DataError(
                    f"'{path}' lists items of embeddings that are not there"
                    if not tables
                    else f"cannot tell whose items '{path}' lists",
                    why=" and ".join(p.name for p in tables)
                    or f"there is neither {stem}.safetensors nor {stem}.npy beside it",
                    fix="copy all files that infer wrote, and no others, or remove it",
                    path=str(path),
                )
            beside = [p for p in files if p.name == f"{stem}.json" and tables[0].suffix == ".npy"]
            _, _, groups = _items(path, *_stamp(path))
            for modality, group in groups.items():
                yield Output((tables[0], path, *beside), modality, *group)
        elif path.suffix == ".jsonl" and _is_embedded(path):
            for modality, group in _embedded(path, *_stamp(path))[2].items():
                yield Output((path,), modality, *group)
        elif path.suffix == ".parquet" and _is_own_parquet(path):
            for modality, group in _parquet_items(path, *_stamp(path)).items():
                yield Output((path,), modality, *group)
        elif is_lance(path):
            parts = lance_files(path)
            stamps = [number for part in parts for number in _stamp(part)]
            for modality, group in lance_items(path, *stamps).items():
                yield Output(parts, modality, *group, folder=path)


def made_with(part: object) -> str:
    """Return what made the embeddings of a modality, as ``infer`` noted it; "" if it is unknown."""
    if not isinstance(part, Output) or part.paths[0].suffix == ".jsonl":
        return ""
    path = part.paths[0]
    if part.folder is not None:
        return str(lance_facts(part.folder).get("expression", ""))
    if path.suffix == ".parquet":
        return str(_parquet_facts(path).get("expression", ""))
    return str(_facts(path, open_embeddings(path)).get("expression", ""))


def refuse_without_items(path: Path, table: EmbeddingFile) -> None:
    """Refuse an output whose items are missing: its rows would be taken for something else.

    Raises:
        DataError: ``table`` is such an output.
    """
    if _facts(path, table).get("format") == OWN_FORMAT:
        raise DataError(
            f"the items of '{path}' are missing",
            why=f"molspace infer wrote them to {path.stem}{ITEMS}, and it is not there",
            fix="copy it as well: it says which row is what",
            path=str(path),
        )


def _facts(path: Path, table: EmbeddingFile) -> dict[str, Any]:
    """Return what an output says of itself; empty for any other table."""
    metadata = getattr(table, "metadata", None)
    if metadata is not None:
        return dict(metadata)
    beside = path.with_suffix(".json")
    if path.suffix != ".npy" or not beside.is_file():
        return {}
    try:
        facts = json.loads(read_text_file(beside, _MAX_FACTS_BYTES))
    except (DataError, ValueError, RecursionError):  # whatever it is, infer did not write it
        return {}
    return facts if isinstance(facts, dict) and facts.get("format") == OWN_FORMAT else {}


# --- lines ---------------------------------------------------------------------------


def _stamp(path: Path) -> tuple[int, int, int, int]:
    """Return what changes when a file does, by which its lines are remembered."""
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino


@lru_cache(maxsize=8)
def _items(path: Path, *stamp: int) -> tuple[str, int, Groups]:
    """Return the digest of a file of items, how many there are, and their rows by modality."""
    if stamp[0] > MAX_ITEMS_BYTES:
        raise DataError(
            f"'{path}' is too large",
            why=f"it has {stamp[0]:,} bytes; a file of items may have {MAX_ITEMS_BYTES:,}",
            path=str(path),
        )
    sha = hashlib.sha256()
    groups: dict[Modality, ItemRows] = {}
    n = 0
    for line, _ in _lines(path):
        sha.update(line)
        record = _record(path, line, n)
        if record.get("row", n) != n:
            raise bad_line(path, n, f"its row is {record['row']!r}")
        add_record(groups, path, record, n)
        n += 1
    if not n:
        raise bad_line(path, 0, "it is empty")
    return sha.hexdigest(), n, settled(groups)


@lru_cache(maxsize=8)
def _embedded(path: Path, *stamp: int) -> tuple[NDArray[np.int64], int, Groups]:
    """Return where the lines of an output in JSON lines begin, their width, and their rows."""
    groups: dict[Modality, ItemRows] = {}
    places = array("q")
    d = 0
    for n, (line, place) in enumerate(_lines(path)):
        record = _record(path, line, n)
        width = len(_vector(path, record, n))
        d = d or width
        if width != d:
            raise DimensionMismatch(
                f"ragged embeddings in '{path}'",
                why=f"line {n + 1} is {width} wide, the first is {d} wide",
                fix="write rows of one width",
                path=str(path),
                row=n,
            )
        add_record(groups, path, record, n)
        places.append(place)
    return np.array(places, np.int64), d, settled(groups)


class _Lines:
    """Embeddings in JSON lines, parsed when they are read.

    Args:
        path: of the file.
        places: where each line begins.
        d: width of the embeddings.
    """

    def __init__(self, path: Path, places: NDArray[np.int64], d: int, groups: Groups) -> None:
        # Taken so that what _embedded returns can be passed on whole.
        del groups
        self.path = path
        self.shape = shape_of(path, (len(places), d), "float32", True)
        self._places = places

    def ids(self) -> list[Any] | None:
        return None

    def read(self, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
        out = np.empty((len(rows), self.shape[1]), np.float64)
        try:
            with self.path.open("rb") as stream:
                for i, row in enumerate(rows.tolist()):
                    stream.seek(int(self._places[row]))
                    line = stream.readline(_MAX_LINE_BYTES)
                    out[i] = _vector(self.path, _record(self.path, line, row), row)
        except (OSError, OverflowError) as error:
            raise unreadable(self.path, error) from error
        return out


def _is_own_parquet(path: Path) -> bool:
    """Return whether ``infer`` wrote a parquet file, by what its schema says of itself."""
    return _parquet_facts(path).get("format") == OWN_FORMAT


def _parquet_facts(path: Path) -> dict[str, Any]:
    """Return what a parquet file's schema says of itself; empty for others' files."""
    pa, parquet = pyarrow_of(path)
    try:
        metadata = parquet.read_schema(path, memory_map=True).metadata or {}
        facts = json.loads(metadata.get(b"molspace", b"{}"))
    except (OSError, ValueError, RecursionError, pa.ArrowException):
        return {}  # damaged, or not ours: whoever reads it says so
    return facts if isinstance(facts, dict) else {}


@lru_cache(maxsize=8)
def _parquet_items(path: Path, *stamp: int) -> Groups:
    """Return the rows of an output in parquet by modality."""
    _, parquet = pyarrow_of(path)
    groups: dict[Modality, ItemRows] = {}
    row = 0
    with reading(path):
        file = parquet.ParquetFile(path, memory_map=True)
        for batch in file.iter_batches(columns=["id", "modality", "numbered"]):
            for record in batch.to_pylist():
                add_record(groups, path, record, row)
                row += 1
    if not row:
        raise bad_line(path, 0, "it is empty")
    return settled(groups)


def _is_embedded(path: Path) -> bool:
    """Return whether a file of JSON lines holds embeddings, by its first."""
    try:
        with path.open("rb") as stream:
            record = json.loads(stream.readline(_MAX_LINE_BYTES))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(record, dict) and "embedding" in record


def _lines(path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield each line and where it begins."""
    place = 0
    try:
        with path.open("rb") as stream:
            # A longer line is cut, so that it cannot fill the memory, and its parts are not JSON.
            while line := stream.readline(_MAX_LINE_BYTES):
                yield line, place
                place += len(line)
    except OSError as error:
        raise unreadable(path, error) from error


def _record(path: Path, line: bytes, row: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise bad_line(path, row, str(error)) from error
    if not isinstance(record, dict):
        raise bad_line(path, row, "it is not a JSON object")
    return record


def _vector(path: Path, record: dict[str, Any], row: int) -> list[float]:
    vector = record.get("embedding")
    # By their very type: to isinstance, JSON's true and false are integers.
    is_numbers = isinstance(vector, list) and all(type(x) in (int, float) for x in vector)
    if not vector or not is_numbers:
        raise bad_line(path, row, "its 'embedding' is not a list of numbers")
    return cast("list[float]", vector)


def _mismatch(paths: tuple[Path, ...], why: str) -> DataError:
    return DataError(
        f"mismatched ids: '{paths[1]}' does not belong to '{paths[0].name}'",
        why=why,
        fix="copy both from one run of infer",
        path=str(paths[1]),
    )
