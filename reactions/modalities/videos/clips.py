"""Clips of videos: where one lies in its file, its sound, and a picture of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias

import numpy as np

from reactions.core.addresses import is_url
from reactions.core.errors import MediaError
from reactions.core.hashing import digest
from reactions.core.storage import Blob, open_binary
from reactions.core.types import Digest
from reactions.modalities.audio import MAX_RATE_HZ, MAX_SAMPLES, MIN_RATE_HZ
from reactions.modalities.videos.choice import CLIP_VERSION, ClipChoice
from reactions.modalities.videos.files import (
    open_video,
    picture_track,
    planar,
    refused,
    sound_track,
    timed,
    upright,
)
from reactions.modalities.videos.packets import SECOND_US, spans

if TYPE_CHECKING:
    from numpy.typing import NDArray

Half: TypeAlias = Literal["sound", "picture"]

_LEAD_US = SECOND_US
"""What is decoded before a clip's sound: decoders need some frames until they are right."""

_GAP_US = 100_000
"""From here on a hole between two frames of sound is silence; less is rounding of times."""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of one file, in whole microseconds of its own time.

    Attributes:
        start_us: where it begins.
        length_us: how long it is.
        picture_us: when its picture is shown.
    """

    start_us: int
    length_us: int
    picture_us: int


@dataclass(frozen=True, slots=True)
class ClipHalf(Blob):
    """The sound or the picture of a clip, encoded when it is read: as WAV, and as PPM.

    Attributes:
        clip: where it lies in the file.
        half: which of the two.
    """

    clip: Clip = field(default_factory=lambda: Clip(0, 0, 0))
    half: Half = "sound"

    def __str__(self) -> str:
        return f"{self.url} ({self.half})"

    def read(self) -> bytes:
        """Decode the sound or the picture, and return it encoded without loss.

        Raises:
            MissingError: the file is gone, or PyAV is not installed.
            MediaError: it cannot be decoded.
            DataError: it cannot be read.
        """
        read_half = sound_bytes if self.half == "sound" else picture_bytes
        with open_file(self.url) as stream:
            return read_half(stream, self.url, self.clip)


def open_file(url: str) -> BinaryIO:
    """Open a video; one that lies elsewhere is read whole.

    Raises:
        MissingError: it is not there.
        DataError: it cannot be read.
    """
    return io.BytesIO(Blob(url).read()) if is_url(url) else open_binary(url)


def half_tag(half: Half, clip: Clip, sha256: Digest) -> str:
    """Return the tagged content digest of a half: of the file, and of what is taken from it.

    Args:
        half: which of the two.
        clip: where it lies in the file.
        sha256: of the file.
    """
    if half == "picture":
        return f"picture:{digest('picture', [CLIP_VERSION, clip.picture_us, sha256])}"
    return f"sound:{digest('sound', [CLIP_VERSION, clip.start_us, clip.length_us, sha256])}"


# --- where a clip lies -------------------------------------------------------------------


def find_clip(stream: BinaryIO, path: str, choice: ClipChoice) -> Clip:
    """Return where a video's clip lies; every packet is looked at, and none decoded.

    Args:
        stream: of the file.
        path: for messages.
        choice: of the clip.

    Raises:
        MediaError: it has no sound or no pictures, is damaged, or is cut short.
    """
    with open_video(stream, path) as container:
        sound_index = sound_track(container, path).index
        pictures_index = picture_track(container, path).index
        tracks = spans(container, path)
        sound, pictures = tracks[sound_index], tracks[pictures_index]
        for span, what in ((sound, "sound"), (pictures, "pictures")):
            if span.n == 0:
                raise refused(path, f"there is nothing in its track of {what}")
            if span.is_damaged:
                raise refused(path, f"it is cut short or damaged: a packet of {what} is not whole")
    start_us = max(sound.start_us, pictures.start_us)
    # A single picture is shown for as long as the sound lasts.
    end_us = sound.end_us if pictures.n == 1 else min(sound.end_us, pictures.end_us)
    if end_us <= start_us:
        raise refused(path, "its sound and its pictures do not overlap")
    length_us = min(end_us - start_us, round(choice.seconds * SECOND_US))
    start_us += round(choice.at * (end_us - start_us - length_us))
    return Clip(start_us, length_us, start_us + round(choice.picture_at * length_us))


# --- what it holds -----------------------------------------------------------------------


def sound_bytes(stream: BinaryIO, path: str, clip: Clip) -> bytes:
    """Decode the sound of a clip.

    Returns:
        A WAV of float samples, all channels, at its own rate; silence where the track has holes,
        and no longer than it lasts.

    Raises:
        MediaError: there is none, or it cannot be decoded.
    """
    import soundfile

    stop_us = clip.start_us + clip.length_us
    samples: NDArray[np.float32] | None = None
    rate_hz = filled = 0
    for frame, time_us in _frames(stream, path, "sound", clip.start_us - _LEAD_US):
        if samples is None:
            rate_hz = frame.sample_rate
            samples = _silence(path, len(frame.layout.channels), rate_hz, clip)
            next_us = time_us
        if frame.sample_rate != rate_hz or len(frame.layout.channels) != len(samples):
            raise refused(path, "its sound changes its rate or its number of channels")
        if time_us - next_us > _GAP_US or next_us - time_us > _GAP_US:
            next_us = time_us
        if next_us >= stop_us:
            break
        values = planar(frame)
        at = round((next_us - clip.start_us) * rate_hz / SECOND_US)
        skip = max(0, -at)
        part = values[:, skip : skip + max(0, samples.shape[1] - max(0, at))]
        samples[:, max(0, at) : max(0, at) + part.shape[1]] = part
        filled = max(filled, max(0, at) + part.shape[1]) if part.shape[1] else filled
        next_us += round(values.shape[1] * SECOND_US / rate_hz)
    if samples is None or filled == 0:
        raise refused(path, "its clip has no sound")
    encoded = io.BytesIO()
    soundfile.write(encoded, samples[:, :filled].T, rate_hz, format="WAV", subtype="FLOAT")
    return encoded.getvalue()


def _silence(path: str, channels: int, rate_hz: int, clip: Clip) -> NDArray[np.float32]:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise refused(path, f"the rate of its sound is {rate_hz} Hz")
    n = max(1, round(clip.length_us * rate_hz / SECOND_US))
    if n * channels > MAX_SAMPLES:
        raise refused(path, f"its clip holds {n} frames of {channels} channels", "make it shorter")
    return np.zeros((channels, n), np.float32)


def picture_bytes(stream: BinaryIO, path: str, clip: Clip) -> bytes:
    """Decode the picture that is shown at a clip's time, upright as the video is shown.

    Pixels are as they are stored: those that are not square are not stretched.

    Returns:
        A PPM of RGB pixels.

    Raises:
        MediaError: there is none, or it cannot be decoded.
    """
    shown = None
    for frame, time_us in _frames(stream, path, "picture", clip.picture_us):
        if shown is not None and time_us > clip.picture_us:
            break
        shown = frame
    if shown is None:
        raise refused(path, "its clip has no picture")
    if shown.is_corrupt:
        raise refused(path, "the picture of its clip is damaged")
    pixels = upright(shown, path)
    height, width, _ = pixels.shape
    return b"P6\n%d %d\n255\n" % (width, height) + pixels.tobytes()


def _frames(stream: BinaryIO, path: str, half: Half, from_us: int) -> Iterator[tuple[Any, int]]:
    """Yield decoded frames and their times, the first of them at a time or before it.

    Where the file's index does not lead there, and before the first frame, from the start.
    """
    import av

    for seeks in (True, False):
        with open_video(stream, path) as container:
            track: Any = (sound_track if half == "sound" else picture_track)(container, path)
            if seeks:
                try:
                    container.seek(max(0, from_us))
                except av.FFmpegError:  # it has no index
                    continue
            frames = timed(container.decode(track))
            first = next(frames, None)
            if seeks and (first is None or first[1] > from_us):
                continue
            if first is not None:
                yield first
                yield from frames
            return


def check_clip(stream: BinaryIO, path: str, clip: Clip) -> None:
    """Decode both halves of a clip, as they will be when they are embedded.

    Raises:
        MediaError: one cannot be decoded.
        DataError: the file cannot be read.
    """
    from reactions.modalities.audio import load_audio
    from reactions.modalities.image import load_image

    try:
        load_audio(sound_bytes(stream, path, clip))
        load_image(picture_bytes(stream, path, clip))
    except MediaError as error:
        raise refused(path, error.why) from error
