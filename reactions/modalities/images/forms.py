"""Forms of image files that maps of other modalities have, too."""

from __future__ import annotations

from pathlib import Path

_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH_AT, _GREY = 24, 0
"""In IHDR, the first chunk: bits a sample, then the type of colour."""


def is_deep_grey(path: Path) -> bool:
    """Return whether a file is a grey PNG of 16 bits; False where it cannot be read."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_DEPTH_AT + 2)
    except OSError:
        return False
    return head.startswith(_PNG) and head[_DEPTH_AT:] == bytes((16, _GREY))
