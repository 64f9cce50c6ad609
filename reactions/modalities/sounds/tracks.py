"""Sounds that PyAV decodes: AAC, WMA and the like, and the sound of videos.

What FFmpeg does with an encoder's delay is done here, too: its decoders leave out what an edit
list, a codec's delay or a packet's padding says was added. Where MP4s and QuickTime files end is
what their last packet and their edit list say, to the sample.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from reactions.core.errors import MediaError
from reactions.modalities import noticed
from reactions.modalities.sounds import media_ends
from reactions.modalities.sounds.containers import Damage
from reactions.modalities.sounds.samples import Downmix, Limits, Refused
from reactions.modalities.videos.files import open_video, planar, sound_track

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEVERAL_TRACKS = noticed.Kind(
    "{n} sounds lie in files of several tracks of sound, of which the first was taken",
    "1 sound lies in a file of several tracks of sound, of which the first was taken",
)
HOLES = noticed.Kind(
    "{n} sounds have holes in their tracks, which became silence",
    "1 sound has holes in its track, which became silence",
)

_GAP_S = Fraction(1, 10)
"""From here on a hole between two frames is silence; less is rounding of times."""

_ROUNDED_S = Fraction(2, 1000)
"""Edit lists count in such ticks: an end that lies nearer to the last packet's is the same."""

_SLACK_S, _SLACK_SHARE = Fraction(1, 2), Fraction(2, 100)
"""By how much a file may end before its header says."""

_MICROSECONDS = 1_000_000

_LATE_FRAMES = 2
"""Decoders may keep so many frames to themselves at the end, as FFmpeg's for WMA does."""


def decode(
    stream: BinaryIO, path: str, kind: str, limits: Limits, downmix: Downmix
) -> tuple[NDArray[np.float32], int]:
    """Decode the first track of sound to mono, all of it.

    Args:
        stream: of the file.
        path: for messages.
        kind: from ``media_ends.kind_of``.
        limits: held before memory is taken.
        downmix: makes one channel of several.

    Returns:
        (n,) float32 samples in [-1, 1], n >= 1, and the rate in Hz. Holes of the track are silence.

    Raises:
        Refused: it is cut short, empty, beyond the limits, or has no sound.
        MissingError: PyAV is not installed.
    """
    with _opened(stream, path, kind) as (container, track):
        sound, ends = _Sound(limits, downmix), _Ends()
        for packet in container.demux():
            ends.note(packet)
            if packet.stream.index != track.index:
                continue
            if packet.is_corrupt:
                raise Refused("it is cut short or damaged: a packet of sound is not whole")
            for frame in packet.decode():
                sound.add(frame)
        ends.check(container, track, kind)
        sound.finish(track, ends.of(track), ends=kind == "mov")
        if sound.has_holes:
            noticed.note(HOLES, path)
    return np.frombuffer(sound.samples, np.float32), sound.rate_hz


def is_whole(stream: BinaryIO, path: str, kind: str) -> bool:
    """Return whether a file's parts are all there, without decoding any.

    Returns:
        False where only decoding shows it, as of transport streams, which take packets apart.

    Raises:
        MissingError: PyAV is not installed.
    """
    try:
        with _opened(stream, path, kind) as (container, track):
            n, ends = 0, _Ends()
            for packet in container.demux():
                ends.note(packet)
                if packet.stream.index != track.index:
                    continue
                if packet.is_corrupt:
                    return False
                n += packet.size > 0
            ends.check(container, track, kind)
    except Refused:
        return False  # the full try words it
    return n > 0 and kind != "mpegts"


@contextmanager
def _opened(stream: BinaryIO, path: str, kind: str) -> Iterator[tuple[Any, Any]]:
    """Open a whole file and its first track of sound that can be decoded."""
    try:
        media_ends.check_end(stream, kind)
        with open_video(stream, path) as container:
            track = sound_track(container, path)
            if len(container.streams.audio) > 1:
                noticed.note(SEVERAL_TRACKS, path)
            yield container, track
    except Damage as error:
        raise Refused(str(error)) from error
    except MediaError as error:
        raise Refused(error.why, error.fix) from error


