"""Frames of video files: those that a rule takes are decoded, and no others are kept.

Packets tell when every frame is shown without any being decoded; so the rule decides first, and
the reader then jumps to the key frame before each frame that is wanted. What is decoded depends on
the file and the rule alone: where an index leads astray, all is decoded from the start.
"""

from __future__ import annotations

from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reactions.modalities.videos.files import (
    microseconds,
    open_video,
    picture_track,
    refused,
    timed,
    upright,
)
from reactions.modalities.videos.frames import Evenly, Frames, Sampling
from reactions.modalities.videos.packets import SECOND_US, SLACK_SHARE, SLACK_US, spans

MAX_SECONDS = 3600
"""As long as any sound may be."""

MAX_FRAMES = 1_000_000
"""Of one video: an hour at 240 a second, and a little more."""

MAX_SAMPLED_BYTES = 1 << 29
"""What the frames that are taken of one video may occupy: 21 of 4K."""

USUAL = Evenly(16)
"""What is taken where no encoder says what it wants."""

_JUMP_US = 2 * SECOND_US
"""From here on it pays to look for a key frame, rather than to decode what lies between."""

_GAP_US = 100_000
"""By how much a frame may lie before the time at which it is looked for, and be it."""


def decode(stream: BinaryIO, path: str, sampling: Sampling = USUAL) -> Frames:
    """Decode the frames of an open video that a rule takes, each once.

    Raises:
        MediaError: it cannot be decoded, is cut short, or is beyond the limits.
        MissingError: PyAV is not installed.
    """
    times_us, end_us = frame_times(stream, path)
    seconds = times_us / SECOND_US
    span = (float(seconds[0]), end_us / SECOND_US)
    wanted_us = times_us[np.unique(sampling.rows(seconds, span))]
    frames = _decode_at(stream, path, wanted_us, jumps=True)
    if frames is None:
        frames = _decode_at(stream, path, wanted_us, jumps=False)
    if not frames:
        raise refused(path, "none of its frames can be decoded")
    pixels = list(frames.values())
    if any(picture.shape != pixels[0].shape for picture in pixels):
        raise refused(path, "its pictures change their size")
    shown_s = np.array(list(frames), np.int64) / SECOND_US
    return Frames(np.stack(pixels), shown_s, (min(span[0], float(shown_s[0])), span[1]))


def frame_times(stream: BinaryIO, path: str) -> tuple[NDArray[np.int64], int]:
    """Return when each frame of an open video is shown, and when the last one ends.

    Every packet is looked at, and none decoded.

    Returns:
        (n,) microseconds, increasing, n >= 1; and microseconds.

    Raises:
        MediaError: it has no pictures, is damaged or cut short, or is beyond the limits.
        MissingError: PyAV is not installed.
    """
    with open_video(stream, path) as container:
        track = picture_track(container, path)
        span = spans(container, path, keep=track.index, most=MAX_FRAMES)[track.index]
        declared_us = 0
        # Of AVIs, whose reader guesses the length of what is cut short, the header counts frames.
        if container.format.name == "avi" and track.frames and track.time_base:
            declared_us = microseconds(track.frames, track.time_base)
    if not span.times_us:
        raise refused(path, "there is nothing in its track of pictures")
    if span.is_damaged:
        raise refused(path, "it is cut short or damaged: a packet of pictures is not whole")
    if declared_us - span.end_us > SLACK_US + SLACK_SHARE * declared_us:
        there_s, declared_s = span.end_us / SECOND_US, declared_us / SECOND_US
        raise refused(path, f"it is cut short: {there_s:.1f} of {declared_s:.1f} seconds are there")
    times_us = np.unique(np.array(span.times_us, np.int64))
    length_us = int(times_us[-1] - times_us[0])
    if length_us > MAX_SECONDS * SECOND_US:
        long = f"it lasts {length_us // SECOND_US} seconds, more than {MAX_SECONDS}"
        raise refused(path, long, "cut it up: ffmpeg -i IN -c copy -f segment -segment_time 600")
    end_us = span.end_us
    if end_us <= times_us[-1]:  # the last packet does not say how long it is shown
        end_us = int(times_us[-1]) + length_us // max(1, len(times_us) - 1)
    return times_us, end_us


