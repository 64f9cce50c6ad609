"""Towers of the modalities that an image tower embeds; ``derived`` says which."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from reactions.core.errors import MissingError
from reactions.core.types import Encoder, Modality, Prepared, SpaceSpec
from reactions.encoders.derived import n_frames
from reactions.encoders.tower import Tower, TowerEncoder, unit_rows
from reactions.modalities.events.pictures import as_picture
from reactions.modalities.video import sampled
from reactions.modalities.videos.frames import Evenly, Frames, sample


def with_derived(encoder: Encoder, spec: SpaceSpec) -> TowerEncoder:
    """Return an encoder that embeds a space's derived modalities as well.

    Args:
        encoder: of the space without them.
        spec: the space with them.

    Raises:
        MissingError: its image tower cannot be reached.
    """
    if not isinstance(encoder, TowerEncoder):
        names = ", ".join(modality for modality, _ in spec.derived)
        raise MissingError(
            f"space '{spec.name}' cannot embed {names} by its image tower",
            why=f"the adapter '{spec.adapter}' opens it without towers",
            fix=f"leave {names} out",
            space=spec.name,
        )
    image = encoder.towers["image"]
    derived_towers = {modality: _TOWERS[modality](image, how) for modality, how in spec.derived}
    return TowerEncoder(spec, {**encoder.towers, **derived_towers})


def _events(image: Tower, style: str) -> Tower:
    def prepare(value: Any) -> Prepared:
        return image.prepare(as_picture(value, style))

    return Tower(prepare, image.project, image.batch_items, parts=image.parts, limits=image.limits)


def _video(image: Tower, how: str) -> Tower:
    n = n_frames(how)

    def prepare(value: Frames) -> Any:
        return tuple(image.prepare(frame) for frame in sample(value, Evenly(n)))

    def project(inputs: Sequence[Any]) -> Tensor:
        frames = list(chain.from_iterable(inputs))
        rows = [
            unit_rows(image.project(frames[start : start + image.batch_items]))
            for start in range(0, len(frames), image.batch_items)
        ]
        # (items * n, dim) -> (items, n, dim) -> (items, dim)
        return torch.cat(rows).view(len(inputs), n, -1).mean(dim=1)

    return Tower(
        prepare,
        project,
        max(1, image.batch_items // n),
        record=sampled(Evenly(n)),
        parts=image.parts,
        limits=image.limits,
    )


_TOWERS: Mapping[Modality, Callable[[Tower, str], Tower]] = {"event": _events, "video": _video}
