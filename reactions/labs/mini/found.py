"""Scenes of the mini world that are found again by the ids of items."""

from __future__ import annotations

import re

import numpy as np

from reactions.core.types import Item
from reactions.eval.registry import get_task
from reactions.labs.mini.benchmarks import MINIATURES
from reactions.labs.mini.miniatures import Recognition
from reactions.labs.mini.world import Scenes, SceneStream

_DESCRIBED = re.compile(r"kb-items-([a-z]+)/(\d{1,9})")
_OF_A_SET = re.compile(r"mini-([a-z0-9_]+)(?:-(train|validation))?/(\d{1,9})")


def scene_of(item: Item, seed: int) -> Scenes | None:
    """Return the one scene that an item shows; None if it is not known by its id.

    Known are the described scenes, and the items of miniatures that are recognised by class, but
    for those with empty places: the describer writes of things.

    Args:
        item: its value is not looked at.
        seed: of the lab.
    """
    if match := _DESCRIBED.fullmatch(item.id):
        modality, row = match.groups()
        return _at(SceneStream("kb-items", seed), row) if modality == item.modality else None
    if match := _OF_A_SET.fullmatch(item.id):
        task, part, row = match.groups()
        miniature = MINIATURES.get(task)
        if not isinstance(miniature, Recognition) or miniature.half_empty:
            return None
        if int(row) >= miniature.n:
            return None
        # A training part may be seen by the camera beside its sensor, too.
        if item.modality in (get_task(task).query, "image"):
            return _at(miniature.stream(task, part or "", seed), row)
    return None


def _at(stream: SceneStream, row: str) -> Scenes:
    return stream.at(np.array([int(row)], np.uint64))
