"""How old files are by the clock that dates them: on a network file system the server's."""

from __future__ import annotations

import os
import time
import uuid
from contextlib import suppress
from pathlib import Path

PROBE = "clock"
"""What the name of a file for a moment has after its dot."""

_NOTICEABLE_S = 2.0
"""Smaller differences are of how finely files are dated."""

_ahead: dict[int, float] = {}
"""By the number of the file system."""


def ahead_s(folder: Path) -> float:
    """Return by how much the clock of a folder's file system is ahead of this machine's.

    A file that is made there for a moment shows it; 0 where none can be made.
    """
    with suppress(OSError):
        device = folder.stat().st_dev
        if device not in _ahead:
            difference_s = touch_once(folder) - time.time()
            _ahead[device] = difference_s if abs(difference_s) > _NOTICEABLE_S else 0.0
        return _ahead[device]
    return 0.0


def touch_once(folder: Path) -> float:
    """Make a file in a folder for a moment; return the time that it got.

    Raises:
        OSError: it cannot be made.
    """
    probe = folder / f".{PROBE}-{uuid.uuid4().hex}"
    fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return os.fstat(fd).st_mtime
    finally:
        os.close(fd)
        probe.unlink()


def age_s(path: Path) -> float:
    """Return how long ago a file was written, or a folder's list of names.

    Raises:
        OSError: it cannot be looked at.
    """
    return time.time() + ahead_s(path.parent) - path.stat().st_mtime
