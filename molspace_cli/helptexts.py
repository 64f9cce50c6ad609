"""Help that fits the terminal: as wide as it is, nothing cut short, and examples as they stand.

The last paragraph of a command's docstring may be ``Examples:`` over command lines, one a line.
"""

from __future__ import annotations

import inspect
import shutil
from typing import Any

_MINIMUM_COLUMNS = 30

EXAMPLES = "Examples:"


def prepare(command: Any) -> Any:
    """Let a command, and all below it, print help that is wrapped, not cut.

    Args:
        command: typer's group or command; it is changed.

    Returns:
        The same command.
    """
    command.context_class = _context_class(command.context_class)
    for param in command.params:
        if param.param_type_name == "argument" and hasattr(param, "display_type_rich"):
            param.display_type_rich = _nothing  # newer typers add Python's type to our metavar
    for below in getattr(command, "commands", {}).values():
        below.short_help = below.short_help or _first_sentence(below.help or "")
        below.help, examples = split_examples(below.help or "")
        if examples:
            # \b keeps click from joining the lines that follow.
            below.epilog = "Examples:\n\n\b\n" + "\n".join(f"  {line}" for line in examples)
        prepare(below)
    return command


def columns() -> int:
    """Return how wide help may be: the terminal's width, or 80 without a terminal."""
    return max(shutil.get_terminal_size().columns, _MINIMUM_COLUMNS)


def split_examples(text: str) -> tuple[str, list[str]]:
    """Return a help text without its examples, and the lines of these."""
    body, heading, examples = text.partition(f"\n{EXAMPLES}\n")
    if not heading:
        return text, []
    return body.rstrip(), inspect.cleandoc(examples).splitlines()


def _nothing(*_: Any, **__: Any) -> str:
    return ""


def _first_sentence(text: str) -> str:
    """Return the first sentence of the first paragraph, on one line."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence, stop, _ = paragraph.partition(". ")
    return sentence + stop.strip()


def _context_class(base: type[Any]) -> type[Any]:
    # Made from typer's own classes, which lie elsewhere in each of its versions.
    formatter: Any = base.formatter_class

    class Formatter(formatter):  # type: ignore[misc]
        """Leaves a narrow terminal more room for the text than for the options' names."""

        def __init__(self, **settings: Any) -> None:
            super().__init__(**{**settings, "width": columns() - 1})

        def write_dl(self, rows: Any, col_max: int = 30, col_spacing: int = 2) -> None:
            super().write_dl(rows, min(col_max, self.width // 3), col_spacing)

    class HelpContext(base):  # type: ignore[misc]
        formatter_class = Formatter

    return HelpContext
