"""Scenes of the mini world in several modalities, embedded and looked at side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from reactions.core.types import Modality
from reactions.experiments.unibind.claims import (
    GAP,
    POINT_DIRECTIONS,
    SAME_CLASS,
    SAME_MODALITY,
    SILHOUETTE_CLASS,
    SILHOUETTE_MODALITY,
    at,
)

if TYPE_CHECKING:
    from reactions.inference.embedder import Embedder

MODALITIES: tuple[Modality, ...] = ("image", "audio", "event", "thermal", "point")
N_SCENES = 400
"""That are shown in each of the modalities, to see how they lie."""

NEIGHBOURS = 10

N_POINT_SCENES = 1000
"""That are shown as a cloud and as a picture, for retrieval."""


def geometry(embedder: Embedder, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return how scenes lie that are embedded in several modalities.

    Args:
        embedder: of a space that has all of ``MODALITIES``.
        seed: of the scenes.

    Returns:
        The measures of ``claims.GEOMETRY``: the gap as one number, the others one a row.
    """
    import torch

    from reactions.ops.geometry import mean_distance, neighbours, shared, silhouette

    shown, kinds = embedded(embedder, "unibind-geometry", MODALITIES, N_SCENES, seed)
    groups = [torch.from_numpy(shown[modality]) for modality in MODALITIES]
    rows = torch.cat(groups)
    modality = torch.arange(len(groups)).repeat_interleave(N_SCENES)
    kind = torch.from_numpy(np.tile(kinds, len(groups)))
    nearest = neighbours(rows, NEIGHBOURS)
    return {
        GAP: np.array([mean_distance(groups)]),
        SILHOUETTE_MODALITY: silhouette(rows, modality).numpy(),
        SILHOUETTE_CLASS: silhouette(rows, kind).numpy(),
        SAME_MODALITY: shared(modality, nearest).numpy(),
        SAME_CLASS: shared(kind, nearest).numpy(),
    }


def point_retrieval(embedder: Embedder, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return whether the nearest picture to each cloud is of its kind, and the other way round.

    Args:
        embedder: of a space of points and images.
        seed: of the scenes.

    Returns:
        (n,) 0 or 1 for each of ``claims.POINT_DIRECTIONS``. The first of equally near ones counts.
    """
    shown, kinds = embedded(embedder, "unibind-points", ("point", "image"), N_POINT_SCENES, seed)
    cosines = shown["point"].astype(np.float64) @ shown["image"].astype(np.float64).T
    forward, backward = POINT_DIRECTIONS
    return {
        at(forward, 1): (kinds[cosines.argmax(axis=1)] == kinds).astype(np.float64),
        at(backward, 1): (kinds[cosines.argmax(axis=0)] == kinds).astype(np.float64),
    }


def embedded(
    embedder: Embedder, name: str, modalities: Sequence[Modality], n: int, seed: int
) -> tuple[Mapping[Modality, NDArray[np.float32]], NDArray[np.int64]]:
    """Embed the same scenes in several modalities.

    Args:
        embedder: of a space that has them.
        name: of the stream.
        modalities: which.
        n: scenes.
        seed: another seed is other scenes.

    Returns:
        Modality to (n, d) unit-norm rows; (n,) kinds of the scenes.
    """
    from reactions.labs.mini import WorldCorpus
    from reactions.labs.mini.world import SceneStream

    stream = SceneStream(name, seed, balanced=True)
    rows = {
        modality: embedder.embed(modality, WorldCorpus(name, modality, stream, n).items(0, n))
        for modality in modalities
    }
    return rows, stream.scenes(0, n).kind
