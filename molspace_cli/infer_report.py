"""What ``infer`` says on stderr: progress, what is left out, and a summary."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from molspace_cli.amounts import LinesDue
from molspace_cli.console import say
from molspace_cli.input_notes import InputNotes
from reactions.core.printable import printable_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.core.types import Item
    from reactions.data.manifest import Problem

    Batches = Iterator[tuple[list[Item], NDArray[Any]]]

_SHOWN_PROBLEMS = 20


class Report:
    """Reports on stderr: progress, what is left out, and a summary.

    Args:
        notes: takes notes on the items.
        quiet: report only what is left out.
        live: whether an animation may be drawn, on a terminal.
        literal: whether texts were said to be texts.
        is_said: whether the user said what all items are.
    """

    def __init__(
        self,
        notes: InputNotes,
        quiet: bool,
        *,
        live: bool,
        literal: bool = False,
        is_said: bool = False,
    ) -> None:
        self._notes = notes
        self.embedded: Counter[str] = Counter()
        self._literal = literal
        self._is_said = is_said
        self._n_like_files = self._n_like_maps = 0
        self._first_like_file = ""
        self.skipped = 0
        self._problems: list[Problem] = []
        self._quiet = quiet
        self._live = live and not quiet and sys.stderr is not None and sys.stderr.isatty()
        self._stack = ExitStack()
        self._update: Callable[[str], None] = lambda text: None
        self._began_s = 0.0
        self._lines = LinesDue()

    def __enter__(self) -> Report:
        if self._live and os.environ.get("TERM") != "dumb":
            self._update = self._stack.enter_context(_animation())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def problem(self, problem: Problem) -> None:
        """Report an item that is left out; only the first few are named."""
        self.skipped += 1
        self._notes.skipped(problem.message)
        if self.skipped > _SHOWN_PROBLEMS:
            return
        self._problems.append(problem)
        line = problem.line_number
        name = f"line {line}" if problem.id == str(line) else f"'{plain(problem.id, 60)}'"
        say(f"skipped {name}: {plain(problem.message, 500)}")
        if self.skipped == _SHOWN_PROBLEMS:
            say("more are only counted")

    def follow(self, batches: Batches) -> Batches:
        """Pass batches on, counting and timing them."""
        self._began_s = time.monotonic()
        self._lines.begin("", self._began_s)
        for items, rows in batches:
            self.embedded.update(item.modality for item in items)
            if not self._literal:
                self._look_for_files(items)
            if not self._is_said:
                self._n_like_maps += sum(map(_is_like_a_map, items))
            self._progress()
            yield items, rows

    def _look_for_files(self, items: Iterable[Item]) -> None:
        """Count texts that end as a file's name does: a path with blanks may be mistyped, too."""
        from reactions.data.path_like import known_suffix

        for item in items:
            if isinstance(item.value, str) and known_suffix(item.value):
                self._n_like_files += 1
                self._first_like_file = self._first_like_file or item.value

    def _progress(self) -> None:
        now_s = time.monotonic()
        n = self.embedded.total() + self.skipped
        text = f"{n} items, {n / max(now_s - self._began_s, 1e-3):.0f}/s"
        self._update(text)
        if not (self._live or self._quiet) and self._lines.are_due("", now_s):
            say(text)

    def finish(self, about: Mapping[str, Any]) -> None:
        """Print the summary.

        Raises:
            UsageError: nothing was embedded: there were only lines that look like paths.
            DataError: nothing was embedded.
        """
        from reactions.core.errors import DataError, UsageError
        from reactions.core.text_lines import NOT_UTF8, RECODE

        embedded, total = self.embedded.total(), self.embedded.total() + self.skipped
        fixes = [RECODE] if any(problem.message == NOT_UTF8 for problem in self._problems) else []
        if any(problem.is_path for problem in self._problems):
            as_texts = '--text, with the lines on stdin, or {"text": ...} a line'
            fixes.append(f"correct the paths; or say that they are texts: {as_texts}")
        fix = "; ".join(fixes)
        if not embedded:
            only_paths = bool(self._problems) and all(p.is_path for p in self._problems)
            raise (UsageError if only_paths else DataError)(
                "nothing done: no item could be embedded"
                if self.skipped
                else "nothing to do: the input has no items",
                why=plain(self._problems[0].message, 500) if self._problems else "",
                fix=fix,
                skipped=self.skipped,
            )
        if not self._quiet:
            kinds = ", ".join(f"{n} {modality}" for modality, n in sorted(self.embedded.items()))
            lab = f", lab: {about['lab']}" if about["lab"] else ""
            say(f"embedded {embedded} of {total}: {kinds}, in {about['dim']} dimensions{lab}")
            if weights := described_weights(about):
                everyone = "   experts: all" if about["experts"] is None else ""
                say(f"{plain(about['expression'], 200)}   {weights}{everyone}")
        if self._n_like_files:
            first, n = plain(self._first_like_file, 60), self._n_like_files
            subject = "1 text ends" if n == 1 else f"{n} texts end"
            done = "was embedded as a text" if n == 1 else "were embedded as texts"
            self._notes.note(f"{subject} as a file's name does, and {done}, first '{first}'")
        if n := self._n_like_maps:
            subject = "1 image is a grey PNG" if n == 1 else f"{n} images are grey PNGs"
            self._notes.note(
                f"{subject} of 16 bits, as depth and thermal maps are: "
                "--modality depth or thermal if that is meant"
            )
        if self.skipped:
            first = f"first: {plain(self._problems[0].message, 100)}"
            say(f"skipped {self.skipped} of {total}: {first}")
            if why := self._notes.reasons():
                say(f"  why: {why}")
        if fix:
            say(f"  fix: {fix}")

    def to_json(self) -> dict[str, Any]:
        """Return counts, what was left out of the inputs, and the first problems."""
        return {
            "embedded": dict(sorted(self.embedded.items())),
            "skipped": self.skipped,
            **self._notes.to_json(),
            "problems": [
                {"id": plain(p.id, 500), "line": p.line_number or None, "message": p.message}
                for p in self._problems
            ],
        }


def described_weights(about: Mapping[str, Any]) -> str:
    """Return the factors and experts of a product in a line; "" of a space that has none.

    Args:
        about: as ``reactions.inference.writers.describe`` returns it.
    """
    facts = [
        f"{name}: " + ", ".join(f"{modality} {value:g}" for modality, value in factors.items())
        for name, factors in about["factors"].items()
    ]
    facts += [f"mean of {stage}: {mean}" for stage, mean in about.get("means", {}).items()]
    if about["experts"] is not None:
        facts.append(f"experts: {', '.join(about['experts'])}")
    return "   ".join(facts)


def _is_like_a_map(item: Item) -> bool:
    """Return whether an item was taken for an image, and its file has the form of maps."""
    from reactions.core.local_files import is_file
    from reactions.modalities.image import IMAGE
    from reactions.modalities.images.forms import is_deep_grey

    path = item.value
    if item.modality != IMAGE.name or not isinstance(path, Path) or not is_file(path):
        return False
    return is_deep_grey(path)


@contextmanager
def _animation() -> Iterator[Callable[[str], None]]:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")) or None)
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False))
    # stdout is data, and must not pass through the animation.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False) as bars:
        task = bars.add_task("embedding")
        yield lambda text: bars.update(task, description=f"embedding: {text}")


def plain(text: str, width: int | None = None) -> str:
    """Return text that stays on its line and in its cell: control characters are escaped."""
    if width is not None and len(text) > width:
        text = text[: width - 1] + "…"
    return printable_cell(text)