def check_every_frame(stream: BinaryIO, path: str) -> None:
    """Decode all frames of an open video, keeping none.

    Raises:
        MediaError: it is damaged anywhere, or beyond the limits.
        MissingError: PyAV is not installed.
    """
    times_us, _ = frame_times(stream, path)
    n = 0
    with open_video(stream, path) as container:
        for frame, time_us in timed(container.decode(picture_track(container, path))):
            _check_frame(frame, time_us, path)
            n += 1
    if n < len(times_us) - _LOST_FRAMES - _LOST_SHARE * len(times_us):
        raise refused(path, f"only {n} of its {len(times_us)} frames can be decoded")


_LOST_FRAMES, _LOST_SHARE = 2, 0.02
"""Frames that may be missing: some coders write packets that show nothing."""


def _decode_at(
    stream: BinaryIO, path: str, wanted_us: NDArray[np.int64], *, jumps: bool
) -> dict[int, NDArray[np.uint8]] | None:
    """Return time to pixels of the frames that are shown at some times, in their order.

    Args:
        stream: of the file.
        path: for messages.
        wanted_us: times at which a frame begins to be shown, increasing.
        jumps: whether to jump to key frames.

    Returns:
        None if a jump led behind what it was for.
    """
    pictures: dict[int, NDArray[np.uint8]] = {}
    n_bytes = 0
    with open_video(stream, path) as container:
        reader = _Reader(container, picture_track(container, path))
        for time_us in wanted_us.tolist():
            if jumps and not reader.jump(time_us):
                return None
            frame, shown_us = reader.shown_at(time_us)
            if frame is None or time_us - shown_us > max(_GAP_US, reader.last_gap_us):
                raise refused(path, f"its frame at {time_us / SECOND_US:.3f} s cannot be decoded")
            _check_frame(frame, shown_us, path)
            if shown_us in pictures:
                continue
            n_bytes += frame.width * frame.height * 3
            if n_bytes > MAX_SAMPLED_BYTES:
                most = f"{MAX_SAMPLED_BYTES >> 20} MiB"
                raise refused(path, f"the frames taken of it occupy more than {most}", "scale it")
            pictures[shown_us] = upright(frame, path)
    return pictures


class _Reader:
    """Decoded frames of one track, read forwards."""

    def __init__(self, container: Any, track: Any) -> None:
        self._container, self._track = container, track
        self._frames = timed(container.decode(track))
        self._shown: tuple[Any, int] = (None, 0)
        self._next = next(self._frames, None)
        self.last_gap_us = 0

    def jump(self, time_us: int) -> bool:
        """Go to the last key frame before a time if that is far; False if it lies behind it."""
        import av

        here_us = self._next[1] if self._next else self._shown[1]
        if time_us - here_us < _JUMP_US:
            return True
        try:
            self._container.seek(time_us)
        except av.FFmpegError:  # it has no index: what lies between is decoded
            return False
        self._frames = timed(self._container.decode(self._track))
        self._shown, self._next = (None, 0), next(self._frames, None)
        return self._next is not None and self._next[1] <= time_us

    def shown_at(self, time_us: int) -> tuple[Any, int]:
        """Return the last frame that begins at a time or before it, and when; None for none."""
        while self._shown[1] != time_us or self._shown[0] is None:
            if self._next is None or self._next[1] > time_us:
                break
            self.last_gap_us = self._next[1] - self._shown[1] if self._shown[0] else 0
            self._shown, self._next = self._next, next(self._frames, None)
        return self._shown


def _check_frame(frame: Any, time_us: int, path: str) -> None:
    if frame.is_corrupt:
        raise refused(path, f"its frame at {time_us / SECOND_US:.3f} s is damaged")
