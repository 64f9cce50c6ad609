"""Frames of a video in memory, and which of them an encoder sees.

An encoder asks for frames by a rule over the times at which they are shown, and the same rule
decides what is decoded of a file (``decoding.py``) and what is taken of frames in memory. Applied
to what it took itself, a rule takes the same again: whoever has ``Frames`` need not know whether
they are all of a video or those of a rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from reactions.core.hashing import bytes_digest, canonical
from reactions.modalities.values import array_digest, other_array

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Frames:
    """Frames of one video, in the order in which they are shown.

    Attributes:
        pixels: (n, h, w, 3) uint8 RGB, upright.
        seconds: (n,) float64, when each begins to be shown; increasing.
        span_s: when the whole video begins and ends, of which these frames may be a part. None
            where these are all: from the first one's time to the last one's, and as long again as
            the frames are shown on average.
    """

    pixels: NDArray[np.uint8]
    seconds: NDArray[np.float64]
    span_s: tuple[float, float] | None = None

    @property
    def span(self) -> tuple[float, float]:
        """When the video begins and ends, in seconds."""
        if self.span_s is not None:
            return self.span_s
        first, last = float(self.seconds[0]), float(self.seconds[-1])
        return first, last + (last - first) / max(1, len(self.seconds) - 1)


class Sampling(Protocol):
    """A rule that says which frames are taken."""

    def rows(self, seconds: NDArray[np.float64], span: tuple[float, float]) -> NDArray[np.int64]:
        """Return the rows that are taken, in order; short videos repeat some.

        Args:
            seconds: (n,) when each frame begins to be shown, increasing; n >= 1.
            span: when the video begins and ends.
        """


@dataclass(frozen=True, slots=True)
class Evenly:
    """Frames shown in the middles of ``n`` parts of equal length.

    Attributes:
        n: how many frames; >= 1.
    """

    n: int

    def rows(self, seconds: NDArray[np.float64], span: tuple[float, float]) -> NDArray[np.int64]:
        """Return (n,) rows."""
        start, end = span
        return shown_at(seconds, start + (np.arange(self.n) + 0.5) / self.n * (end - start))


@dataclass(frozen=True, slots=True)
class Clips:
    """Frames of clips that are spread over a video, the first at its start, the last at its end.

    Of a clip's frames (those that begin within it) the first and the last are taken, and between
    them the frames shown at equal distances. Of a video shorter than one clip all clips are it.

    Attributes:
        clips: how many; >= 1.
        seconds: length of each.
        frames: of each; >= 1.

    Source: ImageBind's data loading, which has 5 clips of 2 seconds and 2 frames of each.
    """

    clips: int = 5
    seconds: float = 2.0
    frames: int = 2

    def rows(self, seconds: NDArray[np.float64], span: tuple[float, float]) -> NDArray[np.int64]:
        """Return (clips * frames,) rows, clip by clip."""
        begin, end = span
        room = max(0.0, end - begin - self.seconds)
        parts = []
        for i in range(self.clips):
            start = begin + room * i / max(1, self.clips - 1)
            first = int(np.searchsorted(seconds, start, "left"))
            last = int(np.searchsorted(seconds, start + self.seconds, "left")) - 1
            if last < first:  # none begins within it: the one that is shown all along
                first = last = max(0, last)
            times = start + self.seconds * np.arange(self.frames) / max(1, self.frames - 1)
            rows = np.clip(shown_at(seconds, times), first, last)
            rows[0] = first
            if self.frames > 1:
                rows[-1] = last
            parts.append(rows)
        return np.concatenate(parts)


def shown_at(seconds: NDArray[np.float64], times: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows of the frames that are shown at some times; before the first, the first."""
    rows = np.searchsorted(seconds, times, "right") - 1
    return np.maximum(rows, 0).astype(np.int64)


def sample(frames: Frames, sampling: Sampling) -> NDArray[np.uint8]:
    """Return the (k, h, w, 3) uint8 frames that a rule takes, repeated as it says."""
    return frames.pixels[sampling.rows(frames.seconds, frames.span)]


def why_unusable(value: Any) -> str:
    """Return why a value is not a video that can be embedded; "" if it is one."""
    needs = "it needs Frames: (n, h, w, 3) uint8 pixels and (n,) float64 seconds"
    if not isinstance(value, Frames):
        return needs + other_array(value)
    pixels, seconds = value.pixels, value.seconds
    if not (
        isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.ndim == 4
        and pixels.shape[3] == 3
        and pixels.size > 0
    ):
        return needs + other_array(pixels)
    if not (
        isinstance(seconds, np.ndarray)
        and seconds.dtype == np.float64
        and seconds.shape == pixels.shape[:1]
    ):
        return needs + other_array(seconds)
    start, end = value.span
    if not (np.isfinite(seconds).all() and np.isfinite([start, end]).all()):
        return "its times are not finite"
    if (np.diff(seconds) <= 0).any():
        return "its times do not increase"
    if start > seconds[0] or end < seconds[-1]:
        return "its span does not hold its times"
    return ""


def digest(value: Any) -> str:
    """Return the tagged digest of frames; "" for anything else."""
    if not isinstance(value, Frames):
        return ""
    parts = [array_digest(value.pixels), array_digest(value.seconds), list(value.span)]
    return f"video:{bytes_digest(canonical(parts).encode())}"


def size_bytes(value: Any) -> int:
    """Return what frames take in memory."""
    return int(value.pixels.nbytes + value.seconds.nbytes) if isinstance(value, Frames) else 0
