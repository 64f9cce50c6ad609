"""Scenes in each modality that shows one scene at a time: the decoded values of items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from reactions.core.types import Modality
from reactions.labs.mini import clips, depths, events, pixels, points, thermals
from reactions.labs.mini.world import Scenes
from reactions.modalities.events.values import Events
from reactions.modalities.videos.frames import Frames

POOR: tuple[Modality, ...] = ("event", "point", "thermal")
"""Modalities with a poor sensor as well as a good one."""


def _images(scenes: Scenes, poor: bool) -> list[Any]:
    return list(pixels.images(scenes))


def _recordings(scenes: Scenes, poor: bool) -> list[Any]:
    return [
        Events(
            x=rows[:, 0].astype(np.uint16),
            y=rows[:, 1].astype(np.uint16),
            t_us=rows[:, 2].astype(np.int64),
            p=rows[:, 3].astype(np.uint8),
            size=(events.SIDE, events.SIDE),
        )
        for rows in events.recordings(scenes, poor=poor)
    ]


# Division by a power of two, or once of small whole numbers, is the same on every machine.


def _thermals(scenes: Scenes, poor: bool) -> list[Any]:
    return list(thermals.thermals(scenes, poor=poor).astype(np.float32) / np.float32(255))


def _depths(scenes: Scenes, poor: bool) -> list[Any]:
    return list(depths.depths(scenes).astype(np.float32) / np.float32(1000))


def _clips(scenes: Scenes, poor: bool) -> list[Any]:
    seconds = np.arange(clips.FRAMES) / clips.RATE_HZ
    return [Frames(pixels, seconds) for pixels in clips.clips(scenes)]


def _clouds(scenes: Scenes, poor: bool) -> list[Any]:
    return list(points.clouds(scenes, poor=poor).astype(np.float32) / np.float32(points.UNIT))


VIEWS: Mapping[Modality, Callable[[Scenes, bool], list[Any]]] = {
    "depth": _depths,
    "event": _recordings,
    "image": _images,
    "point": _clouds,
    "thermal": _thermals,
    "video": _clips,
}
"""Scenes, and whether the sensor is a poor one, to values as ``core.types.Item`` has them."""
