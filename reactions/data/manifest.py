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

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, did_you_mean
from reactions.core.file_names import as_stored
from reactions.core.hashing import bytes_digest, file_digest
from reactions.core.text_lines import MAX_LINE_BYTES, NOT_UTF8, RECODE, NoLinesError, read_lines
from reactions.core.transient import is_transient, run_again
from reactions.core.types import Item, Modality
from reactions.data.corpora import check_ids
from reactions.data.path_like import never_a_file, path_reason
from reactions.modalities import registry
from reactions.modalities.suffixes import modality_of, other_kind
from reactions.modalities.text import TEXT

_SHA256 = re.compile(r"[0-9a-f]{64}")


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


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A line of a manifest, good or bad.

    Attributes:
        line_number: counted from 1, blank lines included.
        id: the line's id if it could be read, else its number.
        modality: what it holds; None if the line does not even say that.
        value: a text, an absolute path, or None where only the id matters.
        sha256: what the value's digest should be, "" if the line does not say.
        why: what is wrong with it, lower case, no full stop; "" for good lines.
        own_id: whether the line gives an id.
        is_path: whether it is a bare text that was taken for a path, and leads nowhere.
    """

    line_number: int
    id: str
    modality: Modality | None
    value: str | Path | None = None
    sha256: str = ""
    why: str = ""
    own_id: bool = field(default=False, compare=False)
    is_path: bool = False


def read_items(
    lines: Iterable[str | bytes],
    *,
    base: Path,
    modalities: Collection[Modality] | None = None,
    by_id: Collection[Modality] = (),
    literal: bool = False,
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
        literal: take every line as a text, whatever it looks like.

    Yields:
        An item (media as absolute paths of existing files) or a problem for each line.
        Ids are not compared between lines; digests are held against the files.
    """
    for row in _rows(lines, Path(base).absolute(), modalities, by_id, literal):
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
            for row in _rows(lines, path.parent.absolute(), None):
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


# --- lines ---------------------------------------------------------------------------


class _Bad(Exception):
    """A line that gives no item; the message says why."""


class _PathLike(_Bad):
    """A bare line that looks like a path, but not like one that can be read."""


class _NoFile(_Bad):
    """A line whose file is not there."""


def _rows(
    lines: Iterable[str | bytes],
    base: Path,
    modalities: Collection[Modality] | None,
    by_id: Collection[Modality] = (),
    literal: bool = False,
) -> Iterator[ManifestRow]:
    for number, raw in enumerate(lines, start=1):
        if len(raw) > MAX_LINE_BYTES + 2:  # with its break
            yield ManifestRow(number, str(number), None, why=f"longer than {MAX_LINE_BYTES} bytes")
            continue
        try:
            line = raw.decode() if isinstance(raw, bytes) else raw
        except UnicodeDecodeError:
            yield ManifestRow(number, str(number), None, why=NOT_UTF8)
            continue
        if "\0" in line:
            why = "it holds a NUL byte; is this UTF-16, or not text at all?"
            yield ManifestRow(number, str(number), None, why=why)
            continue
        # Wherever files were joined, not at the start alone.
        line = line.removeprefix("\ufeff").strip()
        if line:
            yield _row(line, number, base, modalities, by_id, literal)


def _row(
    line: str,
    number: int,
    base: Path,
    modalities: Collection[Modality] | None,
    by_id: Collection[Modality],
    literal: bool,
) -> ManifestRow:
    id = str(number)
    modality: Modality | None = None
    own_id = False
    try:
        if literal:
            record: dict[str, Any] = {"modality": TEXT.name, TEXT.name: line}
        else:
            record = _object(line) if line.startswith("{") else _bare(line, base)
        id = _id(record, id)
        own_id = "id" in record
        modality = _modality(record, modalities)
        value = _value(record, modality, base, must_exist=not (own_id and modality in by_id))
        return ManifestRow(number, id, modality, value, _digest(record, value), own_id=own_id)
    except _Bad as error:
        message = str(error).encode(errors="backslashreplace").decode()
        # A bare line may have meant a text; one that says what it holds does not.
        kinds = _PathLike if line.startswith("{") else (_PathLike, _NoFile)
        is_path = isinstance(error, kinds)
        return ManifestRow(number, id, modality, why=message, is_path=is_path, own_id=own_id)


