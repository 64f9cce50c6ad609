"""A small catalogue to check reactions against."""

from reactions.core.catalogue import Catalogue
from reactions.core.errors import MissingError
from reactions.core.types import SpaceSpec


def spec(name, dim, *modalities, **more):
    fields = {"adapter": "mini", "source": "/nowhere", **more}
    return SpaceSpec(name, dim, tuple(sorted(modalities)), **fields)


def _resolve(uri):
    if uri.startswith("open_clip:"):
        return spec(uri, 32, "image", "text")
    raise MissingError(f'cannot open the space "{uri}"', why="no adapter", fix="see the guide")


CATALOGUE = Catalogue(
    {
        s.name: s
        for s in [
            spec("ImageBind", 128, "audio", "image", "text"),
            spec("Bound", 128, "audio", "image", "text", hub="image"),
            spec("InternVL", 96, "image", "text"),
            spec("CLAP_g", 64, "audio", "text"),
            spec("CLAP_m", 64, "audio", "text"),
            spec("Uni3D", 48, "image", "points", "text"),
            spec("Radar", 16, "radar"),
            spec("Sonar", 16, "radar"),
            spec("e5-small", 24, "text"),
        ]
    },
    _resolve,
)
