"""Manifests: one item a line, as JSON or as a bare text or media path.

    {"id": "rain", "audio": "sounds/rain.wav"}
    {"id": "rain", "modality": "audio", "path": "sounds/rain.wav", "digest": "9f86d0..."}
    {"text": "rain on a tin roof"}
    sounds/rain.wav
    rain on a tin roof

A bare line that looks like a path but is not a known medium (``clip.m4a``, ``sounds/rain``) is
refused: a text that looks so is written as ``{"text": ...}``. Relative paths start at the
manifest's folder (or wherever the caller says). A digest is the
SHA-256 of the file, or of the text in UTF-8; what has another is not used. A bad line is
reported with its number and the rest goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reactions.core.errors import DataError, MissingError
from reactions.core.hashing import bytes_digest, file_digest
from reactions.core.text_lines import MAX_LINE_BYTES, NOT_UTF8, RECODE, NoLinesError, read_lines
from reactions.core.types import Item, Modality
from reactions.data.corpora import check_ids
from reactions.data.manifest_lines import ManifestRow, rows_of


@dataclass(frozen=True, slots=True)
class Problem:
    """A line that gives no item.

    Attributes:
        line_number: counted from 1, blank lines included.
        id: the line's id if it could be read, else its number.
        message: what is wrong, lower case, no full stop.
        is_path: whether it is a bare text that was taken for a path, and leads nowhere.
    """

    line_number: int
    id: str
    message: str
    is_path: bool = False


def read_items(
    lines: Iterable[str | bytes],
    *,
    base: Path,
    modalities: Collection[Modality] | None = None,
    by_id: Collection[Modality] = (),
    taken_as: Modality | None = None,
) -> Iterator[Item | Problem]:
    """Parse manifest lines one by one, in constant memory; blank lines are skipped.

    A line that starts with ``{`` is a JSON object with one modality key and optionally
    ``id`` and ``digest``, or with ``modality`` and ``path`` instead of the modality key;
    anything else is a text, or a media file if it has a media file's extension and either
    exists or has no spaces. What otherwise looks like a path is a problem. A null value stands
    for an item that only its id names. Items
    without an id get their line number.

    Args:
        lines: text, or UTF-8 bytes, with or without line breaks.
        base: folder that relative paths start from.
        modalities: those allowed; any if None.
        by_id: modalities that are looked up by id: files of lines that give one are not read,
            and need not be there.
        taken_as: what every line is: ``"text"``, whatever it looks like, or the path of a file of
            this modality, whatever its ending says; JSON objects say for themselves.

    Yields:
        An item (media as absolute paths of existing files) or a problem for each line.
        Ids are not compared between lines; digests are held against the files.
    """
    for row in rows_of(lines, Path(base).absolute(), modalities, by_id, taken_as):
        looked_up = row.own_id and row.modality in by_id
        why = row.why or ("" if looked_up else _held_to_digest(row))
        if why or row.modality is None:
            yield Problem(row.line_number, row.id, why, row.is_path)
        else:
            yield Item(row.id, row.modality, row.value, row.own_id)


def read_manifest(
    path: Path, modality: Modality, others: Counter[Modality] | None = None
) -> list[ManifestRow]:
    """Return the lines of one modality, in order; bad ones say why. No file is read yet.

    Args:
        path: the manifest; relative paths in it start at its folder.
        modality: which lines to take.
        others: where the lines of other modalities are counted.

    Raises:
        MissingError: there is no such manifest.
        DataError: a line names no modality, an id is repeated, or no line has this modality.
    """
    rows: list[ManifestRow] = []
    broken: list[ManifestRow] = []
    try:
        with path.open("rb") as stream:
            # Longer by more than the break that is taken off, so that they stay too long.
            lines = (line for _, line in read_lines(stream, max_bytes=MAX_LINE_BYTES + 2))
            for row in rows_of(lines, path.parent.absolute(), None):
                if row.modality is None:
                    broken.append(row)
                elif row.modality == modality:
                    rows.append(row)
                elif others is not None:
                    others[row.modality] += 1
    except FileNotFoundError:
        raise MissingError(f"no manifest at '{path}'", path=str(path)) from None
    except (OSError, UnicodeDecodeError, NoLinesError) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise DataError(f"cannot read the manifest '{path}'", why=why, path=str(path)) from error
    if broken:
        raise DataError(
            f"bad lines in the manifest '{path}': {len(broken)}",
            why=f"line {broken[0].line_number}: {broken[0].why}",
            fix=RECODE if broken[0].why == NOT_UTF8 else "fix or remove them",
            path=str(path),
            lines=[row.line_number for row in broken[:20]],
        )
    check_ids(path.stem, modality, [row.id for row in rows])
    return rows


def other_digest(expected: str, actual: str) -> str:
    """Say that a digest is not the one it should be; "" if it is.

    Args:
        expected: 64 hex digits; "" if any will do.
        actual: 64 hex digits.
    """
    if expected in ("", actual):
        return ""
    return f"its digest is {actual[:12]}..., not {expected[:12]}... as the manifest says"


def _held_to_digest(row: ManifestRow) -> str:
    """Say why a good line's value is not what its digest says."""
    if not row.sha256:
        return ""
    if not isinstance(row.value, Path):
        return other_digest(row.sha256, bytes_digest(str(row.value).encode()))
    try:
        return other_digest(row.sha256, file_digest(row.value))
    except OSError as error:
        return (error.strerror or str(error)).lower()
