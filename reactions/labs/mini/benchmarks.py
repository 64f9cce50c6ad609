"""Miniatures of evaluation sets: same task, same protocol, procedural media.

The two sets of a family differ as their namesakes do: Clotho's captions are longer and
vaguer than AudioCaps', Flickr30K's denser than COCO's, FlickrNet's sounds less clean than
VGG-SS's; ShapeNet's points fewer than ModelNet40's, RGB-T's pictures darker than LLVIP's,
N-ImageNet's recordings noisier than N-Caltech101's, which are of Caltech-101's pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from reactions.core.errors import MissingError, suggestion
from reactions.eval.published import no_split
from reactions.eval.registry import evaluation_set, get_task
from reactions.eval.task_data import BenchmarkData, ClassificationData, without_fold
from reactions.labs.mini import classes
from reactions.labs.mini.corpora import WorldCorpus
from reactions.labs.mini.miniatures import (
    Captioning,
    Filming,
    Miniature,
    Pairing,
    Recognition,
    Tagging,
)
from reactions.labs.mini.sentences import Style

_VISIBLE = "_visible"
"""Ending of a part whose scenes are seen by the camera beside the thermal one."""

_CALTECH = Recognition(
    n=1000,
    classes=classes.names(classes.OBJECTS),
    labels=classes.labels_among(classes.OBJECTS),
    kinds=classes.OBJECTS,
    alone=True,
)


MINIATURES: Mapping[str, Miniature] = {
    "esc50": Recognition(folds=5),
    "audioset": Tagging(1000, second=70, third=35),
    "audiocaps": Captioning(1000, Style("sound", omit_percent=20)),
    "clotho": Captioning(1000, Style("sound", omit_percent=30, mistake_percent=4, fillers=5)),
    "coco": Captioning(1000, Style("sight", omit_percent=30)),
    "flickr30k": Captioning(1000, Style("sight", omit_percent=15, fillers=3)),
    "vggss": Filming(1000, unseen_quarters=0),
    "flickrnet": Filming(1000, unseen_quarters=1),
    "imagenet": Recognition(),
    "places365": Recognition(n=1200, classes=classes.VIEWS, labels=classes.views),
    "caltech101": _CALTECH,
    "modelnet40": Recognition(
        n=1000,
        classes=classes.names(classes.OBJECTS),
        labels=classes.labels_among(classes.OBJECTS),
        kinds=classes.OBJECTS,
    ),
    "shapenet": Recognition(
        n=1600,
        classes=classes.names(classes.SHAPES),
        labels=classes.labels_among(classes.SHAPES),
        kinds=classes.SHAPES,
        poor=True,
    ),
    "urbansound8k": Recognition(
        classes=classes.names(classes.CITY_SOUNDS),
        labels=classes.labels_among(classes.CITY_SOUNDS),
        kinds=classes.CITY_SOUNDS,
        folds=10,
    ),
    "llvip": Recognition(
        n=1000, classes=classes.PRESENCE, labels=classes.presence, half_empty=True
    ),
    "rgbt": Recognition(
        n=1000, classes=classes.PRESENCE, labels=classes.presence, half_empty=True, poor=True
    ),
    "msrvtt": Recognition(n=1000, classes=classes.TOPICS, labels=classes.topics),
    "ucf101": Recognition(n=1500, classes=classes.ACTIONS, folds=3),
    "ncaltech101": replace(_CALTECH, scenes_of="caltech101"),
    "nimagenet": Recognition(n=1000, poor=True),
    "ncaltech101_images": Pairing(_CALTECH, "caltech101"),
}

TASKS = tuple(MINIATURES)


def benchmark(task: str, *, seed: int, part: str = "") -> BenchmarkData:
    """Return the miniature of an evaluation set.

    Args:
        task: its name.
        seed: another seed is another set of the same kind.
        part: "" for the set itself; "validation" for as many other scenes, to choose by.

    Raises:
        MissingError: the mini lab has no such task.
    """
    if task not in MINIATURES:
        raise MissingError(
            f"the mini lab has no task '{task}'",
            fix=suggestion(task, TASKS),
            task=task,
        )
    return MINIATURES[task].data(get_task(task), part, seed)


def split(task: str, name: str, *, seed: int) -> ClassificationData:
    """Return a part of a miniature that may be trained on.

    Args:
        task: its name.
        name: ``train``: as many other scenes; ``train_visible``: pictures of the same;
            ``foldN``: the items of all folds but that one.
        seed: of the set.

    Raises:
        MissingError: the mini lab has no such task.
        UsageError: the task has no such part.
    """
    published = evaluation_set(task)
    if name not in published.splits:
        raise no_split(published.task, name, published.splits)
    has_folds = name.startswith("fold")
    part = name.removesuffix(_VISIBLE)
    data = benchmark(task, seed=seed, part="" if has_folds else part)
    assert isinstance(data, ClassificationData)  # what has splits is recognised by class
    if part != name:
        assert isinstance(data.queries, WorldCorpus)  # as all items of miniatures are
        return replace(data, queries=replace(data.queries, modality="image", poor=False))
    return without_fold(data, int(name.removeprefix("fold")), name) if has_folds else data
