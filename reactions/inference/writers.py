"""Embeddings to disk or stdout: row by row in constant memory, and whole or not at all.

    emb.safetensors + emb.items.jsonl                tensor ``embeddings``, (n, dim) float32
    emb.npy         + emb.items.jsonl + emb.json     the same rows; what they are, as JSON
    emb.jsonl                                        one item a line, with its embedding

``items.jsonl`` has a line for each row: ``{"row": 0, "id": ..., "modality": ...}``, with
``"numbered": true`` where the id is the item's number in the input.
docs/embeddings.md describes them for readers.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from reactions.core.errors import StoreError
from reactions.core.printable import printable_json
from reactions.core.types import Item
from reactions.inference.outputs import Format, files_of, refuse_replacing
from reactions.products.leftovers import left_over_outputs
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    effective_factors,
    effective_means,
)
from reactions.store.files import flush_folder, try_lock

if TYPE_CHECKING:
    from numpy.typing import NDArray

VERSION = "molspace-embeddings-1"

_MANY_ROWS = 1 << 48  # no header outgrows the room kept for one with so many rows
_NPY_HEADER_BYTES = 128


def describe(target: Target, adjustment: Adjustment = NO_ADJUSTMENT) -> dict[str, Any]:
    """Return what a file of embeddings says of itself; JSON-able."""
    means = effective_means(target.space, adjustment)
    return {
        "format": VERSION,
        "lab": target.lab,
        "expression": target.name,
        "factors": effective_factors(target.space, adjustment),
        "experts": None if adjustment.experts is None else sorted(adjustment.experts),
        **({"means": means} if means else {}),
        "dim": target.space.dim,
    }


class Writer(ABC):
    """Takes batches of items and rows; a context manager.

    Leaving the context publishes the files. If that is by an exception, or no item was
    written, nothing stays behind, and what was there before is as it was.

    Attributes:
        n: items written so far.

    Raises:
        StoreError: a file cannot be written; nothing stays behind.
    """

    n = 0

    def __enter__(self) -> Self:
        return self

    def write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        """Append (len(items), dim) rows."""
        self._write(items, rows)
        self.n += len(items)

    @abstractmethod
    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None: ...

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


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
    lab_text = _json(lab)
    return "".join(
        f'{{{_identity(item)},"lab":{lab_text},"embedding":{numbers % tuple(row)}}}\n'
        for item, row in zip(items, rows.tolist(), strict=True)
    ).encode()


def _identity(item: Item) -> str:
    """Return an item's id and modality as members of a JSON object.

    An id that is the item's number in its input says so: the same number in another input is
    another item.
    """
    numbered = ',"numbered":true' if not item.own_id and item.id.isdecimal() else ""
    return f'"id":{_json(item.id)},"modality":{_json(item.modality)}{numbered}'


class _Files(Writer):
    """Files made under temporary names and renamed together."""

    def __init__(self, paths: Sequence[Path], about: Mapping[str, Any], *, overwrite: bool) -> None:
        self._about = about
        self._overwrite = overwrite
        # What a link points to is replaced, not the link.
        self._paths = [Path(os.path.realpath(path)) for path in paths]
        self._temps: list[Path] = []
        self._streams: list[IO[bytes]] = []
        with self._guarded():
            for path in self._paths:
                _check(path)
                # Short, whatever the length of the name it stands for.
                temp = path.with_name(f".molspace-{uuid.uuid4().hex}")
                self._temps.append(temp)
                self._streams.append(temp.open("xb"))
                # Lost with the process, even a killed one, so that its leftovers can be recognised.
                try_lock(self._streams[-1].fileno())
            for folder in dict.fromkeys(path.parent for path in self._paths):
                for left_over in left_over_outputs(folder):
                    with suppress(OSError):
                        left_over.unlink()
            self._begin()

    def write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        with self._guarded():
            super().write(items, rows)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None or self.n == 0:
            self._discard()
            return
        with self._guarded():
            self._finish()
            for stream in self._streams:
                stream.flush()
                # Before the rename: a power cut could otherwise leave a name without its data.
                os.fsync(stream.fileno())
                stream.close()
            if not self._overwrite:
                # Looked for before the run, too: these are of a run beside this one.
                refuse_replacing(self._paths)
            # The embeddings last: where they are new, so is all that describes them.
            for temp, path in reversed([*zip(self._temps, self._paths, strict=True)]):
                temp.replace(path)
            flush_folder(self._paths[0].parent)

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Leave nothing behind, and say what the disk said in plain words."""
        try:
            yield
        except OSError as error:
            self._discard()
            raise _unwritable(self._paths[0], error) from error
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        for stream in self._streams:
            with suppress(OSError):  # what it still held does not fit on the disk either
                stream.close()
        for temp in self._temps:
            temp.unlink(missing_ok=True)


class _LinesFile(_Files):
    """JSONL."""

    def _begin(self) -> None:
        pass

    def _write(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        self._streams[0].write(json_lines(items, rows, self._about["lab"]))

    def _finish(self) -> None:
        pass


class _Matrix(_Files):
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
            f'{{"row":{row},{_identity(item)}}}\n' for row, item in enumerate(items, start=self.n)
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
        facts = {k: v if isinstance(v, str) else _json(v) for k, v in self._facts().items()}
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


def _json(value: object) -> str:
    # Unicode stays readable, but for what a terminal would obey.
    return printable_json(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _check(path: Path) -> None:
    """Refuse what a rename would destroy or cannot replace."""
    if path.is_dir():
        raise StoreError(f"cannot write '{path}'", why="it is a folder", fix="--out FILE")
    if path.exists() and not path.is_file():
        raise StoreError(
            f"cannot write '{path}'",
            why="it is a device or a pipe, and files are renamed into place",
            fix="--format jsonl writes to stdout",
        )


def _unwritable(path: Path, error: OSError) -> StoreError:
    folder = path.parent
    why = (error.strerror or str(error)).lower()
    fix = "--out FILE in a folder with room that you can write to"
    if isinstance(error, FileNotFoundError) and not folder.exists():
        why, fix = f"there is no folder '{folder}'", f"mkdir -p '{folder}'"
    return StoreError(f"cannot write '{path}'", why=why, fix=fix, path=str(path), errno=error.errno)
