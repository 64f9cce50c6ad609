"""Where pairs come from, in words of a lab file; nothing here looks at a disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from reactions.core.errors import DataError
from reactions.core.types import Modality
from reactions.data.sources.config import Source
from reactions.modalities.audio import AUDIO
from reactions.modalities.image import IMAGE
from reactions.modalities.videos.choice import ClipChoice

VIDEO = "video"
"""What names videos, where others name their modality."""

VIDEO_MODALITIES: tuple[Modality, ...] = (AUDIO.name, IMAGE.name)
"""What a clip of a video gives, sorted."""


@dataclass(frozen=True, slots=True)
class PairPlaces:
    """Where pairs come from, as a lab file says.

    Attributes:
        source: tables, shards, or, without ``names``, videos; how tables are written, their
            column of ids, what is left out.
        names: (modality, column of a table or ending of a shard's files) pairs, sorted; of
            tables of videos, one, of ``"video"``.
        folder: where the files lie that a table names; "" means beside it.
        clip: which part of a video is used; None for other files.
        by_id: whether a table's columns hold ids of embeddings, not names of files.
    """

    source: Source
    names: tuple[tuple[Modality, str | int], ...] = ()
    folder: str = ""
    clip: ClipChoice | None = field(default=None)
    by_id: bool = False

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What each pair has, sorted."""
        return VIDEO_MODALITIES if self.clip else tuple(modality for modality, _ in self.names)


def no_pairs(section: str, why: str, fix: str = "", **fields: object) -> DataError:
    """Return the error for a section that gives no pairs."""
    fix = fix or f"correct [{section}] in the lab file"
    return DataError(f"no pairs of [{section}] can be used", why=why, fix=fix, **fields)


def joined_verdicts(
    modalities: Sequence[Modality], whys: Sequence[Sequence[str]]
) -> list[list[str]]:
    """Return for each side why its rows cannot be used: for its own fault, or another side's.

    Args:
        modalities: of the sides.
        whys: for each of them, the reason of every row, "" for good ones.
    """
    joined: list[list[str]] = [[] for _ in modalities]
    for reasons in zip(*whys, strict=True):
        first = next((i for i, why in enumerate(reasons) if why), None)
        for i, side in enumerate(joined):
            if first is None or reasons[i]:
                side.append(reasons[i])
            else:
                side.append(f"its {modalities[first]}: {reasons[first]}")
    return joined
