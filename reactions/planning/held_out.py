"""What a reaction is trained on, with which numbers, and how its product is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.settings import ReactionSettings
from reactions.core.step import Step, parameters
from reactions.core.types import Corpus, Fusion, Leaf, Modality, Space, leaves
from reactions.data.holdout import Split, has_own_ids, ids_of, in_common
from reactions.labs.choices import RULE, Training
from reactions.labs.lab import Lab
from reactions.steps.quality import MeasureProduct, PairRows
from reactions.steps.subsets import subset_name, subsets

if TYPE_CHECKING:
    from numpy.typing import NDArray

Splits = Mapping[tuple[Fusion, int], Mapping[Modality, Split]]
"""The divided corpora of each (fusion, index of expert)."""


@dataclass(frozen=True, slots=True)
class RowCount:
    """How much of a corpus is used.

    Attributes:
        modality: of its items.
        corpus: its name.
        rows: items trained on.
        held_out: items held back.
    """

    modality: Modality
    corpus: str
    rows: int
    held_out: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PlannedProjector:
    """What one projector is trained with.

    Attributes:
        pair: the two spaces, as ``A + Cr(B)``.
        subset: name of the pseudo sets it is trained on.
        rows: pseudo-pairs in them.
        training: the numbers, and which of them the plan chose.
    """

    pair: str
    subset: str
    rows: int
    training: Training

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a flat JSON object."""
        chosen = {**asdict(self.training), "chosen": list(self.training.chosen)}
        return {"pair": self.pair, "subset": self.subset, "rows": self.rows, **chosen}


def settings_for(lab: Lab, space: Space) -> ReactionSettings:
    """Return the settings of a reaction: the lab's, but for folders in a lab of ours.

    What the embedded labs say is meant for their own spaces and corpora. Where a reaction has
    none of them, because all it is made of are folders of embeddings, the defaults hold.
    """
    settings = lab.settings
    if not lab.is_built_in or any(leaf.spec.adapter != "precomputed" for leaf in leaves(space)):
        return settings
    return replace(
        settings,
        hidden_dim=None,
        batch_size=None,
        dr_epochs=None,
        cr_epochs=None,
        holdout=ReactionSettings().holdout,
    )


def settings_record(settings: ReactionSettings) -> dict[str, Any]:
    """Return settings for a bundle: what is chosen by rows, or not held back, is left out."""
    record = {**parameters(settings), "dtype": settings.stored_dtype}
    return {
        name: value
        for name, value in record.items()
        if value is not None and (name, value) != ("holdout", 0)
    }


def row_counts(splits: Splits) -> tuple[RowCount, ...]:
    """Return how much of every corpus is used, each corpus once."""
    counts: dict[tuple[Modality, str], RowCount] = {}
    for by_modality in splits.values():
        for modality, split in by_modality.items():
            count = RowCount(modality, split.whole.name, len(split.training), split.n_held)
            counts.setdefault((modality, split.whole.digest), count)
    return tuple(counts.values())


def many_subsets(label: str, anchors: Sequence[Modality], mixture: Mapping[str, Step]) -> str:
    """Return a notice on a mixture of all subsets of many modalities.

    Args:
        label: of the mixture.
        anchors: its modalities.
        mixture: subset to train step.
    """
    fewer = [subset_name(subset) for subset in subsets(anchors, "singles+all")]
    flops = {name: step.cost.flops for name, step in mixture.items()}
    share = sum(flops[name] for name in fewer) / max(sum(flops.values()), 1.0)
    return (
        f"{label}: {len(mixture)} projectors, one for each subset of {len(anchors)} modalities; "
        f'subsets = "singles+all" under [reaction] trains {len(fewer)} of them, with {share:.0%} '
        "of the compute"
    )


def choices_notices(projectors: Sequence[PlannedProjector]) -> tuple[str, ...]:
    """Say which numbers were chosen, and why; empty where the lab says all of them."""
    groups: dict[tuple[str, int, Training], list[str]] = {}
    for projector in projectors:
        if projector.training.chosen:
            groups.setdefault((projector.pair, projector.rows, projector.training), []).append(
                projector.subset
            )
    sentences = []
    for (pair, rows, training), names in groups.items():
        values = [
            f"{name} {value}"
            for name, value in (
                ("hidden width", "hidden_dim" in training.chosen and training.hidden_dim),
                ("batch", "batch_size" in training.chosen and training.batch_size),
                ("epochs", training.chosen[-1].endswith("epochs") and training.epochs),
            )
            if value
        ]
        sentences.append(f"{pair} on {', '.join(names)}: {', '.join(values)} for {rows:,} rows")
    if sentences:
        sentences.append(f"chosen by n rows, where [reaction] says nothing: {RULE}")
    return tuple(sentences)


def plan_quality(
    space: Fusion,
    splits: Splits,
    heads: Sequence[Mapping[str, Step]],
    *,
    encode: Callable[[Leaf, Corpus, str], Step],
    mean: Callable[[Leaf, Modality], Step],
) -> Step | None:
    """Plan the measuring of a product on what was held back; None where nothing was.

    Args:
        space: the product.
        splits: the corpora of each pair of spaces, divided.
        heads: subset to train step of each mixture.
        encode: plans embeddings as a leaf's encoder gives them, with what they are for.
        mean: plans the mean of a leaf's training rows.
    """
    corpora: dict[Modality, Corpus] = {}
    for modality in space.modalities:
        divided = [own[modality] for own in splits.values() if modality in own]
        measured = [split.measured for split in divided if split.measured is not None]
        if measured and len(measured) == len(divided):
            shared = in_common(measured)
            if shared is not None:
                corpora[modality] = shared
    if not corpora:
        return None
    held: dict[str, dict[Modality, Step]] = {}
    means: dict[str, dict[Modality, Step]] = {}
    for modality, corpus in corpora.items():
        for leaf in leaves(space):
            if modality in leaf.modalities:
                held.setdefault(leaf.label, {})[modality] = encode(leaf, corpus, "held back")
                means.setdefault(leaf.label, {})[modality] = mean(leaf, modality)
    pairs, reason = paired(corpora)
    return MeasureProduct(
        product=space, held=held, means=means, heads=heads, pairs=pairs, reason=reason
    )


def paired(
    corpora: Mapping[Modality, Corpus],
) -> tuple[dict[tuple[Modality, Modality], PairRows], str]:
    """Return the rows of items that are in two modalities, by their ids.

    Returns:
        (first, second) modality to the rows of each; and why there are none, or "".
    """
    named = {m: ids_of(corpus) for m, corpus in corpora.items() if has_own_ids(corpus)}
    pairs: dict[tuple[Modality, Modality], PairRows] = {}
    for first, second in combinations(sorted(named), 2):
        place = {id: row for row, id in enumerate(named[second])}
        rows: list[tuple[int, int]] = [
            (row, place[id]) for row, id in enumerate(named[first]) if id in place
        ]
        if rows:
            index: NDArray[np.int64] = np.array(rows, np.int64)
            pairs[first, second] = index[:, 0], index[:, 1]
    if pairs:
        return pairs, ""
    if len(corpora) < 2:
        return {}, f"only {next(iter(corpora))} was held back"
    nameless = [m for m in corpora if m not in named]
    if len(named) < 2:
        return {}, f"rows of {', '.join(nameless)} have no ids of their own"
    return {}, "no id that was held back is in two modalities"
