"""Entry point: run the app, and turn every user's mistake into what, why and fix."""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
from pathlib import Path


def main() -> None:
    """Run ``molspace`` and exit with its code."""
    _open_closed()
    try:
        code = _run()
        sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's last breath
    except KeyboardInterrupt as stopped:
        print(f"interrupted; {str(stopped) or 'what was finished is kept'}", file=sys.stderr)
        code = 130
        if threading.active_count() > 1:  # workers that a second Ctrl-C left behind
            sys.stdout.flush()
            os._exit(code)
    except BrokenPipeError:
        _closed_pipe()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"error: cannot write what was found: {error.strerror}", file=sys.stderr)
        os._exit(4)  # the interpreter would try once more to write it
    sys.exit(code)


def _open_closed() -> None:
    """Give a process whose stdout or stderr was closed one that goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115


def _run() -> int:
    import typer.main

    from molspace_cli.app import app

    # Not app(): it would turn Ctrl-C and closed pipes into exit codes of its own.
    command = typer.main.get_command(app)
    try:
        with command.make_context("molspace", sys.argv[1:]) as context:
            command.invoke(context)
    except typer.Exit as ended:
        return int(ended.exit_code)
    except Exception as error:
        return _report(error)
    return 0


def _report(error: Exception) -> int:
    """Print a user's mistake and return its exit code; raise anything else."""
    if isinstance(error, BrokenPipeError):
        raise error
    if hasattr(error, "show") and hasattr(error, "exit_code"):  # typer's own usage errors
        error.show()
        return int(error.exit_code)
    from reactions.errors import MolspaceError

    if not isinstance(error, MolspaceError):
        raise error
    if "--json" in sys.argv:
        print(json.dumps(error.to_json(), default=str), file=sys.stderr)
    else:
        print("error: " + "\n".join(error.lines()), file=sys.stderr)
    return error.exit_code


def _closed_pipe() -> None:
    """Leave quietly when whoever reads our output has enough of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


if __name__ == "__main__":
    main()
