"""What Python programs see of a run: progress on stderr, and log records.

The logger ``reactions`` gets every step at INFO and what a result's reader should know at
WARNING; Python shows warnings on stderr unless the program says otherwise.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from reactions.modalities import noticed
from reactions.products.remarks import raises_what_is_worse
from reactions.run.events import (
    Event,
    EventSink,
    PlanFinished,
    PlanStarted,
    PlanStopped,
    StepEvent,
    StepFailed,
    StepFinished,
    StepProgress,
    StepStarted,
    Stopping,
    StoreWarning,
    Waiting,
)

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

logger = logging.getLogger("reactions")

_EVERY_S = 10.0


def watch(progress: bool | None, events: EventSink | None = None) -> EventSink:
    """Return a sink that logs events, shows progress, and passes events on.

    Args:
        progress: whether to show progress on stderr; None shows it on a terminal alone.
        events: the caller's own sink, called last.
    """
    stderr = sys.stderr
    interactive = stderr is not None and stderr.isatty() and os.environ.get("TERM") != "dumb"
    sinks: list[EventSink] = [log]
    if progress or (progress is None and interactive):
        sinks.append(_Bar() if interactive else _Lines())
    if events is not None:
        sinks.append(events)

    def sink(event: Event) -> None:
        for write in sinks:
            write(event)

    return sink


def log(event: Event) -> None:
    """Log an event."""
    if isinstance(event, StoreWarning):
        logger.warning("%s", event.message)
    elif isinstance(event, StepFailed):
        logger.error("%s: failed: %s", event.label, event.error)
    elif text := _line(event):
        logger.info("%s", text)
    if isinstance(event, PlanFinished | PlanStopped):
        log_notices(noticed.take())


def log_notices(notices: Iterable[str]) -> None:
    """Log what is to be known of a result."""
    for notice in notices:
        logger.warning("%s", notice)


def log_quality(report: Mapping[str, Any] | None) -> None:
    """Log where a product does worse on held-out items than a part of it alone.

    Args:
        report: the record's ``quality``; None where nothing was held back.
    """
    for cross in (report or {}).get("cross", ()):
        if not (worse := cross["worse"]):
            continue
        helps = cross["better"] and raises_what_is_worse(cross)
        better = ", ".join(
            f"{'lambda_' if option == 'lambda' else option}={factors}"
            for option, factors in (cross["better"].items() if helps else ())
        )
        logger.warning(
            "%s: at its default factors the product is worse than %s alone: "
            "%s %+.1f [%+.1f, %+.1f]%s",
            "-".join(cross["modalities"]),
            worse["part"],
            worse["metric"],
            worse["mean"],
            worse["low"],
            worse["high"],
            f"; better: embed({better}, ...)" if better else "",
        )


def log_scans() -> Callable[[str, int, int], None]:
    """Return what logs the progress of scans of corpora, each at most every ten seconds."""
    due_s: dict[str, float] = {}

    def on_progress(what: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if now_s >= due_s.get(what, 0.0):
            due_s[what] = now_s + _EVERY_S
            logger.info("scanning %s: %d%s", what, done, f" of {total}" if total else "")

    return on_progress


def _line(event: Event) -> str:
    match event:
        case PlanStarted(is_bundled=True):
            return "nothing to run: the bundle is there"
        case PlanStarted(steps=0):
            return "nothing to run: the cache has the results"
        case PlanStarted(steps, hits):
            return f"{steps} steps to run, {hits} results from the cache"
        case StepFinished(seconds=seconds):
            return f"{event.label}: done in {seconds:.1f} s"
        case Waiting():
            return f"{event.label}: waiting for another process, which is making it"
        case Stopping(workers):
            return f"stopping: {workers} workers are still busy"
        case PlanFinished(executed, seconds) if executed:
            return f"{executed} steps run in {seconds:.1f} s"
    return ""


class _Lines:
    """A line for each finished step, where no bar can be drawn."""

    def __call__(self, event: Event) -> None:
        if (text := _line(event)) and sys.stderr is not None:
            with suppress(OSError, ValueError):  # a full disk, a closed pipe: no reason to stop
                print(text, file=sys.stderr, flush=True)


class _Bar:
    """One bar: steps of the run, and how far the latest of them is."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._task: TaskID

    def __call__(self, event: Event) -> None:
        if isinstance(event, PlanStarted):
            self._stop()
            if event.steps:
                self._start(event.steps)
        elif isinstance(event, PlanFinished | PlanStopped):
            self._stop()
        elif self._bars is not None and isinstance(event, StepEvent):
            if isinstance(event, StepProgress):
                part = f"{event.label}: {event.done} of {event.total} {event.unit}"
                self._bars.update(self._task, description=part)
            elif isinstance(event, StepStarted):
                self._bars.update(self._task, description=event.label)
            elif isinstance(event, StepFinished):
                self._bars.advance(self._task)

    def _start(self, steps: int) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")) or None)
        self._bars = Progress(
            MofNCompleteColumn(),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),  # brackets in labels stay
            console=console,
            transient=True,
            redirect_stdout=False,  # stdout is the program's
        )
        self._task = self._bars.add_task("", total=steps)
        self._bars.start()

    def _stop(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars = None
