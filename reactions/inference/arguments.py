"""What the arguments of ``molspace infer`` name: files of lines, media, texts, or mistakes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from reactions.core.errors import UsageError
from reactions.core.file_names import as_stored
from reactions.data.path_like import never_a_file, path_reason
from reactions.inference.place_kinds import place_kind
from reactions.modalities.suffixes import (
    COMPANIONS,
    is_packed,
    modality_of,
    other_kind,
    sharing,
)

MANIFEST_SUFFIXES = (".jsonl", ".ndjson", ".txt")


def refuse_paths(inputs: Iterable[str], base: Path = Path()) -> None:
    """Refuse arguments that look like paths and lead to nothing that can be embedded.

    Args:
        inputs: command-line arguments.
        base: folder that relative paths start from.

    Raises:
        UsageError: some do.
    """
    refused: list[tuple[str, str, bool]] = []
    for text in inputs:
        if text == "-" or not text.strip() or text.lstrip().startswith("{"):
            continue
        if place_kind(text, base):
            continue
        path_or_reason = file_of_lines(text, base)
        if isinstance(path_or_reason, Path):
            continue
        if reason := path_or_reason or _reason(text, base):
            refused.append((text, reason, _is_there(text, base)))
    if refused:
        text, reason, is_there = refused[0]
        n = len(refused) - 1
        as_text = 'say that it is a text: --text (of all arguments), or \'{"text": "..."}\''
        if is_there:
            what = f"'{text}' cannot be embedded" + (f", nor can {n} more" if n else "")
            how = _how_to_read(text)
            fix = f"if its name is meant, {as_text}"
            fix = f"{how}; {fix}" if how else fix
        else:
            more = f", nor {'are' if n > 1 else 'is'} {n} more" if n else ""
            what = f"'{text}' is not taken for a text{more}"
            fix = f"correct the path; or {as_text}"
        raise UsageError(
            what,
            why=reason,
            fix=fix,
            inputs=[text for text, _, _ in refused[:20]],
        )


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
    if modality_of(text):
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
                return f"{kind.name} is not decoded here: {kind.fix}"
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
