"""Generators by name: ours, and those of installed packages, imported when they are asked for.

[project.entry-points."molspace.generators"]
parrot = "my_package:Parrot"        # called with a GeneratorSpec, gives a Generator
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from reactions.core.errors import MolspaceError, UsageError, suggestion
from reactions.core.plugins import load_plugin, plugins, refuse_namesakes, unusable_plugin
from reactions.knowledge.generation.base import Generator, GeneratorFactory
from reactions.knowledge.generation.specification import FORMS, parse_generator

GROUP = "molspace.generators"

GENERATORS: Mapping[str, str] = {
    "openai": "reactions.knowledge.generation.endpoint:openai_generator",
    "hf": "reactions.knowledge.generation.pipeline:pipeline_generator",
}
"""Those of this room: ``module:function``."""


def open_generator(text: str, own: Mapping[str, GeneratorFactory]) -> Generator:
    """Return the generator that a text names; nothing is asked and nothing loaded.

    Args:
        text: ``NAME:MODEL?key=value&...``.
        own: generators that belong to a lab, by name.

    Raises:
        UsageError: no generator has the name, or it cannot make sense of the rest.
        MissingError: the package of its entry point cannot be imported.
    """
    spec = parse_generator(text)
    name = spec.scheme
    points = [point for point in plugins(GROUP) if point.name == name]
    refuse_namesakes(name, points, "generators", is_built_in=name in GENERATORS or name in own)
    if name in own:
        return own[name](spec)
    if name in GENERATORS:
        module, _, attribute = GENERATORS[name].partition(":")
        built_in: GeneratorFactory = getattr(import_module(module), attribute)
        return built_in(spec)
    if not points:
        names = [*GENERATORS, *own, *(point.name for point in plugins(GROUP))]
        raise UsageError(
            f"unknown generator '{name}'",
            fix=f"{suggestion(name, names)}   ({FORMS})",
            generator=text,
            known=names,
        )
    factory: GeneratorFactory = load_plugin(points[0], "the generator")
    try:
        return factory(spec)
    except MolspaceError:
        raise
    except Exception as error:  # it is somebody else's code
        why = f"{type(error).__name__}: " + " ".join(str(error).split())
        raise unusable_plugin(points[0], "the generator", why) from error
