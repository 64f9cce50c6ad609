"""Log-mel spectrograms in torch, equal to torchaudio's and librosa's up to rounding.

CLAP was trained on two filter banks: fused models on torchaudio's default (HTK mel scale,
peak 1), the others on librosa's (Slaney scale, unit area).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scale: TypeAlias = Literal["htk", "slaney"]

_FLOOR = 1e-10
"""Power below which everything is -100 dB."""

_BLOCK_FRAMES = 8192
"""Frames transformed at once: 67 MB for 1024-point windows, however long the sound."""


def log_mel(
    samples: NDArray[np.float32],
    *,
    rate_hz: int,
    fft: int,
    hop: int,
    mels: int,
    low_hz: float,
    high_hz: float,
    scale: Scale,
) -> NDArray[np.float32]:
    """Return the power mel spectrogram in dB, frames centred, ends mirrored.

    Args:
        samples: (n,) float32, n > fft / 2.
        rate_hz: of the samples.
        fft: window and transform length, in samples; a periodic Hann window.
        hop: samples between frames.
        mels: number of filters.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter.
        scale: which filter bank.

    Returns:
        (n // hop + 1, mels) float32, >= -100.
    """
    # Mirrored here, not by stft: a block must not be mirrored at ends that are not the sound's.
    padded = torch.from_numpy(np.pad(samples, fft // 2, mode="reflect"))
    window = torch.hann_window(fft)
    filters = torch.from_numpy(mel_filters(rate_hz, fft, mels, low_hz, high_hz, scale))
    frames = len(samples) // hop + 1
    out = np.empty((frames, mels), np.float32)
    for start in range(0, frames, _BLOCK_FRAMES):
        stop = min(frames, start + _BLOCK_FRAMES)
        part = padded[start * hop : (stop - 1) * hop + fft]
        out[start:stop] = _decibels(part, window, filters, hop).numpy()
    return out


def _decibels(part: Tensor, window: Tensor, filters: Tensor, hop: int) -> Tensor:
    spectrum = torch.stft(
        part, len(window), hop, window=window, center=False, return_complex=True
    )  # (fft / 2 + 1, frames)
    power = spectrum.real.square() + spectrum.imag.square()
    # (fft / 2 + 1, frames) -> (frames, mels)
    return (power.T @ filters).clamp_min_(_FLOOR).log10_().mul_(10.0)


@lru_cache(maxsize=8)
def mel_filters(
    rate_hz: int, fft: int, mels: int, low_hz: float, high_hz: float, scale: Scale
) -> NDArray[np.float32]:
    """Return (fft // 2 + 1, mels) triangular filters; Slaney's have unit area, in 1/Hz."""
    ends = _to_mel(np.array([low_hz, high_hz]), scale)
    edges = _to_hertz(np.linspace(ends[0], ends[1], mels + 2), scale)
    bins = np.linspace(0.0, rate_hz / 2, fft // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    filters = np.maximum(0.0, np.minimum(rising, falling))
    if scale == "slaney":
        filters *= 2.0 / (edges[2:] - edges[:-2])
    return filters.astype(np.float32)


# Slaney's Auditory Toolbox: linear to 1 kHz (200/3 Hz a mel), then 27 mels for each factor 6.4.
_BREAK_HZ, _HZ_PER_MEL, _LOG_STEP = 1000.0, 200.0 / 3.0, float(np.log(6.4)) / 27.0


def _to_mel(hertz: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "htk":
        return 2595.0 * np.log10(1.0 + hertz / 700.0)
    # np.where evaluates both branches: the maximum avoids the logarithm of 0.
    above = _BREAK_HZ / _HZ_PER_MEL + np.log(np.maximum(hertz, 1.0) / _BREAK_HZ) / _LOG_STEP
    return np.where(hertz < _BREAK_HZ, hertz / _HZ_PER_MEL, above)


def _to_hertz(mel: NDArray[np.float64], scale: Scale) -> NDArray[np.float64]:
    if scale == "htk":
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    knee = _BREAK_HZ / _HZ_PER_MEL
    above = _BREAK_HZ * np.exp(_LOG_STEP * (mel - knee))
    return np.where(mel < knee, mel * _HZ_PER_MEL, above)
