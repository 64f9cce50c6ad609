"""Scenes in each modality that shows one scene at a time: the decoded values of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from reactions.core.types import Modality
from reactions.labs.mini import depths, pixels, points, thermals
from reactions.labs.mini.world import Scenes

POOR: tuple[Modality, ...] = ("point", "thermal")
"""Modalities with a poor sensor as well as a good one."""


def _images(scenes: Scenes, poor: bool) -> list[Any]:
    return list(pixels.images(scenes))


# Division by a power of two, or once of small whole numbers, is the same on every machine.


def _thermals(scenes: Scenes, poor: bool) -> list[Any]:
    return list(thermals.thermals(scenes, poor=poor).astype(np.float32) / np.float32(255))


def _depths(scenes: Scenes, poor: bool) -> list[Any]:
    return list(depths.depths(scenes).astype(np.float32) / np.float32(1000))


def _clouds(scenes: Scenes, poor: bool) -> list[Any]:
    return list(points.clouds(scenes, poor=poor).astype(np.float32) / np.float32(points.UNIT))


VIEWS: Mapping[Modality, Callable[[Scenes, bool], list[Any]]] = {
    "depth": _depths,
    "image": _images,
    "point": _clouds,
    "thermal": _thermals,
}
"""Scenes, and whether the sensor is a poor one, to values as ``core.types.Item`` has them."""
