"""Lines of manifests, and of what is typed or piped into ``infer``: one item each.

What a line may be is said in ``manifest.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reactions.core.errors import did_you_mean
from reactions.core.file_names import as_stored
from reactions.core.text_lines import MAX_LINE_BYTES, NOT_UNICODE, NOT_UTF8
from reactions.core.transient import is_transient, run_again
from reactions.core.types import Modality
from reactions.data.path_like import never_a_file, path_reason
from reactions.modalities import registry
from reactions.modalities.suffixes import may_hold, modality_of, other_kind
from reactions.modalities.text import TEXT

_SHA256 = re.compile(r"[0-9a-f]{64}")


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


class _Bad(Exception):
    """A line that gives no item; the message says why."""


class _PathLike(_Bad):
    """A bare line that looks like a path, but not like one that can be read."""


class _NoFile(_Bad):
    """A line whose file is not there."""


def rows_of(
    lines: Iterable[str | bytes],
    base: Path,
    modalities: Collection[Modality] | None,
    by_id: Collection[Modality] = (),
    taken_as: Modality | None = None,
) -> Iterator[ManifestRow]:
    """Yield a row for each line that is not blank.

    Args:
        lines: text, or UTF-8 bytes, with or without line breaks.
        base: folder that relative paths start from, absolute.
        modalities: those allowed; any if None.
        by_id: modalities whose files need not be there where a line gives an id.
        taken_as: what every line is, as for ``read_items``.
    """
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
            yield _row(line, number, base, modalities, by_id, taken_as)


def _row(
    line: str,
    number: int,
    base: Path,
    modalities: Collection[Modality] | None,
    by_id: Collection[Modality],
    taken_as: Modality | None,
) -> ManifestRow:
    id = str(number)
    modality: Modality | None = None
    own_id = False
    try:
        record = _record(line, base, taken_as)
        id = _id(record, id)
        own_id = "id" in record
        modality = _modality(record, modalities)
        value = _value(record, modality, base, must_exist=not (own_id and modality in by_id))
        return ManifestRow(number, id, modality, value, _digest(record, value), own_id=own_id)
    except _Bad as error:
        message = str(error).encode(errors="backslashreplace").decode()
        # A bare line may have meant a text; one that says what it holds does not.
        kinds = _PathLike if line.startswith("{") or taken_as else (_PathLike, _NoFile)
        is_path = isinstance(error, kinds)
        return ManifestRow(number, id, modality, why=message, is_path=is_path, own_id=own_id)


def _record(line: str, base: Path, taken_as: Modality | None) -> dict[str, Any]:
    if taken_as is not None and registry.get(taken_as).inline:
        return {"modality": taken_as, taken_as: line}
    if line.startswith("{"):
        return _object(line)
    if taken_as is not None:
        return {"modality": taken_as, "path": line}
    return _bare(line, base)


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
        raise _Bad(NOT_UNICODE)
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
        keys_given = ", ".join([*keys, *(["path"] if "path" in record else [])])
        raise _Bad(f"more than one modality: {keys_given}; give each its own line")
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
        raise _Bad(NOT_UNICODE)
    if keys and keys[0] != modality:
        raise _Bad(f"it holds {keys[0]}, but its modality is {modality}")
    if modalities is not None and modality not in modalities:
        path = record.get("path", record.get(modality))
        raise _Bad(_not_taken(modality, modalities, path if isinstance(path, str) else ""))
    return modality


def _not_taken(modality: str, modalities: Collection[Modality], path: str = "") -> str:
    why = f"the space does not embed {modality}; it embeds {', '.join(modalities)}"
    # A video holds what the space does embed: a sound, pictures.
    if inside := next((m for m in modalities if path and may_hold(path, m)), None):
        return (
            f'{why}; for its {inside} write {{"{inside}": {_quoted(path)}}}, or --modality {inside}'
        )
    kind = next(filter(None, (other_kind(path, m) for m in modalities)), None)
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
        raise _Bad(NOT_UNICODE)
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
