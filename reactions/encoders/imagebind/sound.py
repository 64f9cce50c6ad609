"""Sound as ImageBind takes it: three clips of two seconds, each a log-mel spectrogram.

The published preprocessing runs on torchaudio, in single precision. This is the same
arithmetic in the same precision, which shows in quiet bands; it looks only at the samples
that end up in a clip.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reactions.encoders.base import Unusable
from reactions.encoders.imagebind.sizes import CLIPS, FRAMES, MELS
from reactions.encoders.preprocessing.waveforms import note_unheard, unheard

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 16_000
CLIP_SAMPLES = 2 * RATE_HZ
_USED_S = CLIPS * CLIP_SAMPLES / RATE_HZ
LIMITS = (unheard(_USED_S),)

_WINDOW, _HOP, _FFT = 400, 160, 512  # 25 ms, 10 ms
_LOWEST_HZ, _PREEMPHASIS = 20.0, 0.97
_FLOOR = torch.finfo(torch.float32).eps
_MEAN, _STD = -4.268, 9.138
_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99

MIN_SAMPLES = _WINDOW
"""At 16 kHz; less does not fill one window, and is padded."""


def clips(samples: NDArray[np.float32], rate_hz: int) -> NDArray[np.float32]:
    """Cut a sound into three clips and turn each into a normalised log-mel spectrogram.

    A sound too short for one window is followed by silence until it fills one.

    They are the first two seconds, the middle two and the last two; a sound under two seconds
    gives the same clip three times. (So says the commit of pytorchvideo that ImageBind pins;
    the package's releases up to 0.1.5 leave the last third out.)

    Args:
        samples: (n,) finite, mono.
        rate_hz: samples a second.

    Returns:
        (3, 1, 128, 204) float32: clip, channel, mel band from low to high, frame.

    Raises:
        Unusable: there are no samples.
    """
    if len(samples) == 0:
        raise Unusable("audio", "it has no samples")
    if resampled_length(len(samples), rate_hz) < MIN_SAMPLES:
        # The published code fails here; a click is not a reason to end a run over a corpus.
        least = math.ceil(MIN_SAMPLES * rate_hz / RATE_HZ)
        samples = np.pad(samples, (0, least - len(samples)))
    n = resampled_length(len(samples), rate_hz)
    note_unheard(n, CLIPS * CLIP_SAMPLES, _USED_S)
    starts = clip_starts(n)
    means: list[Tensor] = []
    out = torch.zeros(CLIPS, 1, MELS, FRAMES)
    for i, start in enumerate(starts):
        cut = resample(samples, rate_hz, start, min(start + CLIP_SAMPLES, n))
        clip = torch.from_numpy(cut)
        # The published code takes a clip's mean away in place, where clips overlap also from
        # those that follow. Every frame loses its mean again below, so that this shows only
        # in the frames across an edge, and there only with an offset; we follow it (for
        # one channel: of stereo files the published mean is that of both).
        for earlier, mean in zip(starts, means, strict=False):
            clip[: max(0, earlier + CLIP_SAMPLES - start)] -= mean
        means.append(clip.mean())
        bands = log_mel(clip - means[-1])[:FRAMES]
        out[i, 0, :, : len(bands)] = bands.T  # what is missing stays 0, before normalising
    return ((out - _MEAN) / _STD).numpy()


def clip_starts(n: int) -> list[int]:
    """Return the first sample of each clip of a sound of n samples at 16 kHz."""
    # The seconds are rounded to a float first, as published: it can cost a sample.
    spare_s = Fraction(max(n / RATE_HZ - CLIP_SAMPLES / RATE_HZ, 0.0))
    return [int(spare_s / (CLIPS - 1) * i * RATE_HZ) for i in range(CLIPS)]


def resampled_length(n: int, rate_hz: int) -> int:
    """Return how many samples n samples at ``rate_hz`` become at 16 kHz."""
    if rate_hz == RATE_HZ:
        return n
    shared = math.gcd(rate_hz, RATE_HZ)
    exact = n * (RATE_HZ // shared) / (rate_hz // shared)
    return math.ceil(np.float32(exact))  # in single precision, as published


def resample(
    samples: NDArray[np.float32], rate_hz: int, start: int, stop: int
) -> NDArray[np.float32]:
    """Return samples ``start`` to ``stop`` of a sound brought to 16 kHz.

    Band-limited interpolation by a sinc in a Hann window of six zero crossings, zeros
    beyond both ends (torchaudio's default, written as one short filter for each phase).

    Args:
        samples: (n,) at ``rate_hz``.
        rate_hz: samples a second.
        start: first sample at 16 kHz, >= 0.
        stop: last one, exclusive.

    Returns:
        (stop - start,) float32, memory of its own.
    """
    if rate_hz == RATE_HZ:
        return samples[start:stop].astype(np.float32)
    filters, reach = _filters(rate_hz)
    phases = len(filters)
    step = rate_hz // math.gcd(rate_hz, RATE_HZ)  # `phases` samples out for `step` in
    positions = np.arange(start, stop)
    centres = positions * step // phases
    first, last = int(centres[0]) - reach, int(centres[-1]) + reach + 2
    inside = samples[max(0, first) : max(0, last)]
    before = max(0, -first)
    padded = np.pad(inside, (before, max(0, last - first - before - len(inside))))
    taps = np.lib.stride_tricks.sliding_window_view(padded, filters.shape[1])
    # (stop - start, taps): what is around each output, with the filter of its phase.
    out: NDArray[np.float32] = np.einsum(
        "ij,ij->i", taps[centres - reach - first], filters[positions % phases]
    )
    return out


@lru_cache(maxsize=8)
def _filters(rate_hz: int) -> tuple[NDArray[np.float32], int]:
    """Return a filter for each phase, (phases, 2 * reach + 2), and how far it reaches."""
    shared = math.gcd(rate_hz, RATE_HZ)
    step, phases = rate_hz // shared, RATE_HZ // shared
    cutoff_hz = min(step, phases) * _ROLLOFF  # in units of `shared`
    reach = math.ceil(_ZERO_CROSSINGS * step / cutoff_hz)
    single = np.float32
    phase = np.arange(phases)[:, None]
    taps = phase * step // phases + np.arange(-reach, reach + 2)
    # Seconds between sample and tap, as a difference of two rounded times: where rates share
    # little, the rounding is audible in the published features.
    t = taps.astype(single) / single(step) - phase.astype(single) / single(phases)
    # Beyond the last zero crossing the Hann window, below, is 0.
    t = np.clip(t * single(cutoff_hz), single(-_ZERO_CROSSINGS), single(_ZERO_CROSSINGS))
    window = np.cos(t * single(math.pi / (2 * _ZERO_CROSSINGS))) ** 2
    angle = t * single(math.pi)
    sinc = np.where(angle == 0, single(1), np.sin(angle) / np.where(angle == 0, single(1), angle))
    return sinc * window * single(cutoff_hz / step), reach


def log_mel(samples: Tensor) -> Tensor:
    """Return log energies in mel bands, as Kaldi computes them.

    Args:
        samples: (n,) float32 at 16 kHz, n >= 400.

    Returns:
        (1 + (n - 400) // 160, 128) float32: natural logarithms, at least that of float32's
        epsilon.
    """
    frames = samples.unfold(0, _WINDOW, _HOP)
    frames = frames - frames.mean(dim=1, keepdim=True)
    # Kaldi takes a frame's first sample also for the one before it.
    before = torch.cat([frames[:, :1], frames[:, :-1]], dim=1)
    window = torch.hann_window(_WINDOW, periodic=False)
    spectrum = torch.fft.rfft((frames - _PREEMPHASIS * before) * window, _FFT)
    power = spectrum[:, :-1].abs().square()  # the Nyquist bin is in no band
    out: Tensor = (power @ _mel_bands()).clamp_min(_FLOOR).log()
    return out


@lru_cache(maxsize=1)
def _mel_bands() -> Tensor:
    """Return (256, 128) triangles, evenly spaced in mel from 20 Hz to 8 kHz.

    In single precision, as published: the lowest bands hold little more than the edge of a
    triangle on one bin, where rounding shows.
    """
    low, high = (1127 * math.log(1 + hertz / 700) for hertz in (_LOWEST_HZ, RATE_HZ / 2))
    width = (high - low) / (MELS + 1)
    left, centre, right = (low + (torch.arange(MELS) + i) * width for i in (0.0, 1.0, 2.0))
    hertz = RATE_HZ / _FFT * torch.arange(_FFT // 2)[:, None]
    mel = 1127 * (1 + hertz / 700).log()
    rising, falling = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.minimum(rising, falling).clamp_min(0.0)
