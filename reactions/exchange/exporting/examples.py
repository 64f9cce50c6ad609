"""Items that an export is compared on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from reactions.core.types import Item, Modality, Waveform

_TEXTS = (
    *("a dog barking", "Rain, and\tthunder.", "Ünïcode: 犬", "very long " * 90, "a", "two two"),
    "seven words, and a number: 7",
)
_SIDES = ((40, 71), (90, 33), (224, 224), (300, 300), (64, 64), (33, 90), (128, 257))
_SECONDS = (0.3, 1.0, 2.5, 5.0, 7.0, 10.0, 12.0)
_RATE_HZ = 16_000


def _pictures() -> list[object]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (*side, 3), np.uint8) for side in _SIDES]


def _sounds() -> list[object]:
    generator = np.random.default_rng(0)
    counts = [int(_RATE_HZ * seconds) for seconds in _SECONDS]
    noises = [generator.uniform(-0.5, 0.5, n).astype(np.float32) for n in counts]
    return [Waveform(noise, _RATE_HZ) for noise in noises]


_VALUES: Mapping[Modality, Callable[[], list[object]]] = {
    "text": lambda: [*_TEXTS],
    "image": _pictures,
    "audio": _sounds,
}


def example_items(modality: Modality) -> list[Item]:
    """Return seven items, as different as items are; [] of modalities without any.

    Args:
        modality: of the items.
    """
    values = _VALUES.get(modality, list)()
    return [Item(str(i), modality, value) for i, value in enumerate(values)]
