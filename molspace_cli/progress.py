"""Progress on stderr: of runs, of scans of corpora, of downloads."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from molspace_cli.amounts import LinesDue, duration
from molspace_cli.console import human_bytes, say
from molspace_cli.verbosity import followed, is_verbose
from reactions.core.printable import printable_cell

if TYPE_CHECKING:
    from molspace_cli.display import Display
    from reactions.run.events import EventSink


def unknown() -> None:
    """Return that the speed of a run is not known."""


def progress(
    *,
    quiet: bool = False,
    stream: TextIO | None = None,
    speed: Callable[[], float | None] = unknown,
) -> EventSink:
    """Return a sink that shows a run's events to a person: bars on a terminal, else lines.

    Args:
        quiet: show warnings only.
        stream: where to; stderr by default.
        speed: see ``Display``.
    """
    return followed(_display(quiet=quiet, stream=stream, speed=speed))


def _display(
    *,
    quiet: bool,
    stream: TextIO | None = None,
    speed: Callable[[], float | None] = unknown,
) -> Display:
    from molspace_cli.display import Plain, Quiet
    from molspace_cli.live import Live

    stream = stream or sys.stderr
    if quiet:
        return Quiet(stream)
    # Lines of -v would tear bars apart.
    if stream.isatty() and os.environ.get("TERM") != "dumb" and not is_verbose():
        return Live(stream, speed=speed)
    return Plain(stream, speed=speed)


def epochs(events: EventSink) -> Callable[[str, int, int], None]:
    """Return what shows the epochs of each encoder in training as a step of a run."""
    from reactions.run.events import StepFinished, StepProgress, StepStarted

    began_s: dict[str, float] = {}

    def on_progress(name: str, done: int, total: int) -> None:
        step = (name, "train", f"train {name}")
        if name not in began_s:
            began_s[name] = time.monotonic()
            events(StepStarted(*step, total=total))
        events(StepProgress(*step, done, total, "epochs"))
        if done == total:
            events(StepFinished(*step, time.monotonic() - began_s[name]))

    return on_progress


@contextmanager
def descriptions(
    name: str, *, quiet: bool = False
) -> Iterator[tuple[Callable[[int, int], None], Callable[[str], None]]]:
    """Give what shows how many descriptions of a file are there, and what warns meanwhile.

    The first is a bar, or in a pipe a line every ten seconds, so that a short run has none.
    """
    from molspace_cli.display import Plain
    from molspace_cli.live import Live
    from reactions.run import events as shown

    display = _display(quiet=quiet)
    events = followed(display)
    step = ("kb", "generate", name)
    began_s: list[float] = []

    def on_progress(done: int, total: int) -> None:
        if not began_s:
            began_s.append(time.monotonic())
            if isinstance(display, Live):
                events(shown.PlanStarted(1, 0))
            elif isinstance(display, Plain):
                display.steps = 1  # one file: nothing that a line about a plan could add
            events(shown.StepStarted(*step, total=total))
        events(shown.StepProgress(*step, done, total, "descriptions"))

    try:
        yield on_progress, lambda text: events(shown.StoreWarning(text))
        if began_s:
            events(shown.StepFinished(*step, time.monotonic() - began_s[0]))
    finally:
        events(shown.PlanStopped())  # bars vanish, however it ended


def scans(*, quiet: bool = False) -> Callable[[str, int, int], None]:
    """Return what shows scans of corpora: when one begins and ends, and how far it is.

    A short scan is two lines at most, a long one has a line every ten seconds. A scan that is
    over before it was first reported is not shown at all.
    """
    began_s: dict[str, float] = {}
    lines = LinesDue()

    def on_progress(what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if total and done >= total:
            if what in began_s:
                lines.forget(what)
                took = duration(now_s - began_s.pop(what))
                _write(f"scanning {printable_cell(what)}: {done:,} of {total:,}, done in {took}")
        elif lines.are_due(what, now_s):
            began_s.setdefault(what, now_s)
            far = f"{done:,} of {total:,}" if total else f"{done:,}"
            _write(f"scanning {printable_cell(what)}: {far}")

    return _silent if quiet else on_progress


def downloads(*, quiet: bool = False) -> Callable[[str, int, int], None]:
    """Return what shows downloads: a line that moves on a terminal, else one a file."""
    started: set[str] = set()

    def moving(what: str, done: int, total: int) -> None:
        share = f"{100 * done // total} % of {human_bytes(total)}" if total else human_bytes(done)
        ends = bool(total) and done >= total
        # The blanks cover the end of a line that was longer.
        _write(f"\r{printable_cell(what)}: {share}   ", end="\n" if ends else "")

    def on_progress(what: str, done: int, total: int) -> None:
        if what not in started:
            started.add(what)
            say(f"{what}: downloading" + (f" {human_bytes(total)}" if total else ""))

    if quiet:
        return _silent
    return moving if sys.stderr is not None and sys.stderr.isatty() else on_progress


def _silent(what: str, done: int, total: int) -> None:
    pass


def _write(line: str, end: str = "\n") -> None:
    """Write on stderr. A closed or broken stream must not stop the work."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(line, end=end, file=sys.stderr, flush=True)
