"""What every decoder of sounds holds to: limits, what is refused, and one channel of several."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_PEAK = 8.0
"""Float files may overshoot full scale (we clip); past this they are not in [-1, 1] at all."""


OVERSHOOT, MOST_CLIPPED = 1.05, 0.01
"""Of samples that reach further, the share that is clipped without a word: decoders of lossy
formats overshoot by so much at peaks."""

LEAST_SHARE = 0.25
"""Of the channels' energies, added up, what their sum has at least where nothing is lost.

Of channels that have nothing to do with each other, or of which one alone sounds, it is 1, however
many there are; of two equal ones 2, of one and its negative 0. Wide stereo comes down to about a
half; a quarter (two channels correlated by -0.75) takes opposite phases."""


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


class Downmix:
    """One channel of several, block by block, and what became of the others' energy.

    Args:
        channel: the one to keep, from 0; None takes the mean of all.
    """

    def __init__(self, channel: int | None = None) -> None:
        self.channel = channel
        self._channels_energy = self._sum_energy = self._peak = 0.0
        self._n = self._n_clipped = 0
        self._is_heard_elsewhere = False

    def check(self, channels: int) -> None:
        """Refuse a sound that has not the channel to be kept."""
        if self.channel is not None and self.channel >= channels:
            raise Refused(f"it has {channels} channels; there is no channel {self.channel}")

    def add(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n,) samples in [-1, 1] of (n, channels) frames.

        Args:
            frames: n >= 1 floats a channel.

        Raises:
            Refused: samples are not finite, or far outside [-1, 1].
        """
        mono = self.mix(frames)
        # NaN passes through max, so that one number shows it as well as infinities.
        peak = float(np.abs(mono).max(initial=0.0))
        if not np.isfinite(peak):
            raise Refused("some samples are not finite")
        if peak > MAX_PEAK:
            raise Refused(f"samples reach {peak:.6g}, far outside [-1, 1]", "scale it to [-1, 1]")
        self._peak, self._n = max(self._peak, peak), self._n + len(mono)
        if peak > OVERSHOOT:
            self._n_clipped += int((np.abs(mono) > OVERSHOOT).sum())
        return np.clip(mono, -1.0, 1.0)

    def mix(self, frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return (n,) samples of (n, channels) frames, whatever they are."""
        if self.channel is not None or frames.shape[1] == 1:
            if frames.shape[1] > 1 and self._peak == 0 and not self._is_heard_elsewhere:
                self._is_heard_elsewhere = bool(frames.any())
            return frames[:, self.channel or 0]
        with np.errstate(over="ignore", invalid="ignore"):  # what is refused, or cancels out
            mono: NDArray[np.float32] = frames.mean(axis=1, dtype=np.float32)
            if not len(frames):
                return mono
            # Without their means: a constant offset, which cannot be heard, would hide the rest.
            heard = frames - frames.mean(axis=0, dtype=np.float32)
            total = (mono - mono.mean(dtype=np.float32)) * np.float32(frames.shape[1])
            self._channels_energy += float(np.vdot(heard, heard))
            self._sum_energy += float(np.vdot(total, total))
        return mono

    @property
    def cancels(self) -> bool:
        """Whether channels of opposite phase cancelled each other out; see ``LEAST_SHARE``."""
        return self._sum_energy < LEAST_SHARE * self._channels_energy

    @property
    def clips(self) -> bool:
        """Whether many samples are beyond full scale; see ``OVERSHOOT``."""
        return self._n_clipped > MOST_CLIPPED * self._n

    @property
    def is_silent(self) -> bool:
        """Whether every sample is 0, and of every channel."""
        is_nothing = self._peak == 0 == self._channels_energy
        return self._n > 0 and is_nothing and not self._is_heard_elsewhere

    @property
    def misses(self) -> bool:
        """Whether every sample of the channel that is kept is 0, and others' are not."""
        return self._n > 0 and self._peak == 0 and self._is_heard_elsewhere
