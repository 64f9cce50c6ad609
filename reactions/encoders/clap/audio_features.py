"""The input of CLAP's audio tower: ten seconds at 48 kHz, or four views of a longer sound.

The published code crops longer sounds at random, so that one clip gets many embeddings. Here
every position is fixed: the middle, or the middles of three thirds.

It also resamples with librosa, whose lengths are one sample too long at 44.1 kHz: five seconds
no longer fit twice into ten, and half of the model's input for an ESC-50 clip is silence.
Here lengths are exact, and such a clip fits twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import torch

from reactions.encoders.preprocessing.log_mel import Scale, log_mel
from reactions.encoders.preprocessing.waveforms import clipped, note_unheard, unheard
from reactions.modalities.audio import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

Padding: TypeAlias = Literal["repeatpad", "repeat", "pad"]


@dataclass(frozen=True, slots=True)
class ClapAudioConfig:
    """How a CLAP model wants its sounds.

    Attributes:
        fused: the model mixes three crops into the view of a longer sound; otherwise
            longer sounds are cut to their middle.
        rate_hz: samples a second.
        samples: length of one view, more than ``fft``.
        fft: window of the spectrogram, in samples.
        hop: samples between its frames.
        mels: its mel filters.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter.
        padding: ``"repeatpad"`` repeats a shorter sound as often as it fits and adds
            silence, ``"repeat"`` goes on repeating, ``"pad"`` only adds silence.
        quantised: samples make the round trip through 16-bit integers, as in training.

    Raises:
        ValueError: numbers that no spectrogram can be made with.
    """

    fused: bool
    rate_hz: int = 48_000
    samples: int = 480_000
    fft: int = 1024
    hop: int = 480
    mels: int = 64
    low_hz: float = 50.0
    high_hz: float = 14_000.0
    padding: Padding = "repeatpad"
    quantised: bool = True

    def __post_init__(self) -> None:
        numbers = (self.rate_hz, self.fft, self.hop, self.mels)
        if min(numbers) < 1 or not 0 <= self.low_hz < self.high_hz <= self.rate_hz / 2:
            raise ValueError("a rate, size or frequency is out of range")
        if self.samples <= self.fft:
            raise ValueError(f"{self.samples} samples are not longer than a window of {self.fft}")
        if self.padding not in get_args(Padding):
            raise ValueError(f"padding is {self.padding!r}, not one of {get_args(Padding)}")

    @property
    def seconds(self) -> float:
        """Length of one view."""
        return self.samples / self.rate_hz

    @property
    def limits(self) -> tuple[str, ...]:
        """What ``features`` notes; a fused model sees all of a longer sound, shrunk."""
        return () if self.fused else (unheard(self.seconds),)

    @property
    def scale(self) -> Scale:
        """The filter bank: torchaudio's for fused models, librosa's for the others."""
        return "htk" if self.fused else "slaney"

    @property
    def frames(self) -> int:
        """Frames of one view's spectrogram."""
        return self.samples // self.hop + 1

    def spectrogram(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the (frames, mels) float32 log-mel spectrogram of samples at ``rate_hz``."""
        return log_mel(
            samples,
            rate_hz=self.rate_hz,
            fft=self.fft,
            hop=self.hop,
            mels=self.mels,
            low_hz=self.low_hz,
            high_hz=self.high_hz,
            scale=self.scale,
        )


def features(sound: Any, audio_config: ClapAudioConfig) -> NDArray[np.float32]:
    """Return the log-mel views of a decoded sound.

    Args:
        sound: a ``Waveform``.
        audio_config: of the model.

    Returns:
        (views, frames, mels) float32 in dB: one view, or four for a sound that a fused
        model treats as longer: all of it shrunk, then crops from its first, middle and last
        third.

    Raises:
        MediaError: it is not a usable sound.
    """
    samples = resample(clipped(sound), audio_config.rate_hz).samples
    if audio_config.quantised:
        samples = quantise(samples)
    if len(samples) < audio_config.samples:
        samples = _fill(samples, audio_config)
    elif len(samples) > audio_config.samples and not audio_config.fused:
        note_unheard(len(samples), audio_config.samples, audio_config.seconds)
        start = (len(samples) - audio_config.samples) // 2
        samples = samples[start : start + audio_config.samples]
    mel = audio_config.spectrogram(samples)
    # Less than a hop over the length adds no frame: such a sound is not longer, as published.
    if len(mel) == audio_config.frames:
        return mel[None]
    crops = [
        mel[start : start + audio_config.frames]
        for start in crop_starts(len(mel), audio_config.frames)
    ]
    return np.stack([_shrink(mel, audio_config.frames), *crops])


def quantise(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return samples in [-1, 1] after the round trip through 16-bit integers."""
    # astype cuts towards zero, as laion_clap's own conversion does.
    return ((samples * np.float32(32767.0)).astype(np.int16) / 32767.0).astype(np.float32)


def crop_starts(total: int, frames: int) -> tuple[int, int, int]:
    """Return where the three crops of a longer spectrogram begin.

    The possible beginnings are cut into thirds, the first ones longer where they do not
    divide evenly, and each crop takes the middle of its third. A third without any
    beginning takes the first frame.

    Args:
        total: frames of the spectrogram.
        frames: frames of a crop, < total.
    """
    thirds = np.array_split(np.arange(total - frames + 1), 3)
    first, middle, last = (int(third[len(third) // 2]) if len(third) else 0 for third in thirds)
    return first, middle, last


def _shrink(mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    # Without antialiasing, as the torchvision did with which these models were trained.
    # Newer ones smooth by default, which the published code does not switch off.
    shrunk = torch.nn.functional.interpolate(
        torch.from_numpy(mel)[None, None], size=(frames, mel.shape[1]), mode="bilinear"
    )
    return shrunk[0, 0].numpy()


def _fill(samples: NDArray[np.float32], audio_config: ClapAudioConfig) -> NDArray[np.float32]:
    if audio_config.padding == "repeat":
        # np.resize repeats what is there; the method of arrays would add zeros.
        return np.resize(samples, audio_config.samples)
    out = np.zeros(audio_config.samples, np.float32)
    times = audio_config.samples // len(samples) if audio_config.padding == "repeatpad" else 1
    out[: times * len(samples)] = np.tile(samples, times)
    return out
