"""What the arguments of ``molspace infer`` name: files of lines, media, texts, or mistakes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from reactions.core.errors import UsageError
from reactions.core.file_names import as_stored, near_file
from reactions.data.path_like import never_a_file, path_reason
from reactions.inference.line_stream import refuse_table
from reactions.inference.place_kinds import CONTAINERS, place_kind
from reactions.modalities.suffixes import (
    COMPANIONS,
    is_packed,
    modality_of,
    other_kind,
    sharing,
)

_FACTORS = re.compile(r"\d*\.\d+(,\d*\.?\d+)*")
_FACTOR = "it is a number, as after a blank in a list of factors"

MANIFEST_SUFFIXES = (".jsonl", ".ndjson", ".txt")


def refuse_paths(
    inputs: Iterable[str],
    base: Path = Path(),
    *,
    as_text: str = "--text (of all arguments)",
    as_tables: bool = False,
) -> None:
    """Refuse arguments that look like paths and lead to nothing that can be embedded.

    Args:
        inputs: command-line arguments.
        base: folder that relative paths start from.
        as_text: the option that says that an argument is a text.
        as_tables: whether files of lines are tables, too.

    Raises:
        UsageError: some do.
        DataError: a file of lines is a table.
    """
    refused: list[tuple[str, str, bool]] = []
    for text in inputs:
        if text == "-" or not text.strip() or text.lstrip().startswith("{"):
            continue
        if place_kind(text, base):
            continue
        path_or_reason = file_of_lines(text, base)
        if isinstance(path_or_reason, Path):
            if path_or_reason.is_file() and not as_tables:
                refuse_table(path_or_reason)
            continue
        if reason := path_or_reason or _reason(text, base):
            refused.append((text, reason, _is_there(text, base)))
    if refused:
        text, reason, is_there = refused[0]
        n = len(refused) - 1
        as_text = f'say that it is a text: {as_text}, or \'{{"text": "..."}}\''
        if is_there:
            what = f"'{text}' cannot be embedded" + (f", nor can {n} more" if n else "")
            how = _how_to_read(text)
            fix = f"if its name is meant, {as_text}"
            fix = f"{how}; {fix}" if how else fix
        else:
            more = f", nor {'are' if n > 1 else 'is'} {n} more" if n else ""
            what = f"'{text}' is not taken for a text{more}"
            near = near_file(text, base)
            fix = f"did you mean '{near}'?" if near else "correct the path"
            fix = "write factors as one list, --sigma 0.5,0.1" if reason == _FACTOR else fix
            fix = f"{fix}; or {as_text}"
        raise UsageError(
            what,
            why=reason,
            fix=fix,
            inputs=[text for text, _, _ in refused[:20]],
        )


def near_names(inputs: Iterable[str], base: Path = Path()) -> list[str]:
    """Say which arguments are taken for texts although a file or folder is called nearly so.

    Args:
        inputs: command-line arguments that ``refuse_paths`` let pass.
        base: folder that relative paths start from.
    """
    notices = []
    for text in inputs:
        is_word = len(text) >= _LEAST_CHARS and text.isprintable() and len(text.split()) == 1
        if is_word and not _is_there(text, base) and (near := near_file(text, base)):
            notices.append(f"'{text}' is taken for a text; '{near}' is there, if that was meant")
    return notices


def names_as_texts(inputs: Iterable[str], base: Path = Path()) -> list[str]:
    """Say which arguments are taken for texts, as they are said to be, although files are there.

    Args:
        inputs: command-line arguments, all of them texts.
        base: folder that relative paths start from.
    """
    return [
        f"'{text}' is embedded as a text, and what the {_kind(text, base)} of this name holds is "
        "not read" + ("; its lines as texts: --text < FILE" if _has_lines(text, base) else "")
        for text in inputs
        if _is_there(text, base)
    ]


def _kind(text: str, base: Path) -> str:
    return "folder" if as_stored(base / text).is_dir() else "file"


def _has_lines(text: str, base: Path) -> bool:
    path = as_stored(base / text)
    return path.is_file() and path.suffix.lower() in MANIFEST_SUFFIXES


_LEAST_CHARS = 4


def _how_to_read(text: str) -> str:
    """Return what lets a file be read whose ending does not say what it holds; "" for others."""
    if modality_of(text) or text.lower().endswith(MANIFEST_SUFFIXES):
        return ""
    if kind := other_kind(text):
        return kind.fix
    return f"--modality {'|'.join(names)}" if (names := sharing(text)) else ""


def _is_there(text: str, base: Path) -> bool:
    """Return whether an argument is the name of a file or folder."""
    try:
        path = as_stored(base / text)
        return path.is_file() or path.is_dir()
    except (OSError, ValueError):  # longer than any file's name, or with a null in it
        return False


def _reason(text: str, base: Path) -> str:
    """Say why an argument is not an input; "" if it is a file of lines, a medium or a text."""
    if _FACTORS.fullmatch(text):
        return "" if _is_there(text, base) else _FACTOR
    if modality_of(text) or Path(text).suffix.lower() in CONTAINERS:
        try:
            path = as_stored(base / text)
            if path.is_file():
                return ""
            if len(text.split()) == 1 and not never_a_file(text):
                return f"no such file: {path}"
        except (OSError, ValueError):  # longer than any file's name, or with a null in it
            pass
    return path_reason(text, base)


def file_of_lines(text: str, base: Path) -> Path | str:
    """Return the file of lines that an argument names, why it is unusable, or ""."""
    if not text.strip():
        return ""
    path = as_stored(base / text)
    suffix = path.suffix.lower()
    try:
        if path.is_dir():
            hint = "manifest.jsonl" if (path / "manifest.jsonl").is_file() else "*"
            return f"it is a folder; give its files: {path / hint}"
        # A pipe, as of <(command), has no name that could say what it holds.
        if path.is_fifo() or (suffix in MANIFEST_SUFFIXES and path.is_file()):
            return path
        # Embedding the name of a file as a text would hide a mistake.
        if suffix in MANIFEST_SUFFIXES and len(text.split()) == 1:
            return f"it is not a regular file: {path}" if path.exists() else f"no such file: {path}"
        if modality_of(text) is None and path.is_file():
            if kind := other_kind(path.name):
                return f"{kind.name} is not decoded here"
            if is_packed(path.name):
                return "it is a packed archive: unpack it, to a plain .tar or a folder"
            if names := sharing(path.name):
                *first, last = names
                listed = f"{', '.join(first)} and {last}" if first else last
                return f"its ending is that of {listed}: say which it is with --modality"
            if suffix in COMPANIONS:
                return f"lines are read from {', '.join(MANIFEST_SUFFIXES)} files alone"
            return f'its name does not say what it holds; write {{"image": "{text}"}}, or audio'
    except (OSError, ValueError):  # longer than any file's name, or with a null in it
        pass
    return ""
