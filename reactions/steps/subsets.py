"""The subsets of a mixture's modalities that have a projector each, and their names."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from reactions.core.errors import UsageError, suggestion
from reactions.core.settings import MAX_SUBSETS, Subsets
from reactions.core.types import Anchors, Modality
from reactions.modalities.registry import LETTERS

MANY = 15
"""All subsets of four modalities; plans say where there are more."""


def subset_name(anchors: Anchors) -> str:
    """Return ``"TVA"`` for the papers' modalities, else ``"depth+text"``."""
    letters = [letter for letter, modality in LETTERS.items() if modality in anchors]
    return "".join(letters) if len(letters) == len(anchors) else "+".join(sorted(anchors))


def subsets(anchors: Sequence[Modality], choice: Subsets = "all") -> list[Anchors]:
    """Return the subsets of the anchors that a mixture has a projector for.

    Args:
        anchors: the modalities that take part in training.
        choice: ``"all"`` that are not empty, ``"singles+all"``: each anchor alone and all of them
            together; or the subsets themselves.

    Returns:
        Sorted tuples, small subsets first, and text, image and audio before others.

    Raises:
        UsageError: ``"all"`` are more than ``MAX_SUBSETS``; or those that are named hold other
            modalities than the anchors, or leave one out.

    Source: Molecule-Space, section 4.1 (T, V, A, TV, TA, VA, TVA: seven projectors).
    """
    letters = list(LETTERS.values())
    # The papers' modalities as in T, V, A; behind them (9) all others by name.
    ordered = sorted(anchors, key=lambda m: (letters.index(m) if m in letters else 9, m))
    if not isinstance(choice, str):
        _check_named(choice, ordered)
        return sorted(choice, key=lambda subset: (len(subset), sorted(map(ordered.index, subset))))
    sizes = list(range(1, len(ordered) + 1))
    if choice == "singles+all":
        sizes = sorted({1, len(ordered)})
    elif 2 ** len(ordered) - 1 > MAX_SUBSETS:
        raise UsageError(
            f"{len(ordered)} modalities have {2 ** len(ordered) - 1} subsets",
            why=f"a mixture trains a projector on each, and at most {MAX_SUBSETS}",
            fix='subsets = "singles+all" under [reaction], or a list of subsets',
        )
    return [
        tuple(sorted(members))
        for size in sizes
        for members in itertools.combinations(ordered, size)
    ]


def _check_named(subsets_named: Sequence[Anchors], anchors: Sequence[Modality]) -> None:
    listed = ", ".join(anchors)
    for modality in dict.fromkeys(itertools.chain.from_iterable(subsets_named)):
        if modality not in anchors:
            raise UsageError(
                f"no modality '{modality}' to train on",
                why=f"reaction.subsets names it; those with a corpus here are {listed}",
                fix=suggestion(modality, anchors),
                modality=modality,
            )
    for modality in anchors:
        if not any(modality in subset for subset in subsets_named):
            raise UsageError(
                f"reaction.subsets leaves {modality} out",
                why=f"a mixture trains on every modality that has a corpus: {listed}",
                fix=f'add it to a subset, such as ["{modality}"], or leave out its corpus',
                modality=modality,
            )
