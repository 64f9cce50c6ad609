"""Miniatures of the nine evaluation sets: same task, same protocol, procedural media.

The two sets of a family differ as their namesakes do: Clotho's captions are longer and
vaguer than AudioCaps', Flickr30K's denser than COCO's, FlickrNet's sounds less clean than
VGG-SS's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import MissingError, suggestion
from reactions.core.types import Modality
from reactions.eval.published import no_split
from reactions.eval.registry import evaluation_set, get_task
from reactions.eval.task_data import (
    BenchmarkData,
    ClassificationData,
    MultilabelData,
    RetrievalData,
    without_fold,
)
from reactions.labs.mini.corpora import Other, WorldCorpus
from reactions.labs.mini.sentences import Style
from reactions.labs.mini.world import CLASSES, N_CLASSES, SceneStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CAPTIONS = 5
_FOLDS = 5

_STYLES = {
    "audiocaps": Style("sound", omit_percent=20),
    "clotho": Style("sound", omit_percent=30, mistake_percent=4, fillers=5),
    "coco": Style("sight", omit_percent=30),
    "flickr30k": Style("sight", omit_percent=15, fillers=3),
}
"""Of the captions of a set."""

_FOLDED = ("esc50",)
"""Sets that are published in folds."""

_UNSEEN_QUARTERS = {"vggss": 0, "flickrnet": 1}
"""Loudness, in quarters, of a second source that is heard but not seen."""

TASKS = ("esc50", "audioset", *_STYLES, *_UNSEEN_QUARTERS, "imagenet")


def benchmark(task: str, *, seed: int, part: str = "") -> BenchmarkData:
    """Return the miniature of an evaluation set.

    Args:
        task: its name.
        seed: another seed is another set of the same kind.
        part: "" for the set itself; "validation" for as many other scenes, to choose by.

    Raises:
        MissingError: the mini lab has no such task.
    """
    if task not in TASKS:
        raise MissingError(
            f"the mini lab has no task '{task}'",
            fix=suggestion(task, TASKS),
            task=task,
        )
    published = get_task(task)
    # Scenes of a name of their own: streams of different names have none in common.
    name = f"{task} {part}" if part else task
    if published.kind == "multilabel":
        return _multilabel(name, seed)
    if published.kind == "classification":
        return _classification(name, published.query, seed, folds=task in _FOLDED)
    if published.other == "text":
        return _captioned(name, published.query, _STYLES[task], seed)
    return _paired(name, _UNSEEN_QUARTERS[task], seed)


def split(task: str, name: str, *, seed: int) -> ClassificationData:
    """Return a part of a miniature that may be trained on.

    Args:
        task: its name.
        name: ``train``: as many other scenes; ``foldN``: the clips of all folds but that one.
        seed: of the set.

    Raises:
        MissingError: the mini lab has no such task.
        UsageError: the task has no such part.
    """
    published = evaluation_set(task)
    if name not in published.splits:
        raise no_split(published.task, name, published.splits)
    has_folds = name.startswith("fold") and task in _FOLDED
    data = benchmark(task, seed=seed, part="" if has_folds else name)
    assert isinstance(data, ClassificationData)  # what has splits is recognised by class
    return without_fold(data, int(name.removeprefix("fold")), name) if has_folds else data


def _classification(task: str, modality: Modality, seed: int, *, folds: bool) -> ClassificationData:
    n = 2000
    index = np.arange(n)
    return ClassificationData(
        queries=WorldCorpus(f"mini {task}", modality, SceneStream(task, seed, balanced=True), n),
        labels=index % N_CLASSES,
        classes=CLASSES,
        folds=index // N_CLASSES % _FOLDS if folds else None,
        expected=n,
    )


def _multilabel(task: str, seed: int) -> MultilabelData:
    """Return clips of one to three sources; all of them are labels."""
    n = 1000
    stream = SceneStream(task, seed)
    others = (
        Other(SceneStream(f"{task}-second", seed), quarters=4, percent=70),
        Other(SceneStream(f"{task}-third", seed), quarters=4, percent=35),
    )
    targets: NDArray[np.bool_] = np.zeros((n, N_CLASSES), np.bool_)
    rows = np.arange(n)
    targets[rows, stream.scenes(0, n).kind] = True
    for other in others:
        scenes, heard = other.scenes(rows.astype(np.uint64))
        targets[rows[heard], scenes.kind[heard]] = True
    return MultilabelData(
        queries=WorldCorpus(f"mini {task}", "audio", stream, n, others=others),
        targets=targets,
        classes=CLASSES,
        expected=n,
    )


def _captioned(task: str, modality: Modality, style: Style, seed: int) -> RetrievalData:
    n = 1000
    stream = SceneStream(task, seed)
    return RetrievalData(
        left=WorldCorpus(f"mini {task}", modality, stream, n),
        right=WorldCorpus(
            f"mini {task} captions", "text", stream, n, writers=_CAPTIONS, styles=(style,)
        ),
        owner=np.repeat(np.arange(n), _CAPTIONS),
        expected=n,
    )


def _paired(task: str, quarters: int, seed: int) -> RetrievalData:
    n = 1000
    stream = SceneStream(task, seed)
    unseen = (Other(SceneStream(f"{task}-unseen", seed), quarters),) if quarters else ()
    return RetrievalData(
        left=WorldCorpus(f"mini {task} sounds", "audio", stream, n, others=unseen),
        right=WorldCorpus(f"mini {task} images", "image", stream, n),
        owner=np.arange(n),
        expected=n,
    )
