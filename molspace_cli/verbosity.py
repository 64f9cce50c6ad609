"""``-v`` and ``--log-file``, which every command has: what a run does, for people and for programs.

State of the process, as ``sys.stderr`` is: set when a command line is read, reset for the next.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from molspace_cli.console import SCHEMA, listeners, shortened
from reactions.core.printable import printable

if TYPE_CHECKING:
    from reactions.run.events import Event, EventSink

_FIELDS = ("time", "event")
"""Which every line of a log begins with."""

_PROGRESS_EVERY_S = 1.0
"""Between two lines of one step's progress in a log file."""


class Logbook:
    """A file of JSON lines, one for each thing that happened; lines are appended.

    Args:
        path: the file; its folder has to be there.

    Raises:
        UsageError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        from reactions.core.errors import UsageError

        if not _is_log(path):
            raise UsageError(
                f"--log-file: '{path}' holds something other than a log",
                why="lines would be added to it",
                fix="--log-file FILE, a new one, or one of an earlier run",
            )
        try:
            self._file: IO[str] | None = path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise UsageError(
                f"--log-file: cannot write '{path}'",
                why=(error.strerror or str(error)).lower(),
                fix="--log-file FILE, in a folder that is there",
            ) from None
        self._path = path
        self._progress_s: dict[str, float] = {}

    def write(self, event: str, facts: Mapping[str, Any]) -> None:
        """Append a line; a file that can no longer be written is reported once, and left alone."""
        if self._file is None:
            return
        time_utc = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = dict(zip(_FIELDS, (time_utc, event), strict=True))
        try:
            self._file.write(json.dumps({**line, **facts}, default=str) + "\n")
        except OSError as error:
            self._file = None
            reason = (error.strerror or str(error)).lower()
            print(f"warning: {self._path} ends here: {reason}", file=sys.stderr)

    def follow(self, event: Event) -> None:
        """Append a run's event."""
        name = _snake(type(event).__name__)
        assert is_dataclass(event)
        facts = asdict(event)
        if name == "step_progress":
            now_s = time.monotonic()
            is_last = facts["done"] >= facts["total"]
            if not is_last and now_s < self._progress_s.get(facts["key"], 0.0):
                return
            self._progress_s[facts["key"]] = now_s + _PROGRESS_EVERY_S
        self.write(name, facts)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
        self._file = None


def _is_log(path: Path) -> bool:
    """Return whether lines may be added to a file: it is not there, empty, or a log."""
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return True
        with path.open("rb") as stream:
            line = json.loads(stream.readline(1 << 20))
        return isinstance(line, dict) and all(name in line for name in _FIELDS)
    except OSError:
        return True  # opening it says why
    except ValueError:
        return False


class _State:
    level = 0
    book: Logbook | None = None
    began_s = 0.0
    unfollow: Callable[[], None] | None = None


_state = _State()


def begin() -> None:
    """Forget what an earlier command line of this process asked for."""
    end(None)
    _state.level = 0
    _state.began_s = time.monotonic()


def end(exit_code: int | None) -> None:
    """Close the log file, if there is one, with the exit code as its last line."""
    book, _state.book = _state.book, None
    if _state.unfollow is not None:
        _state.unfollow()
        _state.unfollow = None
    listeners.clear()
    if book is not None:
        if exit_code is not None:
            seconds = round(time.monotonic() - _state.began_s, 3)
            book.write("end", {"exit_code": exit_code, "seconds": seconds})
        book.close()


def is_verbose(level: int = 1) -> bool:
    """Return whether ``-v`` was given, so often."""
    return _state.level >= level


def detail(text: str) -> None:
    """Print a line on stderr with ``-v``, and keep it in the log file."""
    record("detail", text=text)
    if is_verbose() and sys.stderr is not None:
        clock = datetime.now().strftime("%H:%M:%S")
        print(printable(shortened(f"{clock} {text}")), file=sys.stderr, flush=True)


def record(event: str, **facts: Any) -> None:
    """Keep something in the log file, if there is one."""
    if _state.book is not None:
        _state.book.write(event, facts)


def followed(events: EventSink) -> EventSink:
    """Return a sink that also keeps events in the log file and, with ``-v``, prints cache hits."""
    from reactions.run.events import StepHit

    def sink(event: Event) -> None:
        if _state.book is not None:
            _state.book.follow(event)
        if is_verbose() and isinstance(event, StepHit):
            detail(f"cached: {event.label} ({event.key[:12]})")
        events(event)

    return sink if is_verbose() or _state.book is not None else events


def _set_level(value: int) -> int:
    _state.level = max(_state.level, value)
    if value:
        _follow_kernels()
    return value


def _follow_kernels() -> None:
    """Pass on which kernels a GPU computes with, which the library logs."""
    import logging

    class Handler(logging.Handler):
        def emit(self, entry: logging.LogRecord) -> None:
            detail(entry.getMessage())

    logger = logging.getLogger("reactions.kernels")
    if _state.unfollow is None:
        handler = Handler()
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        _state.unfollow = lambda: logger.removeHandler(handler)


def _open_book(values: list[Path]) -> list[Path]:
    if not values:
        return values
    from importlib.metadata import version

    from reactions.core.errors import UsageError

    if any(str(value) in ("", "-") for value in values):
        raise UsageError("--log-file needs the name of a file", fix="--log-file molspace.jsonl")
    if len(values) > 1 or _state.book is not None:
        raise UsageError("--log-file is given twice", fix="leave one out")
    _state.book = Logbook(values[0])
    listeners.append(lambda message: record("message", text=message))
    _follow_kernels()
    record(
        "command",
        schema=f"molspace.log/{SCHEMA}",
        arguments=sys.argv[1:],
        version=version("molspace"),
        python=sys.version.split()[0],
        pid=os.getpid(),
        folder=str(Path.cwd()),
    )
    return values


_typer = typer.Typer(rich_markup_mode=None, add_completion=False)


@_typer.command()
def _declared(
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            is_eager=True,
            callback=_set_level,
            show_default=False,
            help="Say what is used and what comes from the cache; -vv also shows where an error "
            "was raised.",
        ),
    ] = 0,
    log_file: Annotated[
        list[Path] | None,  # a second one would silently take the place of the first
        typer.Option(
            "--log-file",
            metavar="FILE",
            is_eager=True,
            callback=_open_book,
            show_default=False,
            help="Append what happens as JSON lines.",
        ),
    ] = None,
) -> None:
    """Declare the options; ``add_options`` takes them from here."""


def add_options(command: Any) -> None:
    """Give a command, and all below it, ``-v`` and ``--log-file``.

    Args:
        command: typer's group or command; it is changed.
    """
    options = _own_options()
    below = getattr(command, "commands", {})
    options_taken = {
        option for param in command.params for option in (*param.opts, *param.secondary_opts)
    }
    assert not options_taken & {option for param in options for option in param.opts}
    command.params += options
    for subcommand in below.values():
        add_options(subcommand)


@cache
def _own_options() -> list[Any]:
    import typer.main

    options = [
        p for p in typer.main.get_command(_typer).params if p.name in ("verbose", "log_file")
    ]
    for param in options:
        param.expose_value = False  # commands do not know of them
    return options


def _snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