class _Ends:
    """When the last packet of each track ends, as far as packets say."""

    def __init__(self) -> None:
        self._ends_s: dict[int, Fraction] = {}
        self._last_s = Fraction(0)

    def note(self, packet: Any) -> None:
        """Note when a packet ends."""
        if not packet.size or packet.pts is None:
            return
        end_s = (packet.pts + (packet.duration or 0)) * Fraction(packet.time_base)
        self._last_s = max(self._last_s, end_s)
        if packet.duration:
            index = packet.stream.index
            self._ends_s[index] = max(end_s, self._ends_s.get(index, end_s))

    def of(self, track: Any) -> Fraction | None:
        """Return when a track ends; None where no packet says."""
        return self._ends_s.get(track.index)

    def check(self, container: Any, track: Any, kind: str) -> None:
        """Refuse what ends well before its header says, where a header says it.

        Raises:
            Refused: it does.
        """
        stated_s = _stated_s(container, track, kind)
        # Tracks of MP4 and QuickTime have lengths of their own.
        end_s = self.of(track) if kind == "mov" else self._last_s
        if end_s is not None and stated_s - end_s > max(_SLACK_S, _SLACK_SHARE * stated_s):
            seconds = f"{float(end_s):.1f} of {float(stated_s):.1f} seconds"
            raise Refused(f"it is cut short: {seconds} are there")


def _stated_s(container: Any, track: Any, kind: str) -> Fraction:
    """Return how long a header says that a track, or its file, is; 0 where none does."""
    if kind == "mov":
        return (track.duration or 0) * Fraction(track.time_base)
    # Where Matroska states no length, FFmpeg guesses one by the rates of bits that it knows.
    coded = (*container.streams.audio, *container.streams.video)
    if kind == "flv" or (kind == "matroska" and not any(stream.bit_rate for stream in coded)):
        return Fraction(container.duration or 0, _MICROSECONDS)
    return Fraction(0)


class _Sound:
    """Samples of one track as they come."""

    def __init__(self, limits: Limits, downmix: Downmix) -> None:
        # Grown in place: a list of frames would hold the sound twice.
        self.samples: array[float] = array("f")
        self.rate_hz = 0
        self.has_holes = False
        self._limits, self._downmix = limits, downmix
        self._channels = self._longest = 0
        self._start_s: Fraction | None = None

    def add(self, frame: Any) -> None:
        """Add a decoded frame, behind silence where the track has a hole before it."""
        channels, rate_hz = len(frame.layout.channels), frame.sample_rate
        if self._start_s is None:
            self.rate_hz, self._channels = rate_hz, channels
            self._downmix.check(channels)
        if (rate_hz, channels) != (self.rate_hz, self._channels):
            raise Refused("it changes its rate or its number of channels", "take it apart")
        hole = self._hole(frame)
        self._limits.check(len(self.samples) + hole + frame.samples, channels, rate_hz)
        if hole:
            self.has_holes = True
            self.samples.frombytes(bytes(hole * self.samples.itemsize))
        if frame.samples:
            self.samples.frombytes(self._downmix.add(planar(frame).T).tobytes())
            self._longest = max(self._longest, frame.samples)

    def _hole(self, frame: Any) -> int:
        """Return how many samples are missing before a frame; 0 where times are but rounded."""
        if frame.pts is None or frame.time_base is None:
            self._start_s = self._start_s or Fraction(0)
            return 0
        time_s = frame.pts * Fraction(frame.time_base)
        if self._start_s is None:
            self._start_s = time_s
        missing_s = time_s - self._start_s - Fraction(len(self.samples), self.rate_hz)
        return round(missing_s * self.rate_hz) if missing_s > _GAP_S else 0

    def finish(self, track: Any, end_s: Fraction | None, *, ends: bool) -> None:
        """Hold what came against what the file says; leave out the padding at its end.

        Args:
            track: of the sound.
            end_s: when its last packet ends, if that is known.
            ends: whether the file's times are exact, and say where the sound ends.
        """
        if not self.samples:
            raise Refused("there is nothing in its track of sound")
        if end_s is None or self._start_s is None:
            return
        if ends and track.duration:
            stated_s = ((track.start_time or 0) + track.duration) * Fraction(track.time_base)
            end_s = stated_s if stated_s < end_s - _ROUNDED_S else end_s
        n, slack = round((end_s - self._start_s) * self.rate_hz), _LATE_FRAMES * self._longest
        if len(self.samples) < n - slack - self.rate_hz * _GAP_S:
            raise Refused(f"it is cut short or damaged: {len(self.samples)} of {n} samples")
        # Padding is never more than that: where it is, the file's times cannot be relied on.
        if ends and 0 < n < len(self.samples) <= n + slack:
            del self.samples[n:]
