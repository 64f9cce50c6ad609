"""Embed a stream: arguments, lines and files in, batches of rows out, in constant memory.

Nothing here holds more than one window of items. A bad item is reported and left out; what
would spoil every item (missing weights, a damaged bundle) is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, cast

import numpy as np

from reactions.core.errors import DataError, MolspaceError, UsageError
from reactions.core.text_lines import read_lines
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem, read_items
from reactions.encoding.batch_size import is_out_of_memory, too_large
from reactions.inference.arguments import file_of_lines
from reactions.inference.embedder import Embedder
from reactions.inference.line_stream import GuardedStream
from reactions.modalities.registry import get, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LINE_BYTES = 1 << 20
WINDOW_BYTES = 64 << 20
"""Decoded media held at once, unless a single item is larger."""

_Entry: TypeAlias = tuple[Item, Item] | Problem
"""An item as it was given and as it was decoded, or why it was not."""


# --- reading -------------------------------------------------------------------------


def choose_items(
    inputs: Sequence[str],
    stdin: IO[bytes] | None,
    *,
    modalities: Collection[Modality],
    samples: Callable[[], Sequence[Item]],
    base: Path = Path(),
    by_id: Collection[Modality] = (),
    literal: bool = False,
) -> tuple[Iterable[Item | Problem], int]:
    """Find what to embed: the arguments, else what stdin holds, else a lab's samples.

    Args:
        inputs: command-line arguments.
        stdin: read only if there are no arguments (or one is ``-``), and it is not a terminal.
        modalities: what the space embeds; other samples are left out.
        samples: the lab's sample items.
        base: folder that relative paths start from.
        by_id: modalities that the space looks up by id (``Embedder.by_id``).
        literal: take arguments and lines as texts, whatever they look like.

    Returns:
        Items, and how many of them are samples: all or none.

    Raises:
        UsageError: there is nothing.
        DataError: stdin cannot be read.
    """
    if inputs:
        entries = read_inputs(
            inputs,
            modalities=modalities,
            stdin=stdin,
            base=base,
            by_id=by_id,
            literal=literal,
        )
        return entries, 0
    why = "no arguments, and stdin is a terminal"
    if stdin is None or not stdin.isatty():
        why = "no arguments, and stdin is empty"
        entries = read_stream(
            stdin or BytesIO(), base=base, modalities=modalities, by_id=by_id, literal=literal
        )
        if (first := next(entries, None)) is not None:
            return chain([first], entries), 0
    found = [item for item in samples() if item.modality in modalities]
    if not found:
        raise UsageError(
            "no input",
            why=f"{why}; this lab has no sample items that the space embeds",
            fix='molspace infer "a dog barks" photo.png   or   molspace infer < queries.jsonl',
        )
    return found, len(found)


def read_inputs(
    inputs: Iterable[str],
    *,
    modalities: Collection[Modality],
    stdin: IO[bytes] | None = None,
    base: Path = Path(),
    by_id: Collection[Modality] = (),
    literal: bool = False,
) -> Iterator[Item | Problem]:
    """Turn command-line arguments into items, in order.

    An argument is ``-`` (lines of ``stdin``), a ``.jsonl``, ``.ndjson`` or ``.txt`` file of
    lines, an image or sound file, a JSON object as in a manifest, or else a text. An
    item's id is the argument as typed; lines follow ``read_items``.

    Args:
        inputs: the arguments.
        modalities: what the space embeds.
        stdin: where ``-`` reads.
        base: folder that relative paths start from; a manifest's own start at its folder.
        by_id: as for ``read_items``.
        literal: take arguments and lines as texts, whatever they look like; ``-`` stays stdin.

    Raises:
        DataError: a file of lines cannot be read.
    """
    for position, text in enumerate(inputs, start=1):
        if text == "-":
            if stdin is not None:
                yield from read_stream(
                    stdin, base=base, modalities=modalities, by_id=by_id, literal=literal
                )
        elif literal:
            yield _argument(text, position, base, modalities, by_id, literal=True)
        elif isinstance(found := file_of_lines(text, base), Path):
            try:
                stream = found.open("rb")
            except OSError as error:
                raise _unreadable(f"'{text}'", error) from error
            with stream:
                # A pipe, as of <(command), has no folder of its own.
                folder = found.parent if found.is_file() else base
                yield from read_stream(
                    stream, base=folder, modalities=modalities, name=f"'{text}'", by_id=by_id
                )
        elif found:
            yield Problem(position, text, found, is_path=True)
        else:
            yield _argument(text, position, base, modalities, by_id)


def read_stream(
    stream: IO[bytes],
    *,
    base: Path,
    modalities: Collection[Modality],
    name: str = "standard input",
    by_id: Collection[Modality] = (),
    literal: bool = False,
) -> Iterator[Item | Problem]:
    """Parse the lines of a binary stream, in constant memory whatever is in it.

    Lines end in LF, CR LF or CR, in UTF-8 or in what a byte-order mark says. Besides what
    ``read_items`` refuses, lines longer than ``MAX_LINE_BYTES`` and lines with a NUL byte give
    no item.

    Args:
        stream: binary.
        base: folder that relative paths start from.
        modalities: what the space embeds.
        name: what messages call the stream.
        by_id: as for ``read_items``.
        literal: take every line as a text, whatever it looks like.

    Raises:
        DataError: the stream cannot be read, or holds no lines at all, as ``/dev/zero`` does.
    """
    reasons: dict[int, str] = {}

    def lines() -> Iterator[bytes]:
        guarded = cast("IO[bytes]", GuardedStream(stream, name))
        try:
            for number, line in read_lines(guarded, max_bytes=MAX_LINE_BYTES):
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

    entries = read_items(lines(), base=base, modalities=modalities, by_id=by_id, literal=literal)
    for entry in entries:
        if isinstance(entry, Problem) and entry.line_number in reasons:
            entry = replace(entry, message=reasons.pop(entry.line_number))
        yield entry


def _argument(
    text: str,
    position: int,
    base: Path,
    modalities: Collection[Modality],
    by_id: Collection[Modality],
    *,
    literal: bool = False,
) -> Item | Problem:
    if text.lstrip().startswith("{") and not literal:
        # Blank lines before it: without an id of its own it is called by its position.
        lines = [*[""] * (position - 1), text]
        return next(read_items(lines, base=base, modalities=modalities, by_id=by_id))
    entries = read_items([text], base=base, modalities=modalities, literal=literal)
    found = next(entries, None)
    if found is None:
        return Problem(position, str(position), "an empty text")
    return replace(found, id=text)  # which is not an id of its own: see Item


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"cannot read {name}", why=(error.strerror or str(error)).lower())


# --- embedding -----------------------------------------------------------------------


def embed_stream(
    embedder: Embedder,
    items: Iterable[Item | Problem],
    *,
    batch_items: int = 64,
    on_problem: Callable[[Problem], None],
) -> Iterator[tuple[list[Item], NDArray[np.float32]]]:
    """Embed items of any mix of modalities, in order, a window at a time.

    Each media file is decoded once, whatever the number of encoders. When a batch fails
    it is halved until the items at fault are alone; they are told and left out.

    Args:
        embedder: loads encoders when an item first needs them.
        items: from ``read_inputs``, ``read_stream``, or anywhere; ids may repeat.
        batch_items: at most so many are read before they are embedded.
        on_problem: told of each item that is left out, in order; ``line_number`` is 0
            where the item was read but could not be embedded.

    Yields:
        Items as they were given, (n, dim) float32 unit-norm rows; n >= 1.

    Raises:
        MissingError: weights are missing.
        DataError: weights are damaged, or the input cannot be read.
        StepError: a single item does not fit into memory.
    """
    refusals: dict[Modality, str] = {}
    window: list[_Entry] = []
    size_bytes = 0
    for item in items:
        entry = item if isinstance(item, Problem) else _decoded(embedder, item, refusals)
        window.append(entry)
        size_bytes += 0 if isinstance(entry, Problem) else _size_bytes(entry[1])
        if len(window) >= batch_items or size_bytes >= WINDOW_BYTES:
            yield from _embed_window(embedder, window, on_problem)
            window, size_bytes = [], 0
    yield from _embed_window(embedder, window, on_problem)


def _decoded(embedder: Embedder, item: Item, refusals: dict[Modality, str]) -> _Entry:
    if item.modality not in refusals:
        refusals[item.modality] = ""
        try:
            embedder.prepare(item.modality)
        except UsageError as error:
            refusals[item.modality] = _message(error)
    if refusals[item.modality]:
        return Problem(0, item.id, refusals[item.modality])
    if item.own_id and item.modality in embedder.by_id:
        return item, item
    try:
        return item, load(item)
    except DataError as error:
        return Problem(0, item.id, _message(error))
    except MemoryError as error:
        raise too_large(item) from error


def _size_bytes(item: Item) -> int:
    return get(item.modality).size_bytes(item.value)


def _embed_window(
    embedder: Embedder, window: Sequence[_Entry], on_problem: Callable[[Problem], None]
) -> Iterator[tuple[list[Item], NDArray[np.float32]]]:
    problems = {i: entry for i, entry in enumerate(window) if isinstance(entry, Problem)}
    waiting: dict[Modality, list[tuple[int, Item]]] = {}
    for i, entry in enumerate(window):
        if not isinstance(entry, Problem):
            waiting.setdefault(entry[1].modality, []).append((i, entry[1]))
    rows: dict[int, NDArray[np.float32]] = {}
    for modality, pairs in waiting.items():
        outcomes = _embed(embedder, modality, [item for _, item in pairs])
        for (i, _), outcome in zip(pairs, outcomes, strict=True):
            if isinstance(outcome, Problem):
                problems[i] = outcome
            else:
                rows[i] = outcome
    for _, problem in sorted(problems.items()):
        on_problem(problem)
    if rows:
        places = sorted(rows)
        given = [entry[0] for i in places if not isinstance(entry := window[i], Problem)]
        yield given, np.stack([rows[i] for i in places])


def _embed(
    embedder: Embedder, modality: Modality, items: Sequence[Item]
) -> list[NDArray[np.float32] | Problem]:
    try:
        rows = embedder.embed(modality, items)
        norms = np.linalg.norm(rows, axis=1)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise DataError("its embedding is zero or not finite")
        return list(rows)
    except DataError as error:
        if len(items) == 1:
            return [Problem(0, items[0].id, _message(error))]
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(items) == 1:
            raise too_large(items[0]) from error
    middle = len(items) // 2
    return [
        *_embed(embedder, modality, items[:middle]),
        *_embed(embedder, modality, items[middle:]),
    ]


def _message(error: MolspaceError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what
