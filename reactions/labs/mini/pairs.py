"""Pairs of the mini world: the sound and the picture of one scene."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from reactions.core.errors import DataError, suggestion
from reactions.core.hashing import digest
from reactions.core.types import Digest, Modality
from reactions.data.pairs.config import VIDEO_MODALITIES
from reactions.labs.mini.corpora import WorldCorpus
from reactions.labs.mini.recipes import RECIPES, training_stream
from reactions.labs.mini.world import SceneStream


@dataclass(frozen=True)
class WorldPairs:
    """Scenes of one stream, heard and seen.

    Attributes:
        name: for messages and ids.
        stream: where the scenes come from.
        n_scenes: how many.
        modalities: of each scene, sorted.
        notices: none: every scene can be used.
    """

    name: str
    stream: SceneStream
    n_scenes: int
    modalities: tuple[Modality, ...] = field(default=VIDEO_MODALITIES, init=False)
    notices: tuple[str, ...] = field(default=(), init=False)

    @cached_property
    def digest(self) -> Digest:
        """Digest of both sides; nothing is rendered."""
        return digest("mini-pairs", [self.corpus(modality).digest for modality in VIDEO_MODALITIES])

    def __len__(self) -> int:
        return self.n_scenes

    def corpus(self, modality: Modality) -> WorldCorpus:
        """Return the sounds or the pictures; row ``i`` of either is scene ``i``.

        Raises:
            DataError: scenes are neither heard nor seen by this modality.
        """
        if modality not in VIDEO_MODALITIES:
            raise DataError(
                f"the pairs '{self.name}' have no {modality}",
                why=f"they are of {' and '.join(VIDEO_MODALITIES)}",
                modality=modality,
            )
        return WorldCorpus(f"{self.name} {modality}", modality, self.stream, self.n_scenes)


def pairs(name: str, *, n: int, seed: int) -> WorldPairs:
    """Return scenes that neither a training nor a corpus nor an evaluation set has.

    Args:
        name: of the section that asks for them; other names are the same scenes.
        n: scenes.
        seed: another seed is other scenes.
    """
    return WorldPairs(f"mini pairs {name}", SceneStream("pairs", seed), n)


def pairs_seen_by(space: str, name: str, *, n: int, training_seed: int) -> WorldPairs:
    """Return the first scenes on which a space was trained: they hold nothing new to it.

    Args:
        space: of the mini lab, trained on sounds with pictures.
        name: of the section that asks for them.
        n: scenes.
        training_seed: of the space's training.

    Raises:
        DataError: no such space, or it saw fewer scenes.
    """
    stage = _paired_stage(space) if space in RECIPES else None
    if stage is None:
        raise DataError(
            f"pairs.{name}.seen_by is '{space}'",
            why="it names a space of the mini lab that was trained on sounds with pictures",
            fix=suggestion(
                space, [recipe for recipe in RECIPES if _paired_stage(recipe) is not None]
            ),
        )
    n_seen = RECIPES[space].stages[stage].scenes
    if n > n_seen:
        raise DataError(
            f"pairs.{name}.world is {n}",
            why=f"{space} saw only {n_seen} scenes with sound and picture",
            fix=f"world = {n_seen}, or leave out seen_by for fresh scenes",
        )
    return WorldPairs(f"mini pairs {name}", training_stream(space, stage, training_seed), n)


def _paired_stage(space: str) -> int | None:
    """Return the number of the stage of a space's training that pairs sounds with pictures."""
    stages = enumerate(RECIPES[space].stages)
    return next(
        (i for i, stage in stages if {stage.left, stage.right} == set(VIDEO_MODALITIES)), None
    )
