"""What the mini lab's networks take: small pictures, half seconds of sound, hashed words."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from reactions.core.left_out import longer_than, note
from reactions.core.types import Waveform
from reactions.encoders.preprocessing.image_transform import note_cropped
from reactions.encoders.preprocessing.waveforms import note_unheard, unheard
from reactions.modalities.audio import resample

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32
RATE_HZ = 8000
SAMPLES = 4000
WORD_BUCKETS, GRAM_BUCKETS = 4096, 2048
MAX_WORDS, MAX_GRAMS = 64, 320

SOUND_LIMITS = (unheard(SAMPLES / RATE_HZ),)
TEXT_LIMITS = (longer_than(f"{MAX_WORDS} words"), longer_than(f"{MAX_GRAMS} letter trigrams"))
"""What is noted of items."""

_FFT, _HOP, _MELS = 256, 125, 32
_LOUDNESS, _QUIET = 0.1, 1e-4  # root mean square after levelling; below which not levelled
_WORD = re.compile(r"\w+|[^\w\s]")


# --- batches -------------------------------------------------------------------------


def image_features(pixels: NDArray[np.uint8] | Tensor) -> Tensor:
    """Scale (n, 32, 32, 3) uint8 to (n, 3, 32, 32) float32 in about [-1, 1]."""
    return torch.as_tensor(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def audio_features(samples: Tensor) -> Tensor:
    """Log-mel spectrograms of levelled sound.

    Args:
        samples: (n, 4000) float32 at 8 kHz.

    Returns:
        (n, 1, 32, 33) float32, about zero mean and unit scale, on the device of ``samples``.
    """
    level = samples.square().mean(dim=1, keepdim=True).sqrt()
    levelled = samples * (_LOUDNESS / level.clamp_min(_QUIET))
    window = torch.hann_window(_FFT, device=samples.device)
    spectrum = torch.stft(
        levelled, _FFT, _HOP, window=window, center=True, pad_mode="constant", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()
    mel = _mel_filters().to(samples.device) @ power
    return ((mel + 1e-3).log10()[:, None] + 0.5) * 0.8


def text_features(texts: Sequence[str]) -> Tensor:
    """Hash words and letter trigrams: (n, 64 + 320) int64 bucket numbers, 0 for none."""
    return padded([buckets(text) for text in texts], MAX_GRAMS)


def padded(texts: Sequence[tuple[NDArray[np.int64], ...]], n_grams: int = 1) -> Tensor:
    """Lay hashed texts side by side.

    Args:
        texts: from ``buckets``.
        n_grams: room for at least so many trigrams.

    Returns:
        (n, 64 + most trigrams) int64 bucket numbers, 0 for none.
    """
    n_grams = max([n_grams, *(len(grams) for _, grams in texts)])
    out = np.zeros((len(texts), MAX_WORDS + n_grams), np.int64)
    for row, (words, grams) in zip(out, texts, strict=True):
        row[: len(words)] = words
        row[MAX_WORDS : MAX_WORDS + len(grams)] = grams
    return torch.from_numpy(out)


@lru_cache(maxsize=1)
def _mel_filters() -> Tensor:
    """Return (32, 129) triangular filters, evenly spaced in mel from 60 Hz to 4 kHz."""

    def mel(hertz: float) -> float:
        return 2595.0 * float(np.log10(1.0 + hertz / 700.0))

    edges = 700.0 * (10.0 ** (np.linspace(mel(60.0), mel(4000.0), _MELS + 2) / 2595.0) - 1.0)
    bins = np.arange(_FFT // 2 + 1) * (RATE_HZ / _FFT)
    left, centre, right = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    rising, falling = (bins - left) / (centre - left), (right - bins) / (right - centre)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    # The lowest triangles are narrower than a bin and may miss them all.
    nearest = np.abs(bins - centre).argmin(axis=1)
    filters[np.arange(_MELS), nearest] = np.maximum(filters[np.arange(_MELS), nearest], 0.5)
    return torch.from_numpy(filters.astype(np.float32))


# --- single items --------------------------------------------------------------------


def square(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the centre square of an image at 32 x 32, (32, 32, 3) uint8.

    Args:
        pixels: (h, w, 3) uint8.
    """
    if pixels.shape == (SIDE, SIDE, 3):
        return pixels
    from PIL import Image

    height, width, _ = pixels.shape
    side = min(height, width)
    note_cropped(side * side, height * width)
    left, top = (width - side) / 2, (height - side) / 2
    box = (left, top, left + side, top + side)
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


def half_second(sound: Waveform) -> NDArray[np.float32]:
    """Return the middle half second at 8 kHz, (4000,) float32; short sounds are repeated.

    Args:
        sound: at least one finite sample.
    """
    # Cut or repeat first: an hour-long file costs no more than a short one.
    n = round(SAMPLES * sound.rate_hz / RATE_HZ)
    samples = sound.samples.astype(np.float32, copy=False)
    if len(samples) < n:
        samples = np.resize(samples, n)
    note_unheard(len(samples), n, SAMPLES / RATE_HZ)
    start = (len(samples) - n) // 2
    part = resample(Waveform(samples[start : start + n], sound.rate_hz), RATE_HZ)
    return part.samples if len(part.samples) == SAMPLES else np.resize(part.samples, SAMPLES)


def buckets(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hash a text: at most 64 words and 320 letter trigrams to numbers >= 1."""
    words = _WORD.findall(text.casefold())
    hashed = [_hash_word(word) for word in words[:MAX_WORDS]]
    grams = [gram for _, word_grams in hashed for gram in word_grams]
    if len(words) > MAX_WORDS:
        note(TEXT_LIMITS[0])
    elif len(grams) > MAX_GRAMS:
        note(TEXT_LIMITS[1])
    grams = grams[:MAX_GRAMS]
    return np.array([word for word, _ in hashed], np.int64), np.array(grams, np.int64)


@lru_cache(maxsize=1024)
def _hash_word(word: str) -> tuple[int, tuple[int, ...]]:
    """Return the word's bucket and those of its letter trigrams, all >= 1."""
    edged = f"<{word}>"
    grams = (edged[i : i + 3] for i in range(len(edged) - 2))
    return (
        # Not Python's hash(), which differs from process to process.
        1 + zlib.crc32(word.encode("utf-8", "surrogatepass")) % (WORD_BUCKETS - 1),
        tuple(
            1 + zlib.crc32(gram.encode("utf-8", "surrogatepass")) % (GRAM_BUCKETS - 1)
            for gram in grams
        ),
    )
