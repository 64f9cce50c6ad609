"""What can be written and checked, and is refused before it is planned."""

from __future__ import annotations

from reactions.core.errors import UsageError
from reactions.core.types import Leaf, Space, leaves


def refuse_namesakes(space: Space) -> None:
    """Refuse different spaces of one name: bundles, scores and ``--experts`` go by names.

    Raises:
        UsageError: two leaves have the same name.
    """
    first: dict[str, Leaf] = {}
    for leaf in leaves(space):
        other = first.setdefault(leaf.spec.name, leaf)
        if other != leaf:
            once = ("", ", of which only one is centred")[other.spec.centre != leaf.spec.centre]
            raise UsageError(
                f"two different spaces are called '{leaf.spec.name}'",
                why=f"{other.spec.source} and {leaf.spec.source}{once}",
                fix="name them apart in molspace.toml, as [spaces.NAME] with path = the folder",
            )


def refuse_centred(space: Space) -> None:
    """Refuse centred spaces for projectors of others, which were trained on embeddings as they are.

    Raises:
        UsageError: one is centred.
    """
    for leaf in leaves(space):
        if leaf.spec.centre:
            raise UsageError(
                f"space '{leaf.label}' is centred in this lab",
                why="published projectors were trained on embeddings that are not",
                fix=f"centre = false under [spaces.{leaf.label}]",
            )
