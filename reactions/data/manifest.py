"""Manifests: one item a line, as JSON or as a bare text or media path.

    {"id": "rain", "audio": "sounds/rain.wav"}
    {"text": "rain on a tin roof"}
    sounds/rain.wav
    rain on a tin roof

Relative paths start at the manifest's folder (or wherever the caller says). A bad line
is reported with its number and the rest goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from reactions.data.corpora import check_ids, content_digest, rows_digest
from reactions.data.digests import DigestCache
from reactions.errors import DataError, MissingError, did_you_mean
from reactions.kinds import Digest, Item, Modality

_IMAGES = "avif bmp gif jp2 jpeg jpg pgm png pnm ppm qoi tga tif tiff webp"
_SOUNDS = "aif aifc aiff au caf flac mp3 oga ogg opus rf64 w64 wav"
SUFFIXES: dict[str, Modality] = {
    **{f".{suffix}": "image" for suffix in _IMAGES.split()},
    **{f".{suffix}": "audio" for suffix in _SOUNDS.split()},
}
"""Modality of a bare path, by its extension (lower case)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that gives no item.

    Attributes:
        line_number: counted from 1, blank lines included.
        id: the line's id if it could be read, else its number.
        message: what is wrong, lower case, no full stop.
    """

    line_number: int
    id: str
    message: str


def read_items(
    lines: Iterable[str | bytes],
    *,
    base: Path,
    modalities: Collection[Modality] | None = None,
) -> Iterator[Item | Problem]:
    """Parse manifest lines one by one, in constant memory; blank lines are skipped.

    A line that starts with ``{`` is a JSON object with one modality key and optionally
    ``id``; anything else is a text, or a media file if it has a media file's extension
    and either exists or has no spaces. A null value stands for an item that only its id
    names. Items without an id get their line number.

    Args:
        lines: text, or UTF-8 bytes, with or without line breaks.
        base: folder that relative paths start from.
        modalities: the keys allowed besides ``id``; any if None.

    Yields:
        An item (media as absolute paths of existing files) or a problem for each line.
        Ids are not compared between lines.
    """
    base = Path(base).absolute()
    for number, raw in enumerate(lines, start=1):
        try:
            line = raw.decode() if isinstance(raw, bytes) else raw
        except UnicodeDecodeError:
            yield Problem(number, str(number), "not UTF-8")
            continue
        line = (line.removeprefix("\ufeff") if number == 1 else line).strip()
        if line:
            yield _parse(line, number, base, modalities)


class _Bad(Exception):
    """A line that gives no item; the message says why."""


def _parse(
    line: str, number: int, base: Path, modalities: Collection[Modality] | None
) -> Item | Problem:
    id = str(number)
    try:
        if not line.startswith("{"):
            return _checked(_bare(line, id, base), modalities)
        try:
            record: dict[str, Any] = json.loads(line, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise _Bad(f"not JSON ({error})") from error
        id = _id(record, id)
        return _checked(_item(record, id, base, modalities), modalities)
    except _Bad as error:
        message = str(error).encode(errors="backslashreplace").decode()
        return Problem(number, id if _encodable(id) else str(number), message)


def _item(
    record: dict[str, Any], id: str, base: Path, modalities: Collection[Modality] | None
) -> Item:
    keys = [key for key in record if key != "id"]
    if modalities is not None:
        for key in keys:
            if key not in modalities:
                near = did_you_mean(key, [*modalities, "id"])
                hint = f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(modalities)
                raise _Bad(f"unknown key '{key}'; {hint}")
    if not keys:
        raise _Bad('no modality, such as {"text": ...} or {"audio": PATH}')
    if len(keys) > 1:
        raise _Bad(f"more than one modality: {', '.join(keys)}; give each its own line")
    modality, value = keys[0], record[keys[0]]
    if value is None:
        if "id" not in record:
            raise _Bad(f"neither an id nor a value for '{modality}'")
        return Item(id, modality, None)
    if not isinstance(value, str):
        raise _Bad(f"the value of '{modality}' is no string")
    if not value.strip():
        raise _Bad(f"the value of '{modality}' is empty")
    if modality == "text":
        return Item(id, modality, value)
    path = base / value
    if not _is_file(path):
        raise _Bad(f"no such file: {path}")
    return Item(id, modality, path)


def _bare(line: str, id: str, base: Path) -> Item:
    # Not Path(line).suffix: pathlib interns every part it sees, and lines are many.
    modality = SUFFIXES.get(os.path.splitext(line)[1].lower())  # noqa: PTH122
    if modality is not None:
        path = base / line
        if _is_file(path):
            return Item(id, modality, path)
        # Embedding the name of a missing file as a text would hide the mistake.
        if len(line.split()) == 1:
            raise _Bad(f"no such file: {path}")
    return Item(id, "text", line)


def _checked(item: Item, modalities: Collection[Modality] | None) -> Item:
    if modalities is not None and item.modality not in modalities:
        raise _Bad(f"cannot take {item.modality}; known: {', '.join(modalities)}")
    if not (_encodable(item.id) and _encodable(str(item.value))):
        raise _Bad("not UTF-8")
    return item


def _id(record: dict[str, Any], default: str) -> str:
    id = record.get("id", default)
    if isinstance(id, bool) or not isinstance(id, str | int):
        raise _Bad("the id is neither a string nor a whole number")
    if id == "":
        raise _Bad("the id is empty")
    return str(id)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a key is repeated")
    return record


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name too long, or with a null in it
        return False


class ManifestCorpus:
    """All items of one modality in a manifest, in order.

    Args:
        path: the manifest; relative paths in it start at its folder.
        modality: which items to take; the others are skipped.
        digests: remembers digests of media files.
        name: for messages; the manifest's file name without extension if not given.

    Raises:
        MissingError: there is no such manifest.
        DataError: a line is bad, an id is repeated, or no item has this modality.
    """

    def __init__(
        self,
        path: Path,
        modality: Modality,
        *,
        digests: DigestCache | None = None,
        name: str | None = None,
    ) -> None:
        path = Path(path)
        self.name = path.stem if name is None else name
        self.modality = modality
        self._digests = digests or DigestCache()
        self._ids: list[str] = []
        self._values: list[str | Path | None] = []
        problems: list[Problem] = []
        try:
            with path.open("rb") as stream:
                for entry in read_items(stream, base=path.parent):
                    if isinstance(entry, Problem):
                        problems.append(entry)
                    elif entry.modality == modality:
                        self._ids.append(entry.id)
                        self._values.append(entry.value)
        except FileNotFoundError:
            raise MissingError(f"no manifest at '{path}'", path=str(path)) from None
        except OSError as error:
            raise DataError(
                f"cannot read the manifest '{path}'",
                why=(error.strerror or str(error)).lower(),
                path=str(path),
            ) from error
        if problems:
            first = problems[0]
            raise DataError(
                f"bad lines in the manifest '{path}': {len(problems)}",
                why=f"line {first.line_number}: {first.message}",
                fix="mend or remove them",
                path=str(path),
                lines=[p.line_number for p in problems[:20]],
            )
        check_ids(self.name, modality, self._ids)

    @cached_property
    def digest(self) -> Digest:
        """Digest of ids, contents and order; media files are hashed byte by byte."""
        rows = ((item.id, content_digest(item, self._digests)) for item in self._each())
        digest = rows_digest(self.modality, rows)
        self._digests.save()
        return digest

    def _each(self) -> Iterator[Item]:
        for id, value in zip(self._ids, self._values, strict=True):
            yield Item(id, self.modality, value)

    def __len__(self) -> int:
        return len(self._ids)

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the items of rows ``start`` to ``stop`` (exclusive), in order."""
        pairs = zip(self._ids[start:stop], self._values[start:stop], strict=True)
        return [Item(id, self.modality, value) for id, value in pairs]
