"""Corpora of the mini world: rows are rendered when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, suggestion
from reactions.core.hashing import digest
from reactions.core.types import Digest, Item, Modality, Waveform
from reactions.labs.mini import waveforms
from reactions.labs.mini.sentences import Style, captions
from reactions.labs.mini.views import POOR, VIEWS
from reactions.labs.mini.world import ADDED, WORLD_VERSION, Scenes, SceneStream

if TYPE_CHECKING:
    from numpy.typing import NDArray

MODALITIES: tuple[Modality, ...] = tuple(sorted((*VIEWS, "audio", "text")))

_VOICES = 1 << 16
"""Writers of a corpus are numbered from here, apart from those of captions for training."""

CORPUS_STYLES = (
    Style("sight", omit_percent=15),
    Style("sound", omit_percent=15),
    Style("sight", omit_percent=30, fillers=3),
    Style("sound", omit_percent=30, fillers=4),
)
"""The text corpus is written in these in turn: half of what is seen, half of what is heard."""


@dataclass(frozen=True, slots=True)
class Other:
    """A second source in a recording.

    Attributes:
        stream: its scenes; scene ``i`` sounds with scene ``i`` of the corpus.
        quarters: its loudness, in quarters of its own.
        percent: how many of the recordings it is in.
    """

    stream: SceneStream
    quarters: int
    percent: int = 100

    def scenes(self, index: NDArray[np.uint64]) -> tuple[Scenes, NDArray[np.bool_]]:
        """Return the scenes of these indices, and whether each is heard."""
        scenes = self.stream.at(index)
        return scenes, scenes.draw("heard", 100) < self.percent


@dataclass(eq=False)
class WorldCorpus:
    """Scenes of one stream in one modality.

    Attributes:
        name: for messages and progress lines.
        modality: one of ``MODALITIES``.
        stream: where the scenes come from.
        n_scenes: how many; scene ``i`` gives rows ``i * writers`` and following.
        writers: captions a scene; 1 for media.
        styles: how captions are written, row by row in turn.
        others: further sounds heard with each scene's own.
        poor: whether the sensor is a poor one: of events, thermal images or points.
    """

    name: str
    modality: Modality
    stream: SceneStream
    n_scenes: int
    writers: int = 1
    styles: tuple[Style, ...] = ()
    others: tuple[Other, ...] = ()
    poor: bool = field(default=False, metadata=ADDED)

    def __post_init__(self) -> None:
        if self.n_scenes < 1:
            raise DataError(f"corpus '{self.name}' is empty", why=f"{self.n_scenes} scenes")
        if self.modality not in MODALITIES:
            raise DataError(
                f"the mini world has no {self.modality}",
                why="it can be seen, heard and read: " + ", ".join(MODALITIES),
                fix=suggestion(self.modality, MODALITIES),
                modality=self.modality,
            )
        if self.poor and self.modality not in POOR:
            raise DataError(f"there is no poor sensor of {self.modality}")
        if self.stream.half_empty and self.modality == "text":
            raise DataError(f"nobody describes the empty places of corpus '{self.name}'")

    @cached_property
    def digest(self) -> Digest:
        """Digest of the world's version, the ids and what chooses the rows; nothing is rendered."""
        return digest("mini-corpus", {"world": WORLD_VERSION, **_content(self)})

    def __len__(self) -> int:
        return self.n_scenes * self.writers

    def items(self, start: int, stop: int) -> list[Item]:
        """Render rows ``start`` to ``stop`` (exclusive), in order."""
        rows = np.arange(len(self), dtype=np.uint64)[start:stop]
        scenes = self.stream.at(rows // np.uint64(self.writers))
        ids = self.ids()[start:stop]
        if (view := VIEWS.get(self.modality)) is not None:
            values = view(scenes, self.poor)
            return [Item(id, self.modality, x) for id, x in zip(ids, values, strict=True)]
        if self.modality == "audio":
            sounds = self._sounds(scenes, rows).astype(np.float32) / 32768
            return [
                Item(id, "audio", Waveform(sound, waveforms.RATE_HZ))
                for id, sound in zip(ids, sounds, strict=True)
            ]
        texts = self._texts(scenes, rows)
        return [Item(id, "text", text) for id, text in zip(ids, texts, strict=True)]

    def ids(self) -> list[str]:
        """Return the ids of all rows, in order; nothing is rendered."""
        # Ids differ between corpora: embeddings are looked up by them, and must not be mixed up.
        prefix = self.name.replace(" ", "-")
        return [f"{prefix}/{row}" for row in range(len(self))]

    def subjects(self) -> list[str]:
        """Return what each row shows: equal in two corpora where they show the same scene."""
        shown = digest("mini-scenes", {"world": WORLD_VERSION, **_content(self.stream)})
        return [f"{shown}/{row // self.writers}" for row in range(len(self))]

    def _sounds(self, scenes: Scenes, rows: NDArray[np.uint64]) -> NDArray[np.int16]:
        sounds = waveforms.sounds(scenes)
        for other in self.others:
            also, heard = other.scenes(rows)
            sounds = waveforms.overlay(sounds, waveforms.sounds(also), heard * other.quarters)
        return sounds

    def _texts(self, scenes: Scenes, rows: NDArray[np.uint64]) -> list[str]:
        writer = rows % np.uint64(self.writers)
        style = rows % np.uint64(len(self.styles))
        texts = np.empty(len(rows), object)
        for w in range(self.writers):
            for s, how in enumerate(self.styles):
                places = np.flatnonzero((writer == w) & (style == s))
                if len(places):
                    texts[places] = captions(scenes.take(places), how, variant=_VOICES + w)
        written: list[str] = texts.tolist()
        return written


def _content(part: Any) -> Any:
    """Return a dataclass as JSON, less the fields that came later and are at their defaults."""
    if isinstance(part, tuple):
        return [_content(entry) for entry in part]
    if not is_dataclass(part):
        return part
    values = {entry.name: (entry, getattr(part, entry.name)) for entry in fields(part)}
    return {
        name: _content(value)
        for name, (entry, value) in values.items()
        if not ("added" in entry.metadata and value == entry.default)
    }


def corpus(modality: Modality, *, n: int, seed: int) -> WorldCorpus:
    """Return the unpaired corpus of one modality.

    Different modalities show different scenes, so nothing is paired.

    Args:
        modality: one of ``MODALITIES``.
        n: rows.
        seed: another seed is another corpus.

    Raises:
        DataError: no such modality in this world, or no rows.
    """
    return WorldCorpus(
        name=f"mini {modality}",
        modality=modality,
        stream=SceneStream(f"corpus-{modality}", seed),
        n_scenes=n,
        styles=CORPUS_STYLES if modality == "text" else (),
    )
