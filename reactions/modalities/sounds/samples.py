"""What every decoder of sounds holds to: limits, what is refused, and one channel of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PEAK = 8.0
"""Float files may overshoot full scale (we clip); past this they are not in [-1, 1] at all."""


class Refused(Exception):
    """A sound that cannot be used.

    Args:
        why: lower case, no full stop.
        fix: what helps, "" if nothing is known.
    """

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sound may be.

    Attributes:
        min_rate_hz: lowest rate.
        max_rate_hz: highest rate.
        max_samples: frames times channels.
        max_seconds: of all that is in the file.
    """

    min_rate_hz: int
    max_rate_hz: int
    max_samples: int
    max_seconds: int

    def check(self, frames: int, channels: int, rate_hz: int) -> None:
        """Refuse what is beyond the limits, by what a header declares or a decoder gave."""
        if not self.min_rate_hz <= rate_hz <= self.max_rate_hz:
            span = f"{self.min_rate_hz} to {self.max_rate_hz}"
            raise Refused(f"its rate is {rate_hz} Hz, not {span}")
        if frames * channels > self.max_samples:
            raise Refused(f"it holds {frames} frames of {channels} channels", "cut it up")
        if frames > rate_hz * self.max_seconds:
            minutes = f"{frames / rate_hz / 60:.0f} minutes"
            raise Refused(f"it is {minutes} long, more than {self.max_seconds // 60}", "cut it up")


def to_mono(frames: NDArray[np.float32], channel: int | None) -> NDArray[np.float32]:
    """Return (n,) samples in [-1, 1] of (n, channels) frames.

    Args:
        frames: n >= 1 floats a channel.
        channel: the one to keep, from 0; None takes the mean of all.

    Raises:
        Refused: samples are not finite, or far outside [-1, 1].
    """
    if channel is None and frames.shape[1] > 1:
        mono: NDArray[np.float32] = frames.mean(axis=1, dtype=np.float32)
    else:
        mono = frames[:, channel or 0]
    # NaN passes through max, so that one number shows it as well as infinities.
    peak = float(np.abs(mono).max(initial=0.0))
    if not np.isfinite(peak):
        raise Refused("some samples are not finite")
    if peak > MAX_PEAK:
        raise Refused(f"samples reach {peak:.6g}, far outside [-1, 1]", "scale it to [-1, 1]")
    return np.clip(mono, -1.0, 1.0)
