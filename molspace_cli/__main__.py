"""Entry point: run the app, and turn every user's mistake into what, why and fix."""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Run ``molspace`` and exit with its code."""
    from molspace_cli.app import app

    try:
        app(prog_name="molspace")
    except KeyboardInterrupt:
        print("interrupted; what was finished is kept", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        _closed_pipe()
    except Exception as error:
        from reactions.errors import MolspaceError

        if not isinstance(error, MolspaceError):
            raise
        if "--json" in sys.argv:
            print(json.dumps(error.to_json(), default=str), file=sys.stderr)
        else:
            print("error: " + "\n".join(error.lines()), file=sys.stderr)
        sys.exit(error.exit_code)


def _closed_pipe() -> None:
    """Leave quietly when whoever reads our output has enough of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


if __name__ == "__main__":
    main()
