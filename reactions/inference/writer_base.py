"""What writers of embeddings share: files that appear whole, together, or not at all."""

from __future__ import annotations

import json
import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from reactions.core.errors import StoreError
from reactions.core.printable import printable_json
from reactions.core.types import Item
from reactions.inference.outputs import refuse_replacing
from reactions.products.leftovers import left_over_outputs
from reactions.store.files import flush_folder
from reactions.store.locks import try_lock

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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


class FilesWriter(Writer):
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
        """Append (len(items), dim) rows."""
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
            raise unwritable(self._paths[0], error) from error
        except BaseException:
            self._discard()
            raise

    def _discard(self) -> None:
        for stream in self._streams:
            with suppress(OSError):  # what it still held does not fit on the disk either
                stream.close()
        for temp in self._temps:
            temp.unlink(missing_ok=True)


def identity(item: Item) -> str:
    """Return an item's id and modality as members of a JSON object.

    An id that is the item's number in its input says so: the same number in another input is
    another item.
    """
    numbered = ',"numbered":true' if is_numbered(item) else ""
    return f'"id":{json_text(item.id)},"modality":{json_text(item.modality)}{numbered}'


def is_numbered(item: Item) -> bool:
    """Return whether an item's id is its number in the input, and nothing else."""
    return not item.own_id and item.id.isdecimal()


def json_text(value: object) -> str:
    """Return JSON in which Unicode stays readable."""
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


def unwritable(path: Path, error: OSError) -> StoreError:
    """Return the error for a place that cannot be written to."""
    folder = path.parent
    why = (error.strerror or str(error)).lower()
    fix = "--out FILE in a folder with room that you can write to"
    if isinstance(error, FileNotFoundError) and not folder.exists():
        why, fix = f"there is no folder '{folder}'", f"mkdir -p '{folder}'"
    return StoreError(f"cannot write '{path}'", why=why, fix=fix, path=str(path), errno=error.errno)
