"""Modalities that an image tower embeds: the space has no weights of its own for them.

    hf:ORG/REPO?event=unibind&video=frames-8        in a URI
    [spaces.NAME]  event = "unibind"                in a lab file, for any space with images
                   video = "frames-8"

A recording of events becomes a picture of a named style (``modalities.events.pictures``); the
embedding of a video is the mean of the unit-norm embeddings of frames, evenly spaced, at unit norm.
Both share the image tower's weights and preprocessing: no key of another modality changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import parse_qsl, urlencode

from reactions.core.errors import UsageError, suggestion
from reactions.core.types import Modality, SpaceSpec

OPTIONS: tuple[Modality, ...] = ("event", "video")
"""The modalities, which are the names of the options as well."""

MAX_FRAMES = 256

_FRAMES = re.compile(r"frames-([1-9][0-9]{0,2})")
_IMAGE = "image"
_VERSIONS: Mapping[Modality, int] = {"event": 1, "video": 1}
"""Raise one whenever what is made of an item can change; what the image tower does has its tag."""


def split_derived(uri: str) -> tuple[str, dict[Modality, str]]:
    """Return a URI without its options for derived modalities, and those."""
    place, _, query = uri.partition("?")
    options = parse_qsl(query, keep_blank_values=True)
    how = {key: value for key, value in options if key in OPTIONS}
    if not how:
        return uri, {}
    rest = urlencode([(key, value) for key, value in options if key not in OPTIONS], safe="/")
    return f"{place}?{rest}" if rest else place, how


def derive(spec: SpaceSpec, how: Mapping[Modality, str]) -> SpaceSpec:
    """Return a space that embeds further modalities by its image tower.

    Args:
        spec: with a tower for images.
        how: modality to the style of event pictures, or ``"frames-N"`` for videos.

    Raises:
        UsageError: the space has no image tower, embeds the modality already, or there is no
            such style or number of frames.
    """
    if not how:
        return spec
    names = ", ".join(sorted(how))
    if _IMAGE not in spec.modalities or spec.adapter == "precomputed":
        raise UsageError(
            f"space '{spec.name}' cannot embed {names} by an image tower",
            why="its embeddings are in files"
            if spec.adapter == "precomputed"
            else f"it embeds {', '.join(spec.modalities)}",
            fix=f"leave {names} out, or choose a space with images",
            space=spec.name,
        )
    flops, tag = dict(spec.flops_per_item), dict(spec.preprocessing).get(_IMAGE, "")
    tags = dict(spec.preprocessing)
    for modality, value in how.items():
        if modality in spec.modalities:
            raise UsageError(
                f"space '{spec.name}' embeds {modality} by a tower of its own",
                fix=f"leave {modality} = {value} out",
                space=spec.name,
            )
        times = _CHECKS[modality](value)
        tags[modality] = f"{modality}-{value}-{_VERSIONS[modality]} {tag}".rstrip()
        if _IMAGE in flops:
            flops[modality] = times * flops[_IMAGE]
    return replace(
        spec,
        modalities=tuple(sorted({*spec.modalities, *how})),
        preprocessing=tuple(sorted(tags.items())),
        flops_per_item=tuple(sorted(flops.items())),
        derived=tuple(sorted(how.items())),
    )


def native(spec: SpaceSpec) -> SpaceSpec:
    """Return the space that an adapter opens: without what its image tower is to embed besides.

    Raises:
        UsageError: an image tower cannot embed it, or there is none.
    """
    if not spec.derived:
        return spec
    derived = dict(spec.derived)
    # A bundle's record may say anything.
    for modality, value in derived.items():
        if modality not in _CHECKS or _IMAGE not in spec.modalities:
            raise UsageError(
                f"space '{spec.name}' cannot embed {modality} by an image tower",
                why=f"{' and '.join(OPTIONS)} can be, by a space with images",
                space=spec.name,
            )
        _CHECKS[modality](value)
    return replace(
        spec,
        modalities=tuple(m for m in spec.modalities if m not in derived),
        preprocessing=tuple((m, tag) for m, tag in spec.preprocessing if m not in derived),
        flops_per_item=tuple((m, flops) for m, flops in spec.flops_per_item if m not in derived),
        derived=(),
    )


def n_frames(value: str) -> int:
    """Return N of ``"frames-N"``.

    Raises:
        UsageError: it is something else, or too many.
    """
    match = _FRAMES.fullmatch(value)
    if match is None or int(match[1]) > MAX_FRAMES:
        raise UsageError(
            f"cannot embed videos by '{value}'",
            why=f"it is not frames-N, with N from 1 to {MAX_FRAMES}",
            fix="video=frames-8",
        )
    return int(match[1])


def _one_picture(style: str) -> int:
    from reactions.modalities.events.pictures import STYLES

    if style not in STYLES:
        raise UsageError(
            f"no style of event pictures is called '{style}'",
            why=f"there are {', '.join(STYLES)}",
            fix=suggestion(style, STYLES),
        )
    return 1


_CHECKS: Mapping[Modality, Callable[[str], int]] = {"event": _one_picture, "video": n_frames}
"""Each returns how many pictures one item becomes."""
