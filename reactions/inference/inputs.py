"""Reading what is to be embedded: arguments, lines and files, in constant memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO, cast

from reactions.core.addresses import absolute
from reactions.core.errors import DataError, UsageError, suggestion
from reactions.core.remote import url_name
from reactions.core.storage import Blob, find
from reactions.core.text_lines import read_lines
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem, read_items
from reactions.data.scan_cache import TableCache
from reactions.inference.arguments import file_of_lines
from reactions.inference.line_stream import GuardedStream, no_table
from reactions.inference.parquet_items import ParquetItems
from reactions.inference.place_contents import PlaceContents
from reactions.inference.place_kinds import PlaceKind, place_kind
from reactions.inference.saved_datasets import saved_files
from reactions.inference.table_items import TableItems
from reactions.inference.table_reading import AS_NAMED, TableReading, holds_records, lists_files
from reactions.inference.tar_items import TarItems
from reactions.modalities.registry import get
from reactions.modalities.suffixes import modality_of

MAX_LINE_BYTES = 1 << 20


def choose_items(
    inputs: Sequence[str],
    stdin: IO[bytes] | None,
    *,
    modalities: Collection[Modality],
    samples: Callable[[], Sequence[Item]] | None,
    base: Path = Path(),
    by_id: Collection[Modality] = (),
    taken_as: Modality | None = None,
    tables: TableCache | None = None,
    reading: TableReading = AS_NAMED,
    on_held: Callable[[PlaceContents], None] | None = None,
) -> tuple[Iterable[Item | Problem], int]:
    """Find what to embed: the arguments, else what stdin holds, else a lab's samples.

    Args:
        inputs: command-line arguments.
        stdin: read only if there are no arguments (or one is ``-``), and it is not a terminal.
        modalities: what the space embeds; other samples are left out.
        samples: the lab's sample items; None where they cannot stand for an empty stdin.
        base: folder that relative paths start from.
        by_id: modalities that the space looks up by id (``Embedder.by_id``).
        taken_as: what arguments and lines are, as for ``read_items``.
        tables: as for ``read_inputs``.
        reading: likewise.
        on_held: likewise.

    Returns:
        Items, and how many of them are samples: all or none.

    Raises:
        UsageError: there is nothing, or the space does not embed what all of it should be.
        DataError: stdin cannot be read.
    """
    check_embedded(taken_as, modalities)
    if inputs:
        entries = read_inputs(
            inputs,
            modalities=modalities,
            stdin=stdin,
            base=base,
            by_id=by_id,
            taken_as=taken_as,
            tables=tables,
            reading=reading,
            on_held=on_held,
        )
        return entries, 0
    why = "no arguments, and stdin is a terminal"
    if stdin is None or not stdin.isatty():
        why = "no arguments, and stdin is empty"
        entries = read_stream(
            stdin or BytesIO(), base=base, modalities=modalities, by_id=by_id, taken_as=taken_as
        )
        if (first := next(entries, None)) is not None:
            return chain([first], entries), 0
    sample_items = [item for item in samples() if item.modality in modalities] if samples else []
    if not sample_items:
        if samples:
            why += "; this lab has no sample items that the space embeds"
        raise UsageError(
            "no input",
            why=why,
            fix='molspace infer "a dog barks" photo.png   or   molspace infer < queries.jsonl',
        )
    return sample_items, len(sample_items)


def check_embedded(taken_as: Modality | None, modalities: Collection[Modality]) -> None:
    """Refuse what all items are said to be, where a space does not embed it.

    Args:
        taken_as: what a person said; None for nothing.
        modalities: what the space embeds.

    Raises:
        UsageError: it does not.
    """
    if taken_as is not None and taken_as not in modalities:
        raise UsageError(
            f"the space does not embed {taken_as}",
            why=f"it embeds {', '.join(modalities)}",
            fix=suggestion(taken_as, modalities),
            modality=taken_as,
        )


def reading_never_waits(
    inputs: Sequence[str], stdin: IO[bytes] | None, *, base: Path = Path()
) -> bool:
    """Return whether all input lies in regular files and arguments, none of it in a pipe.

    Args:
        inputs: command-line arguments.
        stdin: read if there are none, or one is ``-``.
        base: folder that relative paths start from.
    """
    try:
        if any((base / text).is_fifo() for text in inputs):
            return False
        if inputs and "-" not in inputs:
            return True
        return stdin is not None and stat.S_ISREG(os.fstat(stdin.fileno()).st_mode)
    except (OSError, ValueError):  # no descriptor, or an argument longer than any file's name
        return False


def read_inputs(
    inputs: Iterable[str],
    *,
    modalities: Collection[Modality],
    stdin: IO[bytes] | None = None,
    base: Path = Path(),
    by_id: Collection[Modality] = (),
    taken_as: Modality | None = None,
    tables: TableCache | None = None,
    reading: TableReading = AS_NAMED,
    on_held: Callable[[PlaceContents], None] | None = None,
) -> Iterator[Item | Problem]:
    """Turn command-line arguments into items, in order.

    An argument is ``-`` (lines of ``stdin``), a ``.jsonl``, ``.ndjson`` or ``.txt`` file of
    lines, an image or sound file, a tar or parquet file, the address of any of these but lines, a
    table, a folder that ``datasets`` saved, a JSON object as in a manifest, or else a text. An
    item's id is the argument as typed; lines follow ``read_items``, tars ``TarItems``, parquet
    files ``ParquetItems`` and tables ``TableItems``.

    Args:
        inputs: the arguments.
        modalities: what the space embeds.
        stdin: where ``-`` reads.
        base: folder that relative paths start from; a manifest's own start at its folder.
        by_id: as for ``read_items``.
        taken_as: what arguments and lines are, as for ``read_items``; ``-`` stays stdin.
        tables: remembers what scans of parquet files found.
        reading: how tables are read, of which all arguments then are some: parquet files and files
            of lines, too.
        on_held: called with what each tar and table held, once it is read.

    Raises:
        DataError: a file of lines, a tar, a parquet file or an address cannot be read.
        UsageError: a table does not say what its columns hold.
    """
    is_text = taken_as is not None and get(taken_as).inline
    for position, text in enumerate(inputs, start=1):
        if text == "-":
            if stdin is not None:
                yield from read_stream(
                    stdin, base=base, modalities=modalities, by_id=by_id, taken_as=taken_as
                )
        elif not is_text and (kind := _kind_of(text, base, taken_as, reading)):
            if kind == "remote file":
                yield _remote_file(text, position, modalities, taken_as)
                continue
            for held in _holders(text, kind, modalities, taken_as, base, tables, reading, by_id):
                yield from held
                if on_held is not None:
                    on_held(held.contents)
        elif taken_as is not None:
            yield _argument(text, position, base, modalities, by_id, taken_as=taken_as)
        elif isinstance(path_or_reason := file_of_lines(text, base), Path):
            try:
                stream = path_or_reason.open("rb")
            except OSError as error:
                raise _unreadable(f"'{text}'", error) from error
            with stream:
                # A pipe, as of <(command), has no folder of its own.
                folder = path_or_reason.parent if path_or_reason.is_file() else base
                origin = str(path_or_reason.absolute()) if path_or_reason.is_file() else ""
                yield from read_stream(
                    stream,
                    base=folder,
                    modalities=modalities,
                    name=f"'{text}'",
                    by_id=by_id,
                    origin=origin,
                )
        elif path_or_reason:
            yield Problem(position, text, path_or_reason, is_path=True)
        else:
            yield _argument(text, position, base, modalities, by_id)


def read_stream(
    stream: IO[bytes],
    *,
    base: Path,
    modalities: Collection[Modality],
    name: str = "standard input",
    by_id: Collection[Modality] = (),
    taken_as: Modality | None = None,
    origin: str = "",
) -> Iterator[Item | Problem]:
    """Parse the lines of a binary stream, in constant memory whatever is in it.

    Lines end in LF, CR LF or CR, in UTF-8 or in what a byte-order mark says. Besides what
    ``read_items`` refuses, lines longer than ``MAX_LINE_BYTES`` and lines with a NUL byte give
    no item. Rows of a table are not texts (``unmarked_tables``), unless it is said that they are.

    Args:
        stream: binary.
        base: folder that relative paths start from.
        modalities: what the space embeds.
        name: what messages call the stream.
        by_id: as for ``read_items``.
        taken_as: what every line is, as for ``read_items``.
        origin: the file that it is; "" for others.

    Raises:
        DataError: the stream cannot be read, holds no lines at all, as ``/dev/zero`` does, or is a
            table.
    """
    reasons: dict[int, str] = {}

    def lines() -> Iterator[bytes]:
        guarded = cast("IO[bytes]", GuardedStream(stream, name))
        numbered = read_lines(guarded, max_bytes=MAX_LINE_BYTES)
        try:
            for number, line in numbered if taken_as else no_table(numbered, stream, name):
                if len(line) > MAX_LINE_BYTES:
                    reasons[number] = f"the line is longer than {MAX_LINE_BYTES} bytes"
                elif b"\0" in line:
                    reasons[number] = (
                        "the line holds a NUL byte; is this UTF-16, or not text at all?"
                    )
                # Not UTF-8, so that read_items refuses the line under its own number.
                yield b"\xff" if number in reasons else line
        except UnicodeDecodeError as error:
            raise DataError(f"cannot read {name}", why=f"it is not {error.encoding}") from error

    entries = read_items(lines(), base=base, modalities=modalities, by_id=by_id, taken_as=taken_as)
    for entry in entries:
        if isinstance(entry, Problem) and entry.line_number in reasons:
            # Removed, so that a stream of bad lines does not fill the memory.
            entry = replace(entry, message=reasons.pop(entry.line_number))
        yield replace(entry, origin=origin) if origin and isinstance(entry, Item) else entry


def _argument(
    text: str,
    position: int,
    base: Path,
    modalities: Collection[Modality],
    by_id: Collection[Modality],
    *,
    taken_as: Modality | None = None,
) -> Item | Problem:
    is_said = taken_as is not None and get(taken_as).inline
    if text.lstrip().startswith("{") and not is_said:
        # Blank lines before it: without an id of its own it is called by its position.
        lines = [*[""] * (position - 1), text]
        return next(read_items(lines, base=base, modalities=modalities, by_id=by_id))
    entries = read_items([text], base=base, modalities=modalities, taken_as=taken_as)
    entry = next(entries, None)
    if entry is None:
        return Problem(position, str(position), "an empty text")
    return replace(entry, id=text)  # which is not an id of its own: see Item


def _kind_of(text: str, base: Path, modality: Modality | None, reading: TableReading) -> PlaceKind:
    """Return what an argument names.

    Files of lines are tables if it is said how those are read, or where lines are no items.
    """
    kind = place_kind(text, base, modality)
    if not kind:
        path = file_of_lines(text, base)
        if isinstance(path, Path) and path.is_file():
            return "table" if reading.is_given or holds_records(path) else ""
    return kind


def _remote_file(
    text: str, position: int, modalities: Collection[Modality], only: Modality | None
) -> Item | Problem:
    modality = only or modality_of(url_name(text))
    if modality is None or modality not in modalities:
        embeds = ", ".join(modalities)
        why = f"the space does not embed {modality}; it embeds {embeds}"
        return Problem(position, text, why)
    return Item(text, modality, Blob(text), own_id=False)


def _holders(
    text: str,
    kind: PlaceKind,
    modalities: Collection[Modality],
    only: Modality | None,
    base: Path,
    tables: TableCache | None,
    reading: TableReading,
    by_id: Collection[Modality],
) -> Iterator[TarItems | ParquetItems | TableItems]:
    """Yield what gives the items of a tar, a table or a data set."""
    tables = tables or TableCache()
    if kind == "data set":
        files = saved_files(base / text, modalities)
    else:
        files = find(absolute(text, base))
    for file in files:
        if kind == "tar":
            yield TarItems(file, modalities, only)
        elif kind == "table" or reading.is_given or lists_files(file):
            yield TableItems(
                file, text, modalities, only, reading=reading, by_id=by_id, tables=tables
            )
        else:
            yield ParquetItems(file, text, modalities, only, tables=tables)


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"cannot read {name}", why=(error.strerror or str(error)).lower())
