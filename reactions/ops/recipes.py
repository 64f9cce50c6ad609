"""Recipes of training by name: those of molspace, and those that packages add.

``paper`` is Molecule-Space's own pipeline. ``cmcr`` and ``exmcr`` put the projector structure
and the learning objective of C-MCR and Ex-MCR in its place. Which side is projected, the
pseudo-pairs and the optimiser stay as they are; those methods train one projector, on all
pseudo-pairs, so there is no mixture. (Table 9 does not say whether its rows had one.)
``procrustes`` trains nothing: one orthogonal matrix, solved for on the same pseudo-pairs.

Installed packages add recipes (see docs/extending.md):

    [project.entry-points."molspace.recipes"]
    mine = "my_package:RECIPE"                  # a Recipe of this name

Source: Molecule-Space, section 4.4, Table 9.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace

from reactions.core.errors import UsageError, suggestion
from reactions.core.plugins import load_plugin, plugins, refuse_namesakes
from reactions.ops.architectures import CONSTANTS, Layer, cmcr_layers, exmcr_layers, paper_layers
from reactions.ops.recipe import OURS, PAPER, Recipe

GROUP = "molspace.recipes"

_FROM_MEMORY = (
    "its temperature, noise and weights are quoted from memory, not from a published "
    "configuration; compare with Table 9 with care"
)

BUILT_IN: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name=PAPER,
            layers=paper_layers,
            trainer="reactions.ops.projector_step:trainer",
            uses=OURS,
            is_mixture=True,
        ),
        Recipe(
            name="cmcr",
            layers=cmcr_layers,
            trainer="reactions.ops.mcr:trainer",
            constants=asdict(CONSTANTS["cmcr"]),
            notice=_FROM_MEMORY,
        ),
        Recipe(
            name="exmcr",
            layers=exmcr_layers,
            trainer="reactions.ops.mcr:trainer",
            constants=asdict(CONSTANTS["exmcr"]),
            notice=_FROM_MEMORY,
        ),
        Recipe(name="procrustes", solver="reactions.ops.procrustes:procrustes"),
    )
}


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes, molspace's own first; nothing is imported for it."""
    added = (point.name for point in plugins(GROUP) if point.name not in BUILT_IN)
    return (*BUILT_IN, *dict.fromkeys(added))


def recipe_of(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
        UsageError: none has this name, several have it, or what has it is not a ``Recipe``.
        MissingError: the package that provides it cannot be imported.
    """
    if name == PAPER:
        return BUILT_IN[name]  # the default: not worth looking up what is installed
    points = [point for point in plugins(GROUP) if point.name == name]
    refuse_namesakes(name, points, "recipes", is_built_in=name in BUILT_IN)
    if name in BUILT_IN:
        return BUILT_IN[name]
    if not points:
        names = recipe_names()
        raise UsageError(f"unknown recipe '{name}'", fix=suggestion(name, names))
    recipe = load_plugin(points[0], "the recipe")
    if not isinstance(recipe, Recipe) or recipe.name != name:
        raise UsageError(
            f"the entry point '{name}' ({points[0].value}) is not a recipe of this name",
            why=f"{GROUP} takes a reactions.ops.recipe.Recipe whose name is the entry point's",
            fix="fix or uninstall the package that provides it",
            name=name,
        )
    return recipe


def stored_layers(name: str, in_dim: int, out_dim: int, hidden_dim: int) -> tuple[Layer, ...]:
    """Return the layers of a head that was trained with a recipe, here or by its authors.

    Args:
        name: of the recipe.
        in_dim: width of the space that is projected.
        out_dim: width of the space it is projected into.
        hidden_dim: width that the first layer has. A single hidden layer is as wide as it is:
            published heads of C-MCR need not have the width that training here gives them.

    Raises:
        UsageError, MissingError: see ``recipe_of``.
    """
    layers = recipe_of(name).layers(in_dim, out_dim, hidden_dim)
    if len(layers) != 2:
        return layers
    first, last = layers
    return replace(first, n_out=hidden_dim), replace(last, n_in=hidden_dim)