def _object(line: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(line, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _Bad(f"not JSON ({error})") from error
    return record


def _bare(line: str, base: Path) -> dict[str, Any]:
    modality = modality_of(line)
    # Embedding the name of a missing file as a text would hide the mistake.
    if modality is not None and (
        _is_file(as_stored(base / line)) or (len(line.split()) == 1 and not never_a_file(line))
    ):
        return {"modality": modality, "path": line}
    if reason := path_reason(line, base):
        raise _PathLike(f'{reason}; if it is a text, write {{"text": {_quoted(line)}}}')
    if line.startswith(("[{", '["', "[[")) and line.endswith("]"):
        raise _Bad("a JSON array; write one object a line")
    return {"modality": TEXT.name, TEXT.name: line}


def _quoted(text: str) -> str:
    return json.dumps(text if len(text) <= 60 else f"{text[:59]}…", ensure_ascii=False)


def _id(record: dict[str, Any], default: str) -> str:
    id = record.get("id", default)
    if isinstance(id, bool) or not isinstance(id, str | int):
        raise _Bad("the id is neither a string nor a whole number")
    if id == "":
        raise _Bad("the id is empty")
    if not _encodable(str(id)):
        raise _Bad("not UTF-8")
    return str(id)


def _modality(record: dict[str, Any], modalities: Collection[Modality] | None) -> Modality:
    """Return what a line holds, by its modality key or by what it says."""
    keys = [key for key in record if key not in registry.KEYS]
    if modalities is not None:
        for key in keys:
            if key not in (*modalities, record.get("modality")):
                if key in registry.names():
                    raise _Bad(_not_taken(key, modalities))
                near = did_you_mean(key, [*modalities, *registry.KEYS])
                hint = f"did you mean '{near[0]}'?" if near else "known: " + ", ".join(modalities)
                raise _Bad(f"unknown key '{key}'; {hint}")
    else:
        # Spaces may embed whatever they like; what is all but a known key is a slip.
        for key in keys:
            near = did_you_mean(key, registry.names())
            if near and near[0] != key:
                raise _Bad(f"unknown key '{key}'; did you mean '{near[0]}'?")
    if len(keys) > 1 or (keys and "path" in record):
        named = ", ".join([*keys, *(["path"] if "path" in record else [])])
        raise _Bad(f"more than one modality: {named}; give each its own line")
    modality = record.get("modality")
    if modality is None and keys:
        modality = keys[0]
    if modality is None and isinstance(path := record.get("path"), str):
        modality = modality_of(path)
        if modality is None:
            if kind := other_kind(path):
                raise _Bad(f"its path is that of {kind.name}, which is not decoded: {kind.fix}")
            raise _Bad('its path does not say what it holds; add "modality"')
    if modality is None:
        raise _Bad('no modality, such as {"text": ...} or {"audio": PATH}')
    if not isinstance(modality, str) or not modality:
        raise _Bad("the modality is not a string")
    if not _encodable(modality):
        raise _Bad("not UTF-8")
    if keys and keys[0] != modality:
        raise _Bad(f"it holds {keys[0]}, but its modality is {modality}")
    if modalities is not None and modality not in modalities:
        path = record.get("path")
        raise _Bad(_not_taken(modality, modalities, path if isinstance(path, str) else ""))
    return modality


def _not_taken(modality: str, modalities: Collection[Modality], path: str = "") -> str:
    why = f"the space does not embed {modality}; it embeds {', '.join(modalities)}"
    # A video holds what the space does embed: a sound, pictures.
    kind = next(filter(None, (other_kind(path, held) for held in modalities)), None)
    return f"{why}; {kind.fix}" if kind else why


def _value(
    record: dict[str, Any], modality: Modality, base: Path, *, must_exist: bool
) -> str | Path | None:
    key = "path" if "path" in record else modality
    value = record.get(key)
    if value is None:
        if "id" not in record:
            raise _Bad(f"neither an id nor a value for '{key}'")
        return None
    if not isinstance(value, str):
        raise _Bad(f"the value of '{key}' is not a string")
    if not value.strip():
        raise _Bad(f"the value of '{key}' is empty")
    if not _encodable(value):
        raise _Bad("not UTF-8")
    if registry.get(modality).inline:
        if key == "path":
            raise _Bad(f'a {modality} is not given by its path, but as {{"{modality}": ...}}')
        return value
    path = as_stored(base / value)
    if must_exist and not _is_file(path):
        raise _NoFile(f"no such file: {path}")
    return path


def _digest(record: dict[str, Any], value: str | Path | None) -> str:
    stated = record.get("digest")
    if stated is None:
        return ""
    digest = stated.removeprefix("sha256:").lower() if isinstance(stated, str) else ""
    if not _SHA256.fullmatch(digest):
        raise _Bad("the digest is not a SHA-256 (64 hex digits)")
    if value is None:
        raise _Bad("a digest, but nothing that has it")
    return digest


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
    except (OSError, ValueError) as error:  # a name too long, or with a null in it
        if is_transient(error):
            raise run_again(str(path), error) from error
        return False
