"""Sounds: waveforms of one channel, decoded to their ends at their own rate."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from reactions.core.errors import MediaError
from reactions.core.types import Waveform
from reactions.modalities import noticed
from reactions.modalities.base import Modality
from reactions.modalities.undecoded import SOUND_FILES, VIDEO_FILES, UndecodedKind, endings

if TYPE_CHECKING:
    from reactions.modalities.encoded import Source
    from reactions.modalities.sounds.samples import Limits

CANCELLED = noticed.Kind(
    "{n} sounds lost most of their energy when their channels, of opposite phase, were averaged; "
    "keep one: ffmpeg -i IN -af 'pan=mono|c0=c0' OUT",
    "1 sound lost most of its energy when its channels, of opposite phase, were averaged; "
    "keep one: ffmpeg -i IN -af 'pan=mono|c0=c0' OUT",
)

CLIPPED = noticed.Kind(
    "{n} sounds are louder than full scale: more than a hundredth of their samples were clipped; "
    "scale them to [-1, 1]",
    "1 sound is louder than full scale: more than a hundredth of its samples were clipped; "
    "scale it to [-1, 1]",
)
SILENT = noticed.Kind(
    "{n} sounds are silent: every sample is 0", "1 sound is silent: every sample is 0"
)
MISSED = noticed.Kind(
    "{n} sounds are silent in the one channel of several that a space takes",
    "1 sound is silent in the one channel of several that a space takes",
)

MIN_RATE_HZ, MAX_RATE_HZ = 100, 384_000
"""What every encoder of sounds takes."""

MAX_SAMPLES = 1 << 28
"""Samples times channels of one file: 46 minutes of 48 kHz stereo."""

MAX_SECONDS = 3600
"""An hour, whatever its rate: it is resampled to what an encoder takes, up to 48 kHz."""


def load_audio(source: Source, *, channel: int | None = None) -> Waveform:
    """Decode a sound to mono, at its own rate.

    Lengths come from what is there, never from an estimate: all frames of an MP3 count, with or
    without a length header; joined MP3s and chained OGGs are read to their ends; a chunk of
    samples must be as long as its header says, where it says so.

    Args:
        source: a sound in one of ``sounds.decoding.FORMATS``, or of a kind of
            ``sounds.media_ends``, whatever its name ends in; of a video its first track of sound.
        channel: the one to keep, from 0; None takes the mean of all.

    Returns:
        (n,) float32 samples in [-1, 1], n >= 1; overshoot of float files is clipped.

    Raises:
        MediaError: the file is missing, not a sound, empty, cut short, too long, not finite
            or not in [-1, 1]; ``fields["path"]`` names it.
        DataError: the tar or the server it lies in cannot be read.
        MissingError: PyAV is needed, and not installed.
    """
    waveform: Waveform = (AUDIO if channel is None else of_channel(channel)).load(source)
    return waveform


def of_channel(channel: int) -> Modality:
    """Return the modality of sounds of which one channel is kept, from 0."""
    return replace(AUDIO, decode=partial(decode, channel=channel))


def decode(stream: BinaryIO, path: str, *, channel: int | None = None) -> Waveform:
    """Decode an open sound as ``load_audio`` does."""
    from reactions.modalities.sounds import decoding, media_ends, tracks
    from reactions.modalities.sounds.samples import Downmix, Refused

    downmix = Downmix(channel)
    try:
        if kind := media_ends.kind_of(stream):
            waveform = Waveform(*tracks.decode(stream, path, kind, _limits(), downmix))
        else:
            waveform = Waveform(*decoding.decode(stream, _limits(), downmix))
        for kind_noted, is_so in (
            (CANCELLED, downmix.cancels),
            (CLIPPED, downmix.clips),
            (SILENT, downmix.is_silent),
            (MISSED, downmix.misses),
        ):
            if is_so:
                noticed.note(kind_noted, path)
        return waveform
    except Refused as error:
        raise MediaError(
            f"cannot use the audio '{path}'", why=error.why, fix=error.fix, path=path
        ) from error


def proves_whole(stream: BinaryIO, path: str) -> bool:
    """Return whether header and end prove a sound whole."""
    from reactions.modalities.sounds import decoding, media_ends, tracks

    if kind := media_ends.kind_of(stream):
        return tracks.is_whole(stream, path, kind)
    return decoding.is_whole(stream, _limits())


def why_unusable(value: Any) -> str:
    """Return why a value is not a sound that can be embedded; "" if it is one."""
    import numpy as np

    if not isinstance(value, Waveform) or value.samples.ndim != 1 or len(value.samples) == 0:
        return "it needs a waveform of at least one sample"
    if not MIN_RATE_HZ <= value.rate_hz <= MAX_RATE_HZ:
        return f"it needs a rate of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, not {value.rate_hz}"
    if not np.isfinite(value.samples).all():
        return "it needs finite samples"
    return ""


def resample(waveform: Waveform, rate_hz: int) -> Waveform:
    """Resample to ``rate_hz`` with soxr's high-quality band-limited filter.

    Returns:
        round(n * rate_hz / waveform.rate_hz) samples, at least 1, clipped to [-1, 1];
        the same object when the rate already fits.
    """
    if waveform.rate_hz == rate_hz:
        return waveform
    import numpy as np
    import soxr

    samples = soxr.resample(waveform.samples, waveform.rate_hz, rate_hz, quality="HQ")
    # A band-limited filter overshoots at steps.
    np.clip(samples, -1.0, 1.0, out=samples)
    # soxr's length may miss the rounded ratio by a sample, or be 0 for a click.
    n = max(1, round(len(waveform.samples) * rate_hz / waveform.rate_hz))
    if len(samples) != n:
        samples = np.pad(samples[:n], (0, max(0, n - len(samples))))
    return Waveform(samples, rate_hz)


def _limits() -> Limits:
    from reactions.modalities.sounds.samples import Limits

    return Limits(MIN_RATE_HZ, MAX_RATE_HZ, MAX_SAMPLES, MAX_SECONDS)


_OF_VIDEOS = endings(
    "3g2 3gp asf avi divx f4v flv m2ts m4v mk3d mkv mov mp4 mts ogm ogv ogx qt ts webm wmv"
)
"""Their sound is taken where sounds are asked for: of those that show whether they are whole."""

_CONVERT = "convert it to FLAC or WAV, as with ffmpeg -i IN OUT.flac"

AUDIO = Modality(
    name="audio",
    letter="A",
    aliases=("audios", "sound", "sounds"),
    suffixes=(
        *endings(
            "8svx aif aifc aiff amb au bwf caf flac mp1 mp2 mp3 mpa mpga nist oga ogg opus rf64 "
            "snd sph svx w64 wav wave"
        ),
        *SOUND_FILES,
    ),
    shared=_OF_VIDEOS,
    packaged=(*SOUND_FILES, *_OF_VIDEOS),
    undecoded=(
        UndecodedKind("protected AAC sound", endings("aax m4p"), _CONVERT),
        UndecodedKind(
            "a sound of a format that is not decoded here",
            endings(
                "ac3 act aa alac amr ape awb avr dff dsf dss dts dtshd eac3 gsm htk ircam "
                "mlp mpc mpp paf pvf ra raw rm sd2 sds sf shn spx tak thd tta voc vox wv "
                "wve xi"
            ),
            _CONVERT,
        ),
        UndecodedKind(
            "notes, not sound",
            endings("it kar mid midi mod s3m xm"),
            "render it to FLAC or WAV with a synthesizer",
        ),
        UndecodedKind(
            "a video whose sound is not decoded here",
            tuple(suffix for suffix in VIDEO_FILES.suffixes if suffix not in _OF_VIDEOS),
            "take out its sound: ffmpeg -i IN OUT.flac",
        ),
    ),
    form="a Waveform",
    decode=decode,
    buffered=False,  # libsndfile reads from the descriptor itself
    proves_whole=proves_whole,
    why_unusable=why_unusable,
    check_version=1,
)
