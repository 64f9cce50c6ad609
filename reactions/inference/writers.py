"""Embeddings to disk or stdout: row by row in constant memory, and whole or not at all.

    emb.safetensors + emb.items.jsonl                tensor ``embeddings``, (n, dim) float32
    emb.npy         + emb.items.jsonl + emb.json     the same rows; what they are, as JSON
    emb.parquet                                      a row an item: id, modality, embedding
    emb.lance                                        the same columns, in a folder
    emb.jsonl                                        one item a line, with its embedding

``items.jsonl`` has a line for each row: ``{"row": 0, "id": ..., "modality": ...}``, with
``"numbered": true`` where the id is the item's number in the input.
docs/embeddings.md describes them for readers.
"""

from __future__ import annotations

import hashlib
import json
import struct
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StoreError
from reactions.core.types import Item
from reactions.inference.outputs import Format, files_of
from reactions.inference.writer_base import FilesWriter, Writer, identity, json_text
from reactions.products.acting import acting_adjustment
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "molspace-embeddings-1"

_MANY_ROWS = 1 << 48  # no header outgrows the room kept for one with so many rows
_NPY_HEADER_BYTES = 128


def describe(target: Target, adjustment: Adjustment = NO_ADJUSTMENT) -> dict[str, Any]:
    """Return what a file of embeddings says of itself; JSON-able."""
    return {
        "format": VERSION,
        "lab": target.lab,
        "expression": target.name,
        **acting_adjustment(target.space, adjustment),
        "dim": target.space.dim,
    }


def open_writer(
    path: Path | None,
    format: Format,
    about: Mapping[str, Any],
    *,
    stdout: IO[bytes] | None = None,
    overwrite: bool = True,
) -> Writer:
    """Open a writer; files are written under temporary names beside their own.

    Args:
        path: where to; None writes JSONL to ``stdout``.
        format: how.
        about: from ``describe``.
        stdout: a binary stream.
        overwrite: whether files that appear before the end may be replaced.

    Raises:
        StoreError: the path cannot be written.
    """
    if path is None:
        if stdout is None:
            raise StoreError("cannot write to stdout", why="it is closed", fix="--out FILE")
        return _Lines(stdout, about)
    files = files_of(path, format)
    if format == "jsonl":
        return _LinesFile(files, about, overwrite=overwrite)
    if format == "parquet":
        from reactions.inference.parquet_writer import ParquetWriter

        return ParquetWriter(files, about, overwrite=overwrite)
    if format == "lance":
        from reactions.inference.lance_writer import LanceWriter

        return LanceWriter(path, about, overwrite=overwrite)
    kind = _Npy if format == "npy" else _Safetensors
    return kind(files, about, overwrite=overwrite)


class _Lines(Writer):
    """JSONL to a stream that is someone else's."""

    def __init__(self, stream: IO[bytes], about: Mapping[str, Any]) -> None:
        self._stream = stream
        self._lab = about["lab"]

    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        try:
            self._stream.write(json_lines(items, rows, self._lab))
            self._stream.flush()
        except BrokenPipeError:  # not a failure: the reader has enough
            raise
        except OSError as error:
            raise StoreError(
                "cannot write to stdout", why=(error.strerror or str(error)).lower()
            ) from error

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        pass


def json_lines(items: Sequence[Item], rows: NDArray[np.float32], lab: str) -> bytes:
    """Return one JSON object a line; nine digits bring every float32 back exactly."""
    # One format string for a whole row: n calls of the formatter, not n * dim.
    numbers = "[" + ",".join(["%.9g"] * rows.shape[1]) + "]"
    lab_text = json_text(lab)
    return "".join(
        f'{{{identity(item)},"lab":{lab_text},"embedding":{numbers % tuple(row)}}}\n'
        for item, row in zip(items, rows.tolist(), strict=True)
    ).encode()


class _LinesFile(FilesWriter):
    """JSONL."""

    def _begin(self) -> None:
        pass

    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        self._streams[0].write(json_lines(items, rows, self._about["lab"]))

    def _finish(self) -> None:
        pass


class _Matrix(FilesWriter):
    """Rows behind a header of fixed size, rewritten at the end, and a sidecar of items."""

    def _begin(self) -> None:
        self._sha = hashlib.sha256()
        header = self._header(_MANY_ROWS)
        self._header_bytes = len(header)
        self._streams[0].write(header)

    @abstractmethod
    def _header(self, n: int) -> bytes: ...

    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        # Both formats promise little-endian, row-major data; the buffer itself is not copied.
        self._streams[0].write(np.ascontiguousarray(rows, dtype="<f4").data)
        lines = "".join(
            f'{{"row":{row},{identity(item)}}}\n' for row, item in enumerate(items, start=self.n)
        ).encode()
        self._sha.update(lines)
        self._streams[1].write(lines)

    def _finish(self) -> None:
        self._streams[0].seek(0)
        self._streams[0].write(self._header(self.n))

    def _facts(self) -> dict[str, Any]:
        """Return what the file says of itself, with its sidecar and that one's digest."""
        return {
            **self._about,
            "items": self._paths[1].name,
            # As long at the start as at the end: only n changes the header's length.
            "items_sha256": self._sha.hexdigest(),
        }


class _Safetensors(_Matrix):
    """One tensor; the facts are in its metadata, as texts."""

    def _header(self, n: int) -> bytes:
        dim = self._about["dim"]
        facts = {k: v if isinstance(v, str) else json_text(v) for k, v in self._facts().items()}
        tensor = {"dtype": "F32", "shape": [n, dim], "data_offsets": [0, 4 * n * dim]}
        text = json.dumps({"__metadata__": facts, "embeddings": tensor}).encode()
        # The format lets a header end in spaces; a multiple of 8 aligns the rows. The last header
        # takes the room of the first: the rows already lie behind it.
        size_bytes = -(-len(text) // 8) * 8 if n == _MANY_ROWS else self._header_bytes - 8
        return struct.pack("<Q", size_bytes) + text.ljust(size_bytes)


class _Npy(_Matrix):
    """numpy's format, version 1.0; the facts are in a file of their own."""

    def _header(self, n: int) -> bytes:
        shape = (n, self._about["dim"])
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
        room = _NPY_HEADER_BYTES - 10  # less magic (6), version (2) and this length (2)
        return (
            b"\x93NUMPY\x01\x00" + struct.pack("<H", room) + text.ljust(room - 1).encode() + b"\n"
        )

    def _finish(self) -> None:
        super()._finish()
        text = json.dumps({**self._facts(), "n": self.n}, ensure_ascii=False, indent=1)
        self._streams[2].write(f"{text}\n".encode())
