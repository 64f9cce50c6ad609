"""Printing: data on stdout, messages on stderr, colour and boxes only on a terminal."""

from __future__ import annotations

import codecs
import json
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.printable import printable, printable_cell

if TYPE_CHECKING:
    from reactions.core.errors import MolspaceError

SCHEMA = 1
"""Version of every ``--json`` object; raised when a field changes its meaning or goes."""


listeners: list[Callable[[str], None]] = []
"""Called with each message for people."""


def say(message: str) -> None:
    """Print a message for people on stderr, if there is one."""
    for listener in listeners:
        listener(message)
    if sys.stderr is not None:
        text = printable(message)
        if sys.stderr.isatty():
            width = max(20, shutil.get_terminal_size().columns)
            text = "\n".join(_wrapped(line, width) for line in text.split("\n"))
        print(text, file=sys.stderr, flush=True)


def shortened(message: str) -> str:
    """Return a message for stderr with ``~`` for the home folder, if people read it there."""
    home = os.path.expanduser("~").rstrip("/")  # noqa: PTH111  (Path.home() may raise)
    if sys.stderr is None or not sys.stderr.isatty() or not os.path.isabs(home):  # noqa: PTH117
        return message
    return message.replace(f"{home}/", "~/")


def _wrapped(line: str, width: int) -> str:
    """Wrap a line between words; not commands, which people copy, and not JSON."""
    if len(line) <= width or line.lstrip().startswith(("fix:", "{")):
        return line
    return _filled(line, width)


def _filled(line: str, width: int) -> str:
    """Wrap a line between words; what follows is indented below it."""
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )


def print_text(text: str, end: str = "\n") -> None:
    """Print lines of text on stdout."""
    print(printable(text), end=end)


def print_path(path: Path | str) -> None:
    """Print a path on stdout: as it is in a pipe, for programs; with escapes for people."""
    print(printable_cell(str(path)) if is_terminal() else path)


def ready_streams() -> None:
    """Let stdout and stderr take any text: names of files that are not UTF-8 keep their bytes.

    Signs that an encoding lacks are spelled out.
    """
    codecs.register_error("molspace", _encodable)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="molspace")


def _encodable(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    # U+DC80 to U+DCFF stand for bytes of a file's name that are not UTF-8 (surrogateescape).
    spelled = b"".join(
        bytes([ord(sign) - 0xDC00])
        if 0xDC80 <= ord(sign) <= 0xDCFF
        else sign.encode("ascii", "backslashreplace")
        for sign in text
    )
    return spelled, error.end


def print_json(kind: str, body: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout, with its schema; NaN and infinities as null."""
    whole = {"schema": f"molspace.{kind}/{SCHEMA}", **body}
    # Where nothing was embedded the module is not there, and nothing was left out.
    counted: list[Any] = getattr(sys.modules.get("reactions.core.left_out"), "waiting", list)()
    if counted:
        whole["items_cut"] = [part.in_words() for part in counted]
    try:
        text = json.dumps(whole, indent=1, allow_nan=False)
    except ValueError:  # JSON has no such numbers
        text = json.dumps(_finite(whole), indent=1, allow_nan=False)
    print(text)


def _finite(value: Any) -> Any:
    """Return a JSON value with null in place of NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def error_json(error: MolspaceError) -> str:
    """Return an error as one line of JSON, with its schema."""
    return json.dumps({"schema": f"molspace.error/{SCHEMA}", **error.to_json()}, default=str)


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table on stdout: boxed on a terminal, tab-separated in a pipe.

    Args:
        title: heading; a ``#`` comment line in a pipe.
        columns: headings.
        rows: one text a column each; columns that hold only numbers are right-aligned.
    """
    if not is_terminal():
        print(f"# {printable_cell(title)}")
        for row in (columns, *rows):
            print("\t".join(map(printable_cell, row)))
        return
    from molspace_cli.boxes import show_table

    show_table(title, columns, rows)


def print_note(text: str) -> None:
    """Print a remark on the table above it, on stdout: a ``#`` comment line in a pipe."""
    if not is_terminal():
        print(f"# {printable_cell(text)}")
        return
    width = max(20, shutil.get_terminal_size().columns)
    print("\n".join(_filled(line, width) for line in printable(text).split("\n")))


def human_bytes(size_bytes: float) -> str:
    """Return ``"1.5 MB"`` (powers of 1000)."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size_bytes < 1000 or unit == "TB":
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError("unreachable")


def human_flops(flops: float) -> str:
    """Return ``"2.3 GFLOP"`` (powers of 1000)."""
    for unit in ("FLOP", "kFLOP", "MFLOP", "GFLOP", "TFLOP", "PFLOP"):
        if flops < 1000 or unit == "PFLOP":
            return f"{flops:.0f} {unit}" if unit == "FLOP" else f"{flops:.1f} {unit}"
        flops /= 1000
    raise AssertionError("unreachable")
