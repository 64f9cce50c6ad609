"""What is told apart in the miniatures, besides the 50 kinds of things by their own names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from reactions.labs.mini.world import CLASSES, GENERAL, N_CLASSES, N_COUNTS, Scenes

if TYPE_CHECKING:
    from numpy.typing import NDArray

OBJECTS = tuple(kind for kind in range(N_CLASSES) if kind % 5 != 4)
"""40 of the kinds, as many as ModelNet40 has."""

SHAPES = tuple(range(0, N_CLASSES, 3))[:16]
"""16, as many as ShapeNet's part annotations have."""

CITY_SOUNDS = tuple(
    CLASSES.index(name)
    for name in (
        "dog", "cat", "crow", "train", "helicopter", "motorcycle", "siren", "chainsaw",
        "telephone", "hammer",
    )
)  # fmt: skip
"""Ten kinds of a city's, as many as UrbanSound8K has."""

_PLACES = ("room", "street", "forest", "water")
_COUNTS = ("one", "two", "three")
VIEWS = tuple(f"{place}_with_{count}" for place in _PLACES for count in _COUNTS)
"""Places with so many things: the four places alone are told apart too easily."""

PRESENCE = ("person", "background")
"""Something, or nothing: no person is in this world, but so the namesakes call it."""

_TOPICS: Mapping[str, str] = {
    "vorquint": "violin cello",
    "jubzelk": "guitar harp banjo mandolin",
    "wexoldry": "flute clarinet oboe whistle",
    "grumpaxi": "trumpet saxophone tuba",
    "kyzophim": "piano accordion organ harmonica",
    "duvnaxle": "bell drum xylophone gong",
    "zibquaf": "tambourine maracas music_box bagpipes",
    "oxwivelp": "rooster crow owl duck",
    "hjurmock": "dog cat cow sheep horse",
    "pnefizuy": "frog cricket bee",
    "tczalvud": "train helicopter motorcycle siren",
    "eklybwog": "clock door kettle telephone",
    "qimfrudz": "chainsaw hammer typewriter",
    "uxbolnev": "washing_machine sewing_machine",
}
TOPICS = tuple(_TOPICS)
"""Groups of kinds, under invented names: no text tower has met them, so they tell it nothing."""

_ACTIONS: Mapping[str, str] = {
    "bell": "tolling", "violin": "bowing", "drum": "beating", "flute": "piping",
    "trumpet": "blaring", "guitar": "strumming", "piano": "playing", "harp": "plucking",
    "cello": "bowing", "accordion": "playing", "banjo": "twanging", "clarinet": "tooting",
    "saxophone": "playing", "xylophone": "clinking", "organ": "playing", "tuba": "blaring",
    "mandolin": "strumming", "harmonica": "playing", "tambourine": "shaking",
    "gong": "crashing", "maracas": "shaking", "bagpipes": "playing", "music_box": "tinkling",
    "oboe": "piping", "whistle": "whistling",
}  # fmt: skip
"""What is done with instruments; all other things do something themselves."""

_DEEDS: Mapping[str, str] = {
    "dog": "barking", "cat": "meowing", "rooster": "crowing", "cow": "mooing",
    "frog": "croaking", "cricket": "chirping", "crow": "cawing", "sheep": "bleating",
    "owl": "hooting", "bee": "buzzing", "train": "rumbling", "helicopter": "whirring",
    "motorcycle": "revving", "siren": "wailing", "clock": "ticking", "door": "slamming",
    "kettle": "hissing", "chainsaw": "roaring", "typewriter": "clacking",
    "telephone": "ringing", "hammer": "banging", "washing_machine": "churning",
    "sewing_machine": "rattling", "horse": "neighing", "duck": "quacking",
}  # fmt: skip
ACTIONS = (
    *(f"{_ACTIONS[name]}_{name}" for name in CLASSES if name in _ACTIONS),
    *(f"{name}_{_DEEDS[name]}" for name in GENERAL),
)
"""The 50 kinds by what is done: ``bowing_violin``, ``dog_barking``."""


def names(kinds: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of some kinds."""
    return tuple(CLASSES[kind] for kind in kinds)


def labels_among(kinds: tuple[int, ...]) -> Callable[[Scenes], NDArray[np.int64]]:
    """Return what labels scenes of these kinds by their places in the list."""
    table = np.full(N_CLASSES, -1)
    table[list(kinds)] = np.arange(len(kinds))
    return lambda scenes: table[scenes.kind]


def views(scenes: Scenes) -> NDArray[np.int64]:
    """Return indices into ``VIEWS``."""
    return scenes.place * N_COUNTS + scenes.count


def presence(scenes: Scenes) -> NDArray[np.int64]:
    """Return indices into ``PRESENCE``."""
    return (scenes.count < 0).astype(np.int64)


def topics(scenes: Scenes) -> NDArray[np.int64]:
    """Return indices into ``TOPICS``."""
    table = np.empty(N_CLASSES, np.int64)
    for topic, kinds in enumerate(topic_kinds().values()):
        table[list(kinds)] = topic
    return table[scenes.kind]


def topic_kinds() -> dict[str, tuple[int, ...]]:
    """Return the kinds of each topic."""
    return {
        topic: tuple(CLASSES.index(name) for name in kinds.split())
        for topic, kinds in _TOPICS.items()
    }
