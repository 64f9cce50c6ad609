"""Which part of a video is its clip."""

from __future__ import annotations

from dataclasses import dataclass

from reactions.core.hashing import digest

CLIP_VERSION = 1
"""Raise it whenever a change can change a clip's sound, its picture, or the verdict on a file."""

MAX_CLIP_SECONDS = 3600.0
"""As long as any sound may be."""


@dataclass(frozen=True, slots=True)
class ClipChoice:
    """Which part of a video is its clip.

    Attributes:
        seconds: length of the clip; a shorter video is taken whole.
        at: where it lies: 0 at the start, 0.5 in the middle, 1 at the end.
        picture_at: where in the clip the picture is taken, from 0 to 1.
    """

    seconds: float = 10.0
    at: float = 0.5
    picture_at: float = 0.5

    @property
    def key(self) -> str:
        """What tells scans of one choice from those of another, and of another version."""
        return digest("clip", [CLIP_VERSION, self.seconds, self.at, self.picture_at])[:16]
