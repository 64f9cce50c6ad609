"""A procedural world: endless scenes that can be seen, heard and described.

A scene is one kind of thing (of 50), so many of it, of some size and colour, at some
place, sounding at some pitch and tempo. An image shows what can be seen of it, a sound
what can be heard, a caption names some of either. Images and sounds share only part, as
in life: kind, count and place, and, more loosely, size, since big things sound deep.

Scene ``i`` of a stream depends on nothing but the stream and ``i``: every number is a
counter-based integer hash, so scenes are random access, and rendering is integer
arithmetic, so pixels and samples are the same on every machine and numpy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.counter_hash import bits as bits
from reactions.core.counter_hash import mix64 as mix64
from reactions.core.hashing import digest

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORLD_VERSION = "mini-world-1"
"""Changes whenever any scene, pixel, sample or sentence of any stream does."""

MUSICAL = (
    "bell", "violin", "drum", "flute", "trumpet", "guitar", "piano", "harp", "cello",
    "accordion", "banjo", "clarinet", "saxophone", "xylophone", "organ", "tuba", "mandolin",
    "harmonica", "tambourine", "gong", "maracas", "bagpipes", "music_box", "oboe", "whistle",
)  # fmt: skip
GENERAL = (
    "dog", "cat", "rooster", "cow", "frog", "cricket", "crow", "sheep", "owl", "bee",
    "train", "helicopter", "motorcycle", "siren", "clock", "door", "kettle", "chainsaw",
    "typewriter", "telephone", "hammer", "washing_machine", "sewing_machine", "horse", "duck",
)  # fmt: skip
CLASSES = MUSICAL + GENERAL

ADDED: Mapping[str, Any] = {"added": True}
"""Marks fields that came later: at their defaults they leave digests as they were."""

N_CLASSES = len(CLASSES)
N_COLOURS = 6
N_SIZES = 3
N_PLACES = 4
N_COUNTS = 3
N_PITCHES = 4
N_TEMPOS = 3


def key_of(tag: str, **parts: str | int) -> int:
    """Return a 64-bit key for a named family of random numbers."""
    return int(digest(f"{WORLD_VERSION}:{tag}", parts)[:16], 16)


def below(random: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
    """Map 64 random bits to 0 .. n - 1, by the upper 32 bits."""
    return (((random >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class SceneStream:
    """An endless, random-access sequence of scenes.

    Attributes:
        split: what the scenes are for; streams of different splits are disjoint.
        seed: another seed is another sequence.
        musical_percent: how often a scene is of a musical kind.
        balanced: whether kinds come in turn (scene ``i`` is of kind ``i % 50``) instead.
        kinds: they come in turn out of these alone; () for all of them.
        alone: whether every scene is of one thing.
        half_empty: whether every other scene is a place with nothing in it.
    """

    split: str
    seed: int = 0
    musical_percent: int = 50
    balanced: bool = False
    kinds: tuple[int, ...] = field(default=(), metadata=ADDED)
    alone: bool = field(default=False, metadata=ADDED)
    half_empty: bool = field(default=False, metadata=ADDED)

    @property
    def key(self) -> int:
        """Return the 64-bit key of all this stream's random numbers."""
        return key_of("stream", split=self.split, seed=self.seed)

    def scenes(self, start: int, stop: int) -> Scenes:
        """Return scenes ``start`` to ``stop`` (exclusive)."""
        return self.at(np.arange(start, stop, dtype=np.uint64))

    def at(self, index: NDArray[np.uint64]) -> Scenes:
        """Return the scenes of these indices, in this order."""
        identity = bits(self.key, index)

        def draw(name: str, n: int) -> NDArray[np.int64]:
            return below(bits(key_of(name), identity), n)

        musical = draw("musical", 100) < self.musical_percent
        kind = np.where(
            musical, draw("musical-kind", len(MUSICAL)), len(MUSICAL) + draw("kind", len(GENERAL))
        )
        if self.balanced:
            kind = (index % np.uint64(N_CLASSES)).astype(np.int64)
        if self.kinds:
            kind = np.array(self.kinds)[(index % np.uint64(len(self.kinds))).astype(np.int64)]
        count = np.zeros(len(index), np.int64) if self.alone else draw("count", N_COUNTS)
        if self.half_empty:
            count = np.where(index % np.uint64(2) == 1, -1, count)
        size = draw("size", N_SIZES)
        # Small things sound high and big ones deep, with exceptions; pitch 0 is the deepest.
        usual = (N_SIZES - 1 - size) + draw("usual-pitch", 2)
        pitch = np.where(draw("odd", 100) < 85, usual, draw("pitch", N_PITCHES))
        return Scenes(
            identity=identity,
            kind=kind,
            colour=draw("colour", N_COLOURS),
            size=size,
            place=draw("place", N_PLACES),
            count=count,
            pitch=pitch,
            tempo=draw("tempo", N_TEMPOS),
        )


@dataclass(frozen=True, slots=True)
class Scenes:
    """What there is to know of n scenes; every array is (n,).

    Attributes:
        identity: uint64, the source of everything else about a scene (position, noise,
            choice of words).
        kind: index into ``CLASSES``.
        colour: 0 to 5.
        size: 0 (small) to 2.
        place: 0 to 3.
        count: 0 (one) to 2 (three); -1 in an empty place, which neither shows nor sounds.
        pitch: 0 (deep) to 3.
        tempo: 0 (slow) to 2.
    """

    identity: NDArray[np.uint64]
    kind: NDArray[np.int64]
    colour: NDArray[np.int64]
    size: NDArray[np.int64]
    place: NDArray[np.int64]
    count: NDArray[np.int64]
    pitch: NDArray[np.int64]
    tempo: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.identity)

    def __getitem__(self, rows: slice) -> Scenes:
        return self.take(rows)

    def take(self, rows: slice | NDArray[np.int64]) -> Scenes:
        """Return some of the scenes."""
        return Scenes(
            self.identity[rows],
            self.kind[rows],
            self.colour[rows],
            self.size[rows],
            self.place[rows],
            self.count[rows],
            self.pitch[rows],
            self.tempo[rows],
        )

    def draw(self, name: str, n: int) -> NDArray[np.int64]:
        """Return (n_scenes,) integers in 0 .. n - 1, the same for the same name."""
        return below(bits(key_of(name), self.identity), n)
