"""How a product is measured on the items that were held back from its training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.step import Step
from reactions.core.types import Corpus, Leaf, Modality, Space, leaves
from reactions.data.holdout import LEAST_HELD, has_own_ids, ids_of, in_common
from reactions.planning.parts import PlannedParts
from reactions.planning.planned import PlannedLearning, PlannedTuning
from reactions.planning.training import Splits
from reactions.products.tree import tuned_leaf, tuned_nodes, tunes
from reactions.steps.quality import MeasureProduct, PairRows

if TYPE_CHECKING:
    from numpy.typing import NDArray


def plan_quality(
    space: Space,
    splits: Splits,
    heads: Sequence[Mapping[str, Step]],
    parts: PlannedParts,
    *,
    encode: Callable[[Leaf, Corpus], Step],
    mean: Callable[[Leaf, Modality], Step],
) -> Step | None:
    """Plan the measuring of a product on what was held back; None where nothing was.

    Args:
        space: the product.
        splits: the corpora of each pair of spaces, divided.
        heads: subset to train step of each mixture.
        parts: what each Ft and Lcl trains.
        encode: plans embeddings of what was held back, as a leaf's encoder gives them.
        mean: plans the mean of a leaf's training rows.
    """
    corpora: dict[Modality, Corpus] = {}
    for modality in space.modalities:
        divided = [
            by_modality[modality] for by_modality in splits.values() if modality in by_modality
        ]
        measured = [split.measured for split in divided if split.measured is not None]
        if measured and len(measured) == len(divided):
            shared = in_common(measured)
            if shared is not None:
                corpora[modality] = shared
    if not corpora:
        return None
    held_steps: dict[str, dict[Modality, Step]] = {}
    means: dict[str, dict[Modality, Step]] = {}
    for modality, corpus in corpora.items():
        for leaf in leaves(space):
            if modality in leaf.modalities:
                held_steps.setdefault(leaf.label, {})[modality] = encode(leaf, corpus)
                # Of the training rows, as in the bundle: what is measured must not enter the mean.
                means.setdefault(leaf.label, {})[modality] = mean(leaf, modality)
    for _, node in tuned_nodes(space):
        modality = node.arguments[0]
        if tunes(node, modality) and modality in corpora:
            leaf = tuned_leaf(node)
            held_steps.setdefault(leaf.label, {})[modality] = encode(leaf, corpora[modality])
    pairs, reason = paired(corpora)
    return MeasureProduct(
        product=space,
        held=held_steps,
        means=means,
        heads=heads,
        tuned=[part.step for part in parts.values() if isinstance(part, PlannedTuning)],
        learned=[part.made_by for part in parts.values() if isinstance(part, PlannedLearning)],
        pairs=pairs,
        reason=reason,
    )


def too_few_to_hold(corpora: Sequence[Corpus], share: float) -> str:
    """Return why nothing is held back of corpora that are trained on; "" where something is."""
    smallest = min(corpora, key=len, default=None)
    if smallest is None or len(smallest) * share >= LEAST_HELD:
        return ""
    return (
        f"nothing is held back: {share:.0%} of {len(smallest)} {smallest.modality} rows are too "
        "few to measure with"
    )


def paired(
    corpora: Mapping[Modality, Corpus],
) -> tuple[dict[tuple[Modality, Modality], PairRows], str]:
    """Return the rows of items that are in two modalities, by their ids.

    Returns:
        (first, second) modality to the rows of each; and why there are none, or "".
    """
    ids = {m: ids_of(corpus) for m, corpus in corpora.items() if has_own_ids(corpus)}
    pairs: dict[tuple[Modality, Modality], PairRows] = {}
    for first, second in combinations(sorted(ids), 2):
        place = {id: row for row, id in enumerate(ids[second])}
        rows: list[tuple[int, int]] = [
            (row, place[id]) for row, id in enumerate(ids[first]) if id in place
        ]
        if rows:
            index: NDArray[np.int64] = np.array(rows, np.int64)
            pairs[first, second] = index[:, 0], index[:, 1]
    if pairs:
        return pairs, ""
    if len(corpora) < 2:
        return {}, f"only {next(iter(corpora))} was held back"
    nameless = [m for m in corpora if m not in ids]
    if len(ids) < 2:
        return {}, f"rows of {', '.join(nameless)} have no ids of their own"
    return {}, "no id that was held back is in two modalities"
