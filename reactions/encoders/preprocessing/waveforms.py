"""Decoded sounds as the audio towers of several families take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.left_out import mostly_unheard, note
from reactions.core.types import Waveform
from reactions.encoders.base import Unusable
from reactions.modalities.audio import why_unusable

if TYPE_CHECKING:
    from numpy.typing import NDArray


def clipped(sound: Any) -> Waveform:
    """Return a decoded sound with float32 samples in [-1, 1].

    Raises:
        Unusable: it is not a waveform, empty, not finite, or of an absurd rate.
    """
    if why := why_unusable(sound):
        raise Unusable("audio", why)
    samples = sound.samples.astype(np.float32, copy=False)
    return Waveform(np.clip(samples, -1.0, 1.0), sound.rate_hz)


def centre(sound: Waveform, most_s: float) -> NDArray[np.float32]:
    """Return the samples of a sound, or of its middle ``most_s`` seconds.

    Sounds of which less than half is left are noted, as ``unheard(most_s)``.
    """
    most = round(most_s * sound.rate_hz)
    note_unheard(len(sound.samples), most, most_s)
    start = max(0, (len(sound.samples) - most) // 2)
    return sound.samples[start : start + most]


def unheard(used_s: float) -> str:
    """Return the clause of sounds of which an encoder uses so many seconds, less than half."""
    return mostly_unheard(f"{used_s:g} s")


def note_unheard(n: int, used: int, used_s: float) -> None:
    """Note a sound of n samples of which so many are used, if that is less than half."""
    if n > 2 * used:
        note(unheard(used_s))
