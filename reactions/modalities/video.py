"""Videos: frames in RGB, upright, by the times at which they are shown; sound is left aside."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.modalities.base import Modality
from reactions.modalities.undecoded import VIDEO_FILES, UndecodedKind, endings

if TYPE_CHECKING:
    from reactions.modalities.videos.frames import Frames, Sampling


def decode(stream: BinaryIO, path: str, *, sampling: Sampling | None = None) -> Frames:
    """Decode the frames of an open video that a rule takes; by default sixteen, evenly spaced.

    Raises:
        MediaError: it cannot be decoded, is cut short, lasts too long or is too large.
        MissingError: PyAV is not installed.
    """
    from reactions.modalities.videos import decoding

    return decoding.decode(stream, path, sampling or decoding.USUAL)


@lru_cache
def sampled(sampling: Sampling) -> Modality:
    """Return the modality of videos of which the frames of one rule are decoded."""
    return replace(VIDEO, decode=partial(decode, sampling=sampling))


def proves_whole(stream: BinaryIO, path: str) -> bool:
    """Look at every packet of a video, decoding none.

    Raises:
        MediaError: it is damaged or cut short, or beyond the limits.
        MissingError: PyAV is not installed.
    """
    from reactions.modalities.videos.decoding import frame_times

    frame_times(stream, path)
    return True


def check_all(stream: BinaryIO, path: str) -> None:
    """Decode every frame of a video.

    Raises:
        MediaError: it is damaged or cut short, or beyond the limits.
        MissingError: PyAV is not installed.
    """
    from reactions.modalities.videos.decoding import check_every_frame

    check_every_frame(stream, path)


def why_unusable(value: Any) -> str:
    """Return why a value is not a video that can be embedded; "" if it is one."""
    from reactions.modalities.videos import frames

    return frames.why_unusable(value)


def digest(value: Any) -> str:
    """Return the tagged digest of frames; "" for anything else."""
    from reactions.modalities.videos import frames

    return frames.digest(value)


def size_bytes(value: Any) -> int:
    """Return what frames take in memory."""
    from reactions.modalities.videos import frames

    return frames.size_bytes(value)


VIDEO = Modality(
    name="video",
    aliases=("videos",),
    suffixes=VIDEO_FILES.suffixes,
    undecoded=(
        UndecodedKind(
            "an animation, of which images show the first frame",
            endings("apng gif webp"),
            "convert it to MP4, as with ffmpeg -i IN OUT.mp4",
        ),
    ),
    form="Frames (reactions.modalities.videos.frames)",
    decode=decode,
    proves_whole=proves_whole,
    check_all=check_all,
    why_unusable=why_unusable,
    digest=digest,
    size_bytes=size_bytes,
)
