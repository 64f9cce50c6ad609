"""The layout of bars in the terminal's width: names keep what distinguishes them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.progress import Progress, Task
    from rich.text import Text

ELLIPSIS = "…"
_WIDE, _NARROW = 100, 80
"""Columns from which a row has room for everything, and for one line."""

_BAR = {"wide": 24, "middle": 14, "narrow": 20}
_MIN_NAME = 16


def elide(text: str, width: int) -> str:
    """Return text cut in the middle to a width: both of its ends distinguish names.

    Products in brackets are shortened before anything else is: the same product stands in
    many names: ``train (Image…rnVL)) + Cr(CLAP_m) on TVA``.
    """
    if len(text) <= width:
        return text
    for start, end in reversed(_brackets(text)):  # from the right: other places stay valid
        inner = text[start + 1 : end - 1].rstrip(")")
        room = max(1, len(inner) - (len(text) - width) + (end - 1 - start - 1 - len(inner)))
        text = f"{text[: start + 1]}{_middle(inner, room)}{text[end - 1 :]}"
        if len(text) <= width:
            return text
    return _middle(text, width)


def _middle(text: str, width: int) -> str:
    if len(text) <= width:
        return text
    if width <= 1:
        return ELLIPSIS[:width]
    head = (width - 1) // 2
    return text[:head] + ELLIPSIS + text[len(text) - (width - 1 - head) :]


def _brackets(text: str) -> list[tuple[int, int]]:
    """Return where outermost brackets of products begin and end: not those of ``Cr(...)``."""
    spans = []
    depth = start = 0
    for i, sign in enumerate(text):
        if sign == "(":
            start = start if depth else i
            depth += 1
        elif sign == ")" and depth:
            depth -= 1
            if not depth and not re.match(r"\w", text[start - 1 : start]):
                spans.append((start, i + 1))
    return spans


class Bars:
    """The rows of a progress display as text that is never wider than the terminal.

    Each task has ``fields["notes"]``: what stands beside its bar, the fullest form first.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield one row a task."""
        yield from rows(self._progress.tasks, options.max_width)


def rows(tasks: Sequence[Task], width: int) -> list[Text]:
    """Return the rows of tasks for a width, in columns; two lines each where it is narrow.

    Args:
        tasks: with ``fields["notes"]``, from the fullest form to the shortest.
        width: of the terminal, in cells.
    """
    if not tasks:
        return []
    form = "wide" if width >= _WIDE else "middle" if width >= _NARROW else "narrow"
    level = ("wide", "middle", "narrow").index(form)
    notes = [_note(task, level) for task in tasks]
    note_width = max(map(len, notes))  # a clock that is cut would be wrong
    bar_width = min(_BAR[form], max(0, width - note_width - 1))
    if form == "narrow":
        return [
            _text(elide(task.description, width), "\n", task, bar_width, note)
            for task, note in zip(tasks, notes, strict=True)
        ]
    room = max(_MIN_NAME, width - bar_width - note_width - 2)
    name_width = min(room, max(len(task.description) for task in tasks))
    return [
        _text(elide(task.description, name_width).ljust(name_width), " ", task, bar_width, note)
        for task, note in zip(tasks, notes, strict=True)
    ]


def _note(task: Task, level: int) -> str:
    notes: Sequence[str] = task.fields.get("notes") or ("",)
    return notes[min(level, len(notes) - 1)]


def _text(name: str, between: str, task: Task, bar_width: int, note: str) -> Text:
    from rich.text import Text

    share = min(1.0, task.completed / task.total) if task.total else 0.0
    full = round(share * bar_width)
    return Text.assemble(
        name,
        between,
        ("━" * full, "bar.complete"),
        ("━" * (bar_width - full), "bar.back"),
        " " if bar_width else "",
        note,
        no_wrap=True,
        overflow="crop",
        end="\n",
    )
