"""Files of pictures and sounds, opened within limits: by known readers, and no file but one."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import MediaError, MissingError
from reactions.core.extras import install_extra
from reactions.core.transient import is_transient, run_again
from reactions.modalities import noticed
from reactions.modalities.image import MAX_PIXELS
from reactions.modalities.undecoded import VIDEO_FILES

if TYPE_CHECKING:
    import av
    import numpy as np
    from av.container import InputContainer
    from numpy.typing import NDArray

SUFFIXES = VIDEO_FILES.suffixes
"""Endings of video files."""

_FORMATS = "aac,asf,avi,dv,flv,matroska,mov,mp4,mpeg,mpegts,mxf,ogg,rm,webm,wtv"
"""Readers that are tried. Playlists and lists of files, which name others, are not among them."""

_MICROSECONDS = 1_000_000

_HDR_TRANSFERS = (16, 18)
"""PQ and HLG, as H.273 numbers them."""

HDR = noticed.Kind(
    "{n} videos are HDR, and were read without tone mapping: paler than players show them; convert "
    "them to SDR",
    "1 video is HDR, and was read without tone mapping: paler than players show it; convert it to "
    "SDR",
)

_USUAL_BYTES = 1 << 26
"""More than FFmpeg takes at once for any file that is whole, but for very large pictures."""


def need_av(what: str) -> None:
    """Check that PyAV is installed, without importing it.

    Args:
        what: is to be read, for the message.

    Raises:
        MissingError: it is not.
    """
    if "av" not in sys.modules and importlib.util.find_spec("av") is None:
        raise MissingError(
            f"cannot read {what}",
            why="PyAV, which reads it, is not installed",
            fix=install_extra("media"),
            package="av",
        )


def refused(path: str, why: str, fix: str = "") -> MediaError:
    """Return the error for a video that cannot be used."""
    return MediaError(f"cannot use the video '{path}'", why=why, fix=fix, path=path)


@contextmanager
def open_video(stream: BinaryIO, path: str) -> Iterator[InputContainer]:
    """Open a video from its start, and turn what its readers raise into errors of ours.

    Args:
        stream: of the file, seekable.
        path: for messages.

    Raises:
        MediaError: it is not a video of a known kind, or is damaged.
        TransientError: memory or a disk gave way, which says nothing about the video.
        MissingError: PyAV is not installed.
    """
    need_av(f"'{path}'")
    import av

    if stream.seek(0, os.SEEK_END) == 0:
        raise refused(path, "it is empty")
    stream.seek(0)
    try:
        with av.open(
            stream,
            mode="r",
            metadata_errors="ignore",  # titles in any encoding
            options={"format_whitelist": _FORMATS},
            io_open=_refuse_other_files,
        ) as container:
            yield container
    except (MemoryError, OSError, av.FFmpegError) as error:
        # What our own stream raises comes through as it is: FFmpeg's word for it, "input/output
        # error", is what its readers say of a file that ends in the middle of a header.
        is_its_own = isinstance(error, av.FFmpegError) and (
            error.errno == errno.EIO or (error.errno == errno.ENOMEM and _has_memory())
        )
        if is_transient(error) and not is_its_own:
            raise run_again(path, error) from error
        words = (getattr(error, "strerror", None) or str(error)).replace("'<none>'", "")
        why = f"it cannot be decoded: {' '.join(words.split()).lower()}"
        # Without a cause that others would take for a failing disk's.
        raise refused(path, why) from (None if is_its_own else error)


def _has_memory() -> bool:
    """Return whether there is memory, so that a damaged length asked for what nobody has."""
    try:
        bytearray(_USUAL_BYTES)
    except MemoryError:
        return False
    return True


def _refuse_other_files(url: str, *_: object) -> Any:
    raise PermissionError(f"it names another file, '{url}'")


def sound_track(container: InputContainer, path: str) -> av.AudioStream:
    """Return the first track of sound.

    Raises:
        MediaError: there is none, or none that is decoded.
    """
    for track in container.streams.audio:
        if _is_decoded(track):
            return track
    kinds = "its sound is of a kind that is not decoded" if container.streams.audio else ""
    raise refused(path, kinds or "it has no sound")


def picture_track(container: InputContainer, path: str) -> av.VideoStream:
    """Return the first track of pictures; a cover that is attached to a sound is none.

    Raises:
        MediaError: there is none, none that is decoded, or its pictures are too large.
    """
    from av.stream import Disposition

    tracks = [t for t in container.streams.video if not t.disposition & Disposition.attached_pic]
    for track in tracks:
        if not _is_decoded(track):
            continue
        context = track.codec_context
        if context.width * context.height > MAX_PIXELS:
            size = f"{context.width} x {context.height}"
            raise refused(path, f"its pictures have {size} pixels, more than {MAX_PIXELS}")
        # Frames may be larger than the header says; the decoder must not allocate them either.
        context.options = {**context.options, "max_pixels": str(MAX_PIXELS)}
        return track
    if tracks:
        raise refused(path, "its pictures are of a kind that is not decoded")
    if container.streams.audio:
        raise refused(path, "it has no pictures, only sound")
    raise refused(path, "it has no pictures")


def _is_decoded(track: Any) -> bool:
    if track.codec_context is None:
        return False
    track.codec_context.thread_count = 1  # many files are decoded side by side already
    return True


def microseconds(ticks: int, time_base: Fraction) -> int:
    """Return a time in whole microseconds, rounded down."""
    return int(ticks * time_base * _MICROSECONDS // 1)


def planar(frame: av.AudioFrame) -> NDArray[np.float32]:
    """Return a frame of sound as (channels, n) samples, at full scale in [-1, 1]."""
    import av
    import numpy as np

    if frame.format.name != "fltp":
        # One for each frame: it holds nothing back, so that times stay those of the frame.
        (frame,) = av.AudioResampler(format="fltp").resample(frame)
    return frame.to_ndarray().astype(np.float32, copy=False)


def timed(frames: Iterator[Any]) -> Iterator[tuple[Any, int]]:
    """Yield decoded frames with their times, in microseconds."""
    time_us = 0
    for frame in frames:
        # Without a time of its own it follows the one before.
        if frame.pts is not None and frame.time_base is not None:
            time_us = microseconds(frame.pts, frame.time_base)
        yield frame, time_us


def upright(frame: av.VideoFrame, path: str) -> NDArray[np.uint8]:
    """Return a frame as it is shown, turned as the video says; pixels are never stretched.

    Returns:
        (h, w, 3) uint8 RGB.

    Raises:
        MediaError: it is not turned by a right angle.
    """
    import numpy as np

    if frame.color_trc in _HDR_TRANSFERS:
        noticed.note(HDR, path)
    pixels = frame.to_ndarray(format="rgb24")
    # A pixel at (x, y) is shown at (a x + c y, b x + d y): frame.rotation would take a mirrored
    # picture for one that is turned.
    a, b, c, d = _display_matrix(frame)
    if b == c == 0 != a * d:
        pixels = pixels[:: 1 if d > 0 else -1, :: 1 if a > 0 else -1]
    elif a == d == 0 != b * c:
        pixels = pixels.transpose(1, 0, 2)[:: 1 if b > 0 else -1, :: 1 if c > 0 else -1]
    else:
        raise refused(path, f"its pictures are turned by {frame.rotation} degrees")
    return np.ascontiguousarray(pixels)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, int, int, int]:
    """Return how a frame is to be turned or mirrored: a, b, c and d of its display matrix."""
    import numpy as np

    parts: Any = frame.side_data
    for part in parts:
        if part.type.name == "DISPLAYMATRIX":
            a, b, _, c, d = np.frombuffer(bytes(part), np.int32)[:5].tolist()
            return a, b, c, d
    return 1, 0, 0, 1
