"""Entry point: run the app, and turn every user's mistake into what, why and fix."""

from __future__ import annotations

import atexit
import gc
import os
import re
import sys
import threading
import traceback
from typing import Any

from molspace_cli import opening, streams, verbosity
from molspace_cli.console import error_json, ready_streams, say
from reactions.core.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_STEP_FAILED,
    EXIT_USAGE,
)

PROGRAM = "molspace"
COMPLETION_VARIABLE = "_MOLSPACE_COMPLETE"

_UNMAPPED = re.compile("failed to map segment|[Cc]annot allocate memory")
"""What the loader of a compiled library says where its code does not fit into memory."""


def main() -> None:
    """Run ``molspace`` and exit with its code."""
    # The interpreter's last search for garbage, among all that was imported, finds nothing that
    # the end of the process does not free. With the pause in _run, it took a tenth of a warm run.
    atexit.register(gc.freeze)
    streams.prepare()
    ready_streams()
    n_threads = threading.active_count()  # more than one where a program calls this
    try:
        code = _run()
        sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's last breath
    except KeyboardInterrupt as stopped:
        say("; ".join(filter(None, ("interrupted", str(stopped)))))
        code = EXIT_INTERRUPTED
        if threading.active_count() > n_threads:  # workers that a second Ctrl-C left behind
            verbosity.end(code)
            sys.stdout.flush()
            os._exit(code)
    except BrokenPipeError:
        verbosity.end(EXIT_OK)
        _closed_pipe()
    except MemoryError:  # also where an earlier error was about to be reported
        code = _out_of_memory()
    except OSError as error:
        if error.errno not in streams.UNWRITABLE:
            raise
        print(f"error: cannot write what was found: {error.strerror}", file=sys.stderr)
        os._exit(EXIT_STEP_FAILED)  # the interpreter would try once more to write it
    verbosity.end(code)
    sys.exit(code)


def _run() -> int:
    gc.disable()  # while importing: what is imported stays, so there is nothing to collect
    try:
        import typer

        from molspace_cli.app import app, root_command
        from molspace_cli.usage import refuse_repeated, refuse_valueless

        if COMPLETION_VARIABLE in os.environ:  # a shell asks, by the script that typer installed
            app(prog_name=PROGRAM)
        # Not app() otherwise: it would turn Ctrl-C and closed pipes into exit codes of its own.
        command = root_command()
    finally:
        gc.enable()
    verbosity.begin()
    try:
        refuse_valueless(command, sys.argv[1:])
        refuse_repeated(command, sys.argv[1:])
        with opening.left_open, command.make_context(PROGRAM, sys.argv[1:]) as context:
            try:
                command.invoke(context)
            finally:
                if not _asks({"--quiet", "-q"}):
                    _say_noticed()
    except typer.Exit as ended:
        return _ended(int(ended.exit_code))
    except Exception as error:
        return _report(error, command)
    return EXIT_OK


def _say_noticed() -> None:
    """Report what decoding noticed, and what encoders left out, if anything was embedded."""
    if {"reactions.modalities.noticed", "reactions.core.left_out"}.isdisjoint(sys.modules):
        return
    from reactions.modalities import noticed

    for text in noticed.take():
        say(f"note: {text}")


def _ended(code: int) -> int:
    """Return the exit code of a command that ended itself."""
    if code == EXIT_BUG and {"--install-completion", "--show-completion"} & set(sys.argv[1:]):
        # Typer has just said that the shell is not supported, and nothing of what to do.
        print("  fix: run it from bash, zsh, fish or PowerShell", file=sys.stderr)
        return EXIT_USAGE
    return code


def _report(error: Exception, command: Any) -> int:
    """Print a user's mistake and return its exit code; raise anything else."""
    from molspace_cli import mistakes, usage
    from reactions.core.errors import MolspaceError

    if isinstance(error, BrokenPipeError):
        raise error
    if usage.is_abort(error):
        raise KeyboardInterrupt from None
    if usage.asks_for_help(error):
        say(error.format_message())  # type: ignore[attr-defined]
        return EXIT_USAGE
    if usage.is_usage_error(error):
        error = usage.translated(error, command, sys.argv[1:])
    if isinstance(error, OSError) and error.errno not in streams.UNWRITABLE:
        error = mistakes.system_error(error)
    if isinstance(error, ImportError) and _UNMAPPED.search(str(error)):
        raise MemoryError from None
    if not isinstance(error, MolspaceError):
        verbosity.record("bug", traceback=traceback.format_exception(error))
        raise error
    error = mistakes.with_near_file(error, sys.argv[1:])
    verbosity.record("error", **error.to_json())
    if verbosity.is_verbose(2) and sys.stderr is not None:
        traceback.print_exception(error)
    # One line: whatever else was said on stderr, the last line is the object.
    text = error_json(error) if _wants_json() else mistakes.error_text(error)
    say(text)
    return error.exit_code


def _out_of_memory() -> int:
    """Say so with what little there may be, and return the exit code."""
    what, fix = "out of memory", "close other programs, or raise the limit (ulimit -v)"
    try:
        from reactions.core.errors import StepError

        error = StepError(what, fix=fix)
        text = (
            error_json(error) if _wants_json() else "\n".join(("error: " + what, f"  fix: {fix}"))
        )
    except (MemoryError, ImportError):
        text = "error: " + what
    say(text)
    return EXIT_STEP_FAILED


def _wants_json() -> bool:
    return _asks({"--json"})


def _asks(flags: set[str]) -> bool:
    """Return whether the command line has one of some options without a value."""
    arguments = sys.argv[1:]
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return not flags.isdisjoint(options)


def _closed_pipe() -> None:
    """Leave quietly when the reader of our output has enough of it."""
    # The interpreter flushes stdout once more at its end, and would report the closed pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(EXIT_OK)


if __name__ == "__main__":
    main()
