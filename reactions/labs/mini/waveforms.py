"""Scenes as half a second of sound at 8 kHz, in integer arithmetic."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from reactions.labs.mini.world import N_CLASSES, N_PITCHES, N_PLACES, N_TEMPOS, Scenes, bits, key_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATE_HZ = 8000
SAMPLES = 4000
_NOTE = 2000  # samples of one sounding
_VARIANTS = 3  # no two soundings of a thing are quite the same
_LOOP = 1 << 16
_CHUNK = 512
_SINE_BITS = 12

_PITCH_PERMILLE = (620, 1000, 1600, 2500)
_SPACING = (1250, 900, 600)  # samples between soundings: slow, moderate, fast
_LENGTH_PERMILLE = (1500, 900, 500)  # how long a sounding rings at these tempos


def sounds(scenes: Scenes) -> NDArray[np.int16]:
    """Render scenes.

    Returns:
        (n, 4000) int16 samples at 8 kHz.
    """
    out = np.empty((len(scenes), SAMPLES), np.int16)
    for start in range(0, len(scenes), _CHUNK):
        total = _soundings(scenes[start : start + _CHUNK])
        total += _ambience(scenes[start : start + _CHUNK])
        out[start : start + _CHUNK] = np.clip(total, -32767, 32767)
    return out


def overlay(
    first: NDArray[np.int16], second: NDArray[np.int16], quarters: NDArray[np.int64]
) -> NDArray[np.int16]:
    """Return two sounds at once.

    Args:
        first: (n, 4000) int16.
        second: (n, 4000) int16.
        quarters: (n,) loudness of the second, in quarters of its own; 0 leaves it out.
    """
    added = (second.astype(np.int32) * quarters.astype(np.int32)[:, None]) >> 2
    return np.clip(first + added, -32767, 32767).astype(np.int16)


def _soundings(scenes: Scenes) -> NDArray[np.int32]:
    """Return the things' own sounds: one sounding a thing, (n, 4000) int32."""
    n = len(scenes)
    rows = np.arange(n)
    # Room behind the end, so that late notes need no clipping; it is cut off again.
    canvas = np.zeros((n, SAMPLES + _NOTE), np.int32)
    windows = np.lib.stride_tricks.sliding_window_view(canvas, _NOTE, axis=1, writeable=True)
    start = scenes.draw("start", 240)
    loudness = (90 + scenes.draw("loudness", 120)).astype(np.int32)
    spacing = np.array(_SPACING)[scenes.tempo]
    variant = scenes.draw("variant", _VARIANTS)
    for thing in range(3):
        shown = rows[scenes.count >= thing]
        onset = start + thing * spacing + scenes.draw(f"onset-{thing}", 80)
        notes = _notes()[scenes.kind[shown], scenes.pitch[shown], scenes.tempo[shown]]
        note = notes[np.arange(len(shown)), variant[shown]].astype(np.int32)
        # No scene is twice in ``shown``: numpy would add only one of several to the same place.
        windows[shown, onset[shown]] += (note * loudness[shown, None]) >> 8
    return canvas[:, :SAMPLES]


def _ambience(scenes: Scenes) -> NDArray[np.int32]:
    """Return the sound of the place, and hiss, (n, 4000) int32."""
    windows = np.lib.stride_tricks.sliding_window_view(_loops(), SAMPLES, axis=1)
    place = windows[scenes.place, scenes.draw("place-offset", _LOOP)].astype(np.int32)
    hiss = windows[N_PLACES, scenes.draw("hiss-offset", _LOOP)].astype(np.int32)
    place_level = (14 + scenes.draw("place-level", 40)).astype(np.int32)[:, None]
    hiss_level = (2 + scenes.draw("hiss-level", 24)).astype(np.int32)[:, None]
    total: NDArray[np.int32] = (place * place_level + hiss * hiss_level) >> 8
    return total


@cache
def _sine() -> NDArray[np.int32]:
    """Return one period of a sine in 4096 steps, scaled by 2^12."""
    size = 1 << _SINE_BITS
    return np.array([round(4096 * math.sin(2 * math.pi * i / size)) for i in range(size)], np.int32)


@cache
def _decay() -> NDArray[np.int32]:
    """Return exp(-i / 256) for i < 2048, scaled by 2^12."""
    return np.array([round(4096 * math.exp(-i / 256)) for i in range(2048)], np.int32)


