"""Recipes of installed packages: found by name, or refused with the package's name."""

from importlib import metadata

import pytest

from reactions.core.errors import MissingError, UsageError
from reactions.ops import recipes
from reactions.ops.architectures import paper_layers
from reactions.ops.recipe import Recipe
from reactions.ops.recipes import recipe_names, recipe_of

MINE = Recipe(name="mine", layers=paper_layers, trainer="nowhere:trainer", version=2)


def install(monkeypatch, *points):
    entries = metadata.EntryPoints(
        [metadata.EntryPoint(name, value, recipes.GROUP) for name, value in points]
    )
    monkeypatch.setattr(metadata, "entry_points", lambda **selection: entries.select(**selection))


def test_one_of_a_package_is_known_by_its_name(monkeypatch):
    install(monkeypatch, ("mine", f"{__name__}:MINE"))
    assert recipe_names() == ("paper", "cmcr", "exmcr", "procrustes", "mine")
    assert recipe_of("mine") is MINE
    # Its name and version enter keys; of our settings only what it uses.
    settings = {"hidden_dim": 8, "temperature": 0.1, "batch_size": 4}
    assert MINE.params(settings) == {"batch_size": 4, "recipe": "mine", "recipe_version": 2}


@pytest.mark.parametrize(
    ("name", "place", "error", "words"),
    [
        ("cmcr", f"{__name__}:MINE", UsageError, "several recipes are called 'cmcr'"),
        ("other", f"{__name__}:MINE", UsageError, "is not a recipe of this name"),
        ("other", f"{__name__}:install", UsageError, "is not a recipe of this name"),
        ("other", "no_such_module:MINE", MissingError, "cannot load the recipe 'other'"),
    ],
)
def test_what_cannot_be_used_is_refused(monkeypatch, name, place, error, words):
    install(monkeypatch, (name, place))
    with pytest.raises(error, match=words):
        recipe_of(name)
    assert recipe_of("paper").is_mixture  # others are not affected


def test_a_near_name_is_suggested(monkeypatch):
    install(monkeypatch, ("mine", f"{__name__}:MINE"))
    with pytest.raises(UsageError, match="unknown recipe 'mina'") as caught:
        recipe_of("mina")
    assert "did you mean 'mine'" in caught.value.fix
