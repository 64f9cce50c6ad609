"""Trackers by name: ours, and those of installed packages, imported when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module

from reactions.core.errors import MolspaceError, UsageError, did_you_mean
from reactions.core.plugins import load_plugin, plugins, refuse_namesakes, unusable_plugin
from reactions.tracking.board import Tracker, TrackerFactory

GROUP = "molspace.trackers"

FILES = "tensorboard"
"""What a plain folder is for."""

TRACKERS: Mapping[str, str] = {
    FILES: "reactions.tracking.tensorboard_files:EventFiles",
    "trackio": "reactions.tracking.trackio_runs:TrackioRuns",
    "wandb": "reactions.tracking.wandb_runs:WandbRuns",
}
"""All of ours: ``module:class``."""

_NAMED = re.compile(r"([A-Za-z][\w.+-]+):(.*)", re.DOTALL)
"""Two characters at least: ``C:`` is a drive."""


def open_tracker(place: str) -> Tracker:
    """Return the tracker of a place, which is known to be writable as far as that can be.

    Args:
        place: a folder for TensorBoard files, or ``NAME:`` and what this tracker takes, such as
            ``trackio:PROJECT``.

    Raises:
        UsageError: no tracker has the name, or it cannot make sense of the rest.
        MissingError: its package is not installed.
        StoreError: the place cannot be written.
    """
    match = _NAMED.fullmatch(place)
    if match is None:
        return _factory(FILES)(place)
    name, rest = match.groups()
    if rest.startswith("//"):
        raise UsageError(
            f"cannot write to '{place}'",
            why="what is tracked is written to a folder of this machine, or by a tracker's name",
            fix="--track DIR, and copy the folder afterwards   or   "
            + "   or   ".join(f"--track {other}:PROJECT" for other in TRACKERS if other != FILES),
            place=place,
        )
    try:
        return _factory(name, place)(rest)
    except MolspaceError:
        raise
    except Exception as error:
        points = [point for point in plugins(GROUP) if point.name == name]
        if not points:
            raise
        why = f"{type(error).__name__}: " + " ".join(str(error).split())
        raise unusable_plugin(points[0], "the tracker", why) from error


def _factory(name: str, place: str = "") -> TrackerFactory:
    points = [point for point in plugins(GROUP) if point.name == name]
    refuse_namesakes(name, points, "trackers", is_built_in=name in TRACKERS)
    if name in TRACKERS:
        module, _, attribute = TRACKERS[name].partition(":")
        factory: TrackerFactory = getattr(import_module(module), attribute)
        return factory
    if points:
        added: TrackerFactory = load_plugin(points[0], "the tracker")
        return added
    names = sorted({*TRACKERS, *(point.name for point in plugins(GROUP))})
    project = place.partition(":")[2]
    # The whole option: a name alone would be a folder.
    near = [f"'{near}:{project}'" for near in did_you_mean(name, names)]
    meant = f"did you mean {' or '.join(near)}?" if near else f"one of: {', '.join(names)}"
    raise UsageError(
        f"unknown tracker '{name}'",
        why=f"trackers: {', '.join(names)}",
        fix=f"{meant}   or for a folder of this name: --track ./{place}",
        tracker=name,
        known=names,
    )
