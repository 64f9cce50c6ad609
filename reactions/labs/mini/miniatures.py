"""What a miniature of an evaluation set is: which scenes it shows, and what is asked of them.

Scenes come from a stream named after the set, so no two sets, and no two parts of one, have any
in common, unless one shows another's scenes in another modality (``Recognition.scenes_of``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from reactions.eval.task import Task
from reactions.eval.task_data import (
    BenchmarkData,
    ClassificationData,
    MultilabelData,
    RetrievalData,
)
from reactions.labs.mini.corpora import Other, WorldCorpus
from reactions.labs.mini.sentences import Style
from reactions.labs.mini.world import CLASSES, N_CLASSES, Scenes, SceneStream

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Miniature(Protocol):
    """A set in miniature."""

    def data(self, task: Task, part: str, seed: int) -> BenchmarkData:
        """Return its data.

        Args:
            task: the set's.
            part: "" for what is evaluated; other names are other scenes.
            seed: another seed is another set of the same kind.
        """


def _named(task: str, part: str) -> str:
    return f"{task} {part}" if part else task


def _kinds(scenes: Scenes) -> NDArray[np.int64]:
    return scenes.kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognition:
    """Scenes, each of one class.

    Attributes:
        n: scenes.
        classes: names, in the order of labels.
        labels: scenes to labels.
        kinds: of things, which come in turn; () for all of them.
        alone: whether every scene is of one thing.
        half_empty: whether every other scene has nothing in it.
        poor: whether the sensor is a poor one.
        folds: in how many the set is published; 0 if in none.
        scenes_of: the set whose scenes are shown; "" for its own.
    """

    n: int = 2000
    classes: tuple[str, ...] = CLASSES
    labels: Callable[[Scenes], NDArray[np.int64]] = _kinds
    kinds: tuple[int, ...] = ()
    alone: bool = False
    half_empty: bool = False
    poor: bool = False
    folds: int = 0
    scenes_of: str = ""

    def stream(self, task: str, part: str, seed: int) -> SceneStream:
        """Return where the scenes come from."""
        return SceneStream(
            _named(self.scenes_of or task, part),
            seed,
            balanced=not self.half_empty,  # every second of 50 kinds would never be seen
            kinds=self.kinds,
            alone=self.alone,
            half_empty=self.half_empty,
        )

    def data(self, task: Task, part: str, seed: int) -> ClassificationData:
        """Return scenes and their classes."""
        stream = self.stream(task.name, part, seed)
        name = f"mini {_named(task.name, part)}"
        in_turn = len(self.kinds) or N_CLASSES
        return ClassificationData(
            queries=WorldCorpus(name, task.query, stream, self.n, poor=self.poor),
            labels=self.labels(stream.scenes(0, self.n)),
            classes=self.classes,
            folds=np.arange(self.n) // in_turn % self.folds if self.folds else None,
            expected=self.n,
        )


@dataclass(frozen=True, slots=True)
class Pairing:
    """Scenes of a recognition set, twice: as two modalities show them.

    Attributes:
        shown: the set.
        named: its name.
    """

    shown: Recognition
    named: str

    def data(self, task: Task, part: str, seed: int) -> RetrievalData:
        """Return both sides, with classes."""
        stream = self.shown.stream(self.named, part, seed)
        name, n = f"mini {_named(task.name, part)}", self.shown.n
        labels = self.shown.labels(stream.scenes(0, n))
        return RetrievalData(
            left=WorldCorpus(f"{name} {task.query}", task.query, stream, n),
            right=WorldCorpus(f"{name} {task.other}", task.other, stream, n),
            owner=np.arange(n),
            expected=n,
            left_labels=labels,
            right_labels=labels,
        )


@dataclass(frozen=True, slots=True)
class Tagging:
    """Recordings of one to three sources, all of which are labels.

    Attributes:
        n: recordings.
        second: in how many per cent of them a second source sounds.
        third: likewise.
    """

    n: int
    second: int
    third: int

    def data(self, task: Task, part: str, seed: int) -> MultilabelData:
        """Return recordings and their labels."""
        name = _named(task.name, part)
        stream = SceneStream(name, seed)
        other_sounds = (
            Other(SceneStream(f"{name}-second", seed), quarters=4, percent=self.second),
            Other(SceneStream(f"{name}-third", seed), quarters=4, percent=self.third),
        )
        targets: NDArray[np.bool_] = np.zeros((self.n, N_CLASSES), np.bool_)
        rows = np.arange(self.n)
        targets[rows, stream.scenes(0, self.n).kind] = True
        for other in other_sounds:
            scenes, heard = other.scenes(rows.astype(np.uint64))
            targets[rows[heard], scenes.kind[heard]] = True
        return MultilabelData(
            queries=WorldCorpus(f"mini {name}", task.query, stream, self.n, others=other_sounds),
            targets=targets,
            classes=CLASSES,
            expected=self.n,
        )


@dataclass(frozen=True, slots=True)
class Captioning:
    """Scenes with captions.

    Attributes:
        n: scenes.
        style: of the captions.
        writers: captions a scene.
    """

    n: int
    style: Style
    writers: int = 5

    def data(self, task: Task, part: str, seed: int) -> RetrievalData:
        """Return scenes and captions."""
        name = _named(task.name, part)
        stream = SceneStream(name, seed)
        return RetrievalData(
            left=WorldCorpus(f"mini {name}", task.query, stream, self.n),
            right=WorldCorpus(
                f"mini {name} captions",
                "text",
                stream,
                self.n,
                writers=self.writers,
                styles=(self.style,),
            ),
            owner=np.repeat(np.arange(self.n), self.writers),
            expected=self.n,
        )


@dataclass(frozen=True, slots=True)
class Filming:
    """The sounds and the images of scenes.

    Attributes:
        n: scenes.
        unseen_quarters: loudness, in quarters, of a second source that is heard but not seen.
    """

    n: int
    unseen_quarters: int

    def data(self, task: Task, part: str, seed: int) -> RetrievalData:
        """Return sounds and images."""
        name = _named(task.name, part)
        stream = SceneStream(name, seed)
        other = Other(SceneStream(f"{name}-unseen", seed), self.unseen_quarters)
        return RetrievalData(
            left=WorldCorpus(
                f"mini {name} sounds",
                "audio",
                stream,
                self.n,
                others=(other,) if self.unseen_quarters else (),
            ),
            right=WorldCorpus(f"mini {name} images", "image", stream, self.n),
            owner=np.arange(self.n),
            expected=self.n,
        )
