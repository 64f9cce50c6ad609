"""Classes by prompts as plans: each is the mean of its prompts' embeddings, as in ``eval``."""

from __future__ import annotations

from collections.abc import Sequence

from reactions.core.centre_options import CentreOptions
from reactions.core.step import Step
from reactions.eval.prompts import class_prompts
from reactions.modalities.text import TEXT
from reactions.planning.centres import PlannedCentres
from reactions.planning.planner import Planner
from reactions.planning.scoring import check_embeds
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, needed_leaves
from reactions.steps.centres import Centres

BY_PROMPTS = CentreOptions(selection="all")
"""All prompts of a class are kept, and their mean is rescaled: the score of ``eval``."""


def plan_prompts(
    planner: Planner,
    target: Target,
    name: str,
    classes: Sequence[str],
    templates: Sequence[str],
    *,
    adjustment: Adjustment = NO_ADJUSTMENT,
) -> PlannedCentres:
    """Plan what stands for classes in a target's space.

    Args:
        planner: of the lab.
        target: whose space.
        name: of what has the classes, for people; folders of embeddings know the prompts by it.
        classes: at least one.
        templates: at least one, each with ``{class}``.
        adjustment: from ``fit_adjustment``.

    Raises:
        MissingError: the target lacks text.
    """
    check_embeds(target, TEXT.name, "naming classes", "a space that embeds text: --space NAME")
    prompts = class_prompts(f"{name} prompts", classes, templates)
    n = len(templates)
    embedded: dict[str, Step] = {
        f"texts/{leaf.label}": planner.encode(leaf, prompts, "prompts")
        for leaf in needed_leaves(target.space, TEXT.name, adjustment)
    }
    step = Centres(
        name=f"{name} in {target.name}",
        options=BY_PROMPTS,
        spans=tuple((n * i, n * (i + 1)) for i in range(len(classes))),
        dim=target.space.dim,
        scored=target.space,
        trained=target.trained,
        adjustment=adjustment,
        embedded=embedded,
    )
    return PlannedCentres(step, {"prompts": list(templates)}, ())
