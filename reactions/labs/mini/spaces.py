"""The mini lab's spaces: the files of weights each is made of, and its section of a lab file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reactions.core.types import Modality


@dataclass(frozen=True, slots=True)
class MiniSpace:
    """A space made of trained encoders (``recipes.RECIPES``).

    Attributes:
        name: in reactions.
        source: the recipe whose towers it has.
        modalities: that it takes of them.
        needs: towers in files of their own (``SOURCE-MODALITY``) that it is not itself without.
        also: further ones, if they are there.
        derived: modalities that its image tower embeds, and how.
        hub: of the space.
    """

    name: str
    source: str
    modalities: tuple[Modality, ...]
    needs: tuple[Modality, ...] = ()
    also: tuple[Modality, ...] = ()
    derived: tuple[tuple[Modality, str], ...] = ()
    hub: Modality = ""


_PICTURES = (("event", "unibind"), ("video", "frames-4"))

SPACES = (
    MiniSpace(
        "ImageBind",
        "ImageBind",
        ("audio", "image", "text"),
        also=("depth", "thermal"),
        derived=_PICTURES,
        hub="image",
    ),
    MiniSpace("InternVL", "InternVL", ("image", "text")),
    MiniSpace("CLAP_g", "CLAP_g", ("audio", "text")),
    MiniSpace("CLAP_m", "CLAP_m", ("audio", "text")),
    MiniSpace(
        "PointBind",
        "ImageBind",
        ("audio", "image", "text"),
        needs=("point",),
        also=("depth", "thermal"),
        derived=_PICTURES,
        hub="image",
    ),
    MiniSpace("EventBind", "ImageBind", ("image", "text"), needs=("event",), hub="image"),
    MiniSpace("PointExpert", "InternVL", ("image",), needs=("point",), hub="image"),
)
"""ImageBind, InternVL and the CLAPs are the papers' cast. PointBind is ImageBind with a sense for
points, as the real one is. EventBind counts events where ImageBind looks at a picture of them; it
stands for E-CLIP, which was trained to. PointExpert knows points better than PointBind, and
images as InternVL does; its texts are withheld, so that what a reaction with it brings comes by
way of images and points."""


def space_sections(record: Mapping[str, Any], revision: Mapping[str, str]) -> list[str]:
    """Return the ``[spaces]`` sections of a lab file, line by line.

    Args:
        record: ``spaces`` of a ``spaces.json``: spaces whose files it does not have are left out.
        revision: of each recipe, for people.
    """
    from reactions.encoders.mini import PREPROCESSING

    lines: list[str] = []
    for space in SPACES:
        files = {m: f"{space.source}-{m}" for m in (*space.needs, *space.also)}
        towers = {m: file for m, file in sorted(files.items()) if file in record}
        if space.source not in record or not set(space.needs) <= set(towers):
            continue
        modalities = sorted({*space.modalities, *towers})
        source = record[space.source]
        flops = {m: source["flops_per_item"][m] for m in space.modalities}
        flops |= {m: record[file]["flops_per_item"][m] for m, file in towers.items()}
        lines += [
            "",
            f"[spaces.{space.name}]",
            'adapter = "mini"',
            f'source = "{space.source}.safetensors"',
            f"dim = {source['dim']}",
            f"modalities = {json.dumps(modalities)}",
            f'revision = "{revision[space.source]}"',
            'licence = "Apache-2.0"',
            f'digest = "{source["sha256"]}"',
            'lab = "mini"',
        ]
        if towers:
            digests = (f'{m} = "{record[file]["sha256"]}"' for m, file in towers.items())
            lines.append(f"towers = {{ {', '.join(digests)} }}")
        lines += [f'{modality} = "{how}"' for modality, how in space.derived]
        if space.hub:
            lines.append(f'hub = "{space.hub}"')
        tags = ", ".join(f'{m} = "{PREPROCESSING[m]}"' for m in modalities)
        costs = ", ".join(f"{m} = {float(flops[m])}" for m in modalities)
        lines += [f"preprocessing = {{ {tags} }}", f"flops = {{ {costs} }}"]
    return lines
