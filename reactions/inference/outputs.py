"""Where embeddings go: which files, in which format, and what they must not replace."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal, TypeAlias, get_args

from reactions.core.errors import UsageError
from reactions.core.lance import is_lance

Format: TypeAlias = Literal["safetensors", "npy", "parquet", "lance", "jsonl"]
FORMATS: tuple[Format, ...] = get_args(Format)
DEFAULT_OUT = Path("embeddings.safetensors")


def choose_output(out: Path | None, format: Format | None) -> tuple[Path | None, Format]:
    """Settle where to write and how.

    Args:
        out: as the user gave it; ``-`` is stdout.
        format: as the user gave it.

    Returns:
        The path, or None for stdout, and the format.

    Raises:
        UsageError: the format is unknown, contradicts the path, or cannot be piped.
    """
    if out is None:
        if format == "jsonl":
            return None, format
        return (DEFAULT_OUT if format is None else DEFAULT_OUT.with_suffix(f".{format}")), (
            format or "safetensors"
        )
    if str(out) == "-":
        if format not in (None, "jsonl"):
            raise UsageError(
                f"cannot write {format} to stdout",
                why="its header is written last",
                fix="--out FILE, or --format jsonl",
            )
        return None, "jsonl"
    by_ending = next((ending for ending in FORMATS if out.suffix.lower() == f".{ending}"), None)
    if by_ending is None and format is None:
        raise UsageError(
            f"cannot tell the format of '{out}'",
            fix="--format " + "|".join(FORMATS) + ", or one of these as the file's extension",
        )
    if by_ending and format and by_ending != format:
        raise UsageError(f"--format {format} contradicts --out {out}", fix="drop --format")
    return out, format or by_ending or "safetensors"


def files_of(path: Path, format: Format) -> tuple[Path, ...]:
    """Return the files that a writer makes; the embeddings come first."""
    if format in ("jsonl", "parquet", "lance"):
        return (path,)
    stem = path.stem if path.suffix.lower() == f".{format}" else path.name
    items = path.with_name(f"{stem}.items.jsonl")
    return (
        (path, items) if format == "safetensors" else (path, items, path.with_name(f"{stem}.json"))
    )


def refuse_overwriting(
    files: Sequence[Path], inputs: Iterable[str], stdin: IO[bytes] | None = None
) -> None:
    """Refuse to replace what is still to be read.

    Args:
        files: what will be written.
        inputs: arguments, some of which may name files.
        stdin: may come from a file.

    Raises:
        UsageError: a file is both.
    """
    existing = []
    for file in files:
        with suppress(OSError):
            existing.append((file, file.stat()))
    read = []
    for text in inputs:
        with suppress(OSError, ValueError):  # most are not files at all
            read.append(Path(text).stat())
    if stdin is not None:
        with suppress(OSError, ValueError):
            read.append(os.fstat(stdin.fileno()))
    # By device and inode: a link is another path to the same file, and stdin has no path.
    for file, status in existing:
        if any(os.path.samestat(status, other) for other in read):
            raise UsageError(f"'{file}' would be overwritten, but is an input", fix="another --out")


def refuse_replacing(files: Iterable[Path]) -> None:
    """Refuse to replace existing files.

    Raises:
        UsageError: some are.
    """
    # Other folders and devices are refused with reasons of their own by the writer.
    existing = [str(f) for f in files if f.is_file() or f.is_symlink() or is_lance(f)]
    if existing:
        raise UsageError(
            f"'{existing[0]}' already exists",
            why=f"so does '{existing[1]}'" if existing[1:] else "",
            fix="--overwrite to replace it, or another --out",
            files=existing,
        )