def _wave(millihertz: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return (k, _NOTE) sines of the given frequencies, scaled by 2^12."""
    # Phases are 32-bit fractions of a period: the mask drops whole periods, the top bits look up
    # the sine, and nothing depends on how a machine rounds.
    step = (millihertz << 32) // (RATE_HZ * 1000)
    phase = (step[:, None] * np.arange(_NOTE, dtype=np.int64)) & 0xFFFFFFFF
    wave: NDArray[np.int32] = _sine()[phase >> (32 - _SINE_BITS)]
    return wave


@cache
def _notes() -> NDArray[np.int16]:
    """Return every sounding there is: (50, 4, 3, 3, 2000) by kind, pitch, tempo and variant.

    A kind has its own partials (harmonic or not), their strengths, attack, ring, warble
    and share of noise.
    """
    kinds = np.arange(N_CLASSES, dtype=np.uint64)

    def trait(name: str, n: int) -> NDArray[np.int64]:
        random = bits(key_of(f"sound-{name}"), kinds)
        return ((random >> np.uint64(32)) % np.uint64(n)).astype(np.int64)

    partials = 6
    time = np.arange(_NOTE, dtype=np.int64)
    base = 210_000 + 1_000 * trait("base", 130)  # millihertz
    stretch = np.array([0, 0, 30, 90])[trait("stretch", 4)]  # permille a partial: bells, bars
    step = np.array([1, 2, 1])[trait("series", 3)]  # 2: odd partials only, as in a clarinet
    ring = 120 + trait("ring", 500)  # samples to 1/e, at moderate tempo
    attack = np.array([8, 40, 160, 320])[trait("attack", 4)]
    warble_rate = 6_000 + 1_000 * trait("warble-rate", 50)
    warble_depth = np.array([0, 0, 2200, 3600])[trait("warble-depth", 4)]
    noise_share = np.array([0, 300, 900, 2200])[trait("noise", 4)]
    noise_colour = trait("noise-colour", 3)
    out = np.empty((N_CLASSES, N_PITCHES, N_TEMPOS, _VARIANTS, _NOTE), np.int16)
    noise = _noise_colours()
    for pitch in range(N_PITCHES):
        for variant in range(_VARIANTS):
            detune = 970 + trait(f"detune-{variant}", 61)
            tone = np.zeros((N_CLASSES, _NOTE), np.int64)  # (kinds, samples)
            for partial in range(partials):
                order = 1000 * (1 + partial * step) + stretch * partial * partial
                frequency = base * _PITCH_PERMILLE[pitch] // 1000 * detune // 1000 * order // 1000
                strength = trait(f"partial-{partial}", 1000) + trait(
                    f"vary-{partial}-{variant}", 200
                )
                strength = np.where(partial == 0, 500 + strength // 2, strength)
                strength = np.where(frequency < 3_800_000, strength, 0)  # below Nyquist
                tone += _wave(frequency) * strength[:, None]
            tone = tone // 1000  # at most 6 x 2^12
            tone = tone * (4096 - noise_share[:, None]) >> 12
            tone += (noise[noise_colour, variant, :_NOTE] * noise_share[:, None]) >> 10
            # 1 - depth (1 + sin) / 2.
            warble = 4096 - (warble_depth[:, None] * (4096 + _wave(warble_rate)) >> 13)
            tone = tone * warble >> 12
            rise = np.minimum(4096, (time[None, :] << 12) // attack[:, None])
            for tempo in range(N_TEMPOS):
                fall_time = ring * _LENGTH_PERMILLE[tempo] // 1000
                # exp(-time / fall_time), which the table has in steps of 1/256.
                fall = _decay()[np.minimum(2047, time[None, :] * 256 // fall_time[:, None])]
                note = ((tone * rise) >> 12) * fall >> 12
                out[:, pitch, tempo, variant] = np.clip(note, -32767, 32767)
    return out


@cache
def _noise_colours() -> NDArray[np.int64]:
    """Return noises: (3, 3, _NOTE) low, flat and high, of three variants, about 2^12 high."""
    counter = np.arange(3 * (_NOTE + 64), dtype=np.uint64)
    # 13 bits: -4096 to 4095.
    white = (bits(key_of("noise"), counter) >> np.uint64(51)).astype(np.int64) - 4096
    white = white.reshape(3, _NOTE + 64)
    total = np.cumsum(white, axis=1)
    # Differences of a running sum are moving sums, which keep the low frequencies.
    low = (total[:, 8:] - total[:, :-8]) // 3
    high = white[:, 1:] - white[:, :-1]
    return np.stack([low[:, :_NOTE], white[:, :_NOTE], high[:, :_NOTE]])


@cache
def _loops() -> NDArray[np.int16]:
    """Return the ambience of each place, and white noise, (5, 65536 + 4000), to start anywhere."""
    n = _LOOP + SAMPLES
    time = np.arange(n, dtype=np.int64)
    counter = np.arange(n + 64, dtype=np.uint64)
    # 13 bits: -4096 to 4095.
    white = (bits(key_of("ambience"), counter) >> np.uint64(51)).astype(np.int64) - 4096
    total = np.cumsum(white)

    def sine(hertz: int) -> NDArray[np.int64]:
        phase = (time * ((hertz << 32) // RATE_HZ)) & 0xFFFFFFFF
        wave: NDArray[np.int64] = _sine()[phase >> (32 - _SINE_BITS)].astype(np.int64)
        return wave

    room = sine(100) + sine(200) // 2  # mains hum
    street = (total[48 : 48 + n] - total[:n]) // 7  # rumble
    burst = np.where((time % 700) < 260, 4096 - (time % 700) * 15, 0)
    forest = (sine(3100) * burst >> 12) * 2  # chirps
    water = (white[2 : 2 + n] - 2 * white[1 : 1 + n] + white[:n]) // 2  # hiss of spray
    return np.stack([room, street, forest, water, white[:n]]).astype(np.int16)
