"""Progress of scans of corpora, on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

from molspace_cli.amounts import duration
from reactions.core.printable import printable_cell

_LINE_EVERY_S = 10.0


def scans(*, quiet: bool = False) -> Callable[[str, int, int], None]:
    """Return what reports scans of corpora: when one begins and ends, and how far it is.

    A short scan is two lines at most, a long one has a line every ten seconds. A scan that is
    over before it was first reported is not reported at all.
    """
    began: dict[str, float] = {}
    due: dict[str, float] = {}

    def tell(what: str, done: int, total: int) -> None:
        if quiet or sys.stderr is None:
            return
        now = time.monotonic()
        if total and done >= total:
            if what in began:
                took = duration(now - began.pop(what))
                due.pop(what)
                _tell(f"scanning {what}: {done:,} of {total:,}, done in {took}")
            return
        if now < due.get(what, now):
            return
        began.setdefault(what, now)
        due[what] = now + _LINE_EVERY_S
        _tell(f"scanning {what}: " + (f"{done:,} of {total:,}" if total else f"{done:,}"))

    return tell


def _tell(line: str) -> None:
    with suppress(OSError, ValueError):
        print(printable_cell(line), file=sys.stderr, flush=True)
