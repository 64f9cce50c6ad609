"""quality: a product measured on items that were held back from its training.

Every projector is asked whether it brings held-out items to where they lie in the other space.
Where ids are in two modalities, the product is asked for the one by the other, beside each of
its spaces, beside sums of their cosines that need no training, and with other factors.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.hashing import bytes_digest
from reactions.core.step import (
    NOT_IN_KEY,
    Artifact,
    Context,
    Cost,
    Step,
    entering,
    inputs_from,
)
from reactions.core.types import Expert, Fusion, Leaf, Modality, Space, leaves, shared_modalities
from reactions.eval.heldout import MARGIN, Ranking, best_sum, loss
from reactions.products.tree import (
    Adjustment,
    coefficients,
    learned_nodes,
    mixtures,
    tuned_leaves,
    tuned_nodes,
)
from reactions.products.tree_json import tree_to_json
from reactions.steps.align_text import layer_tensors
from reactions.steps.planned_parts import load_planned_means, load_planned_mixtures
from reactions.steps.raw_rows import stored_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from reactions.products.parts import Parts

GRID = tuple(step / 10 for step in range(1, 10))
"""Factors that are tried."""

PairRows = tuple["NDArray[np.int64]", "NDArray[np.int64]"]
"""Rows of two modalities' held-out items; row i of both has the same id."""


def _tree_params(step: MeasureProduct) -> dict[str, Any]:
    held_leaves = (leaf for leaf in leaves(step.product) if leaf.label in step.held)
    return {
        "tree": tree_to_json(step.product),
        "centre": sorted({leaf.label for leaf in held_leaves if leaf.spec.centre}),
    }


def _pairs_param(step: MeasureProduct) -> dict[str, str]:
    # Little-endian everywhere: keys do not depend on the machine.
    return {
        f"{first} {second}": bytes_digest(np.concatenate(rows).astype("<i8").tobytes())
        for (first, second), rows in step.pairs.items()
    }


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasureProduct(Step):
    """Measures a product on held-out items.

    Its artifact has no arrays; ``meta`` is the report (docs/quality.md).

    Attributes:
        product: what is measured.
        held: leaf's label and modality to held-out embeddings, as the leaf's encoder gives them.
        means: of the training rows, for each entry of ``held``.
        heads: subset to train step of each mixture, in the order of ``tree.mixtures``.
        tuned: what each Ft trained, in the order of ``tree.tuned_nodes``.
        learned: what each Lcl trained, by modality, in the order of ``tree.learned_nodes``.
        pairs: held-out items that are in two modalities.
        reason: why there are no pairs; "" where there are.
    """

    KIND = "quality"
    VERSION = 1

    product: Space = field(metadata=entering("", _tree_params))
    held: Mapping[str, Mapping[Modality, Step]] = field(metadata=inputs_from("held"))
    means: Mapping[str, Mapping[Modality, Step]] = field(metadata=inputs_from("mean"))
    heads: Sequence[Mapping[str, Step]] = field(metadata=inputs_from("head"))
    tuned: Sequence[Step] = field(default=(), metadata=inputs_from("tuned"))
    learned: Sequence[Mapping[Modality, Step]] = field(default=(), metadata=inputs_from("learned"))
    pairs: Mapping[tuple[Modality, Modality], PairRows] = field(metadata=entering(by=_pairs_param))
    reason: str = field(metadata=NOT_IN_KEY)

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return "measure on held-out items"

    @cached_property
    def cost(self) -> Cost:
        """Estimates: projecting, and some thirty rankings of all pairs."""
        held_steps = [step for by_modality in self.held.values() for step in by_modality.values()]
        n = max((step.n_rows or 0 for step in held_steps), default=0)
        head_bytes = sum(
            step.cost.size_bytes for mixture_heads in self.heads for step in mixture_heads.values()
        )
        dim = self.product.dim
        return Cost(
            flops=2.0 * n * head_bytes / 2 + 60.0 * n * n * dim,
            size_bytes=4096,
            memory_bytes=head_bytes + 6 * 4 * n * n + 8 * n * dim * 4,
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Measure every projector, then the product on each pair of modalities."""
        import torch

        from reactions.ops.tensors import load_rows
        from reactions.products.aligned import load_layers
        from reactions.products.parts import Place, TrainedPart, load_centring
        from reactions.products.tuned import load_tuned
        from reactions.steps.train import tensors

        rows: dict[Modality, dict[Space, Tensor]] = {}
        for leaf in [*leaves(self.product), *tuned_leaves(self.product)]:
            for modality in self.held.get(leaf.label, ()):
                stored = stored_rows(inputs[f"held.{leaf.label}.{modality}"])
                leaf_rows = load_rows(stored, 0, len(stored), context.device)
                rows.setdefault(modality, {})[leaf] = leaf_rows
        held_modalities = {label: list(by_modality) for label, by_modality in self.held.items()}
        means = load_planned_means(leaves(self.product), held_modalities, inputs, context.device)
        mixed = load_planned_mixtures(self.product, self.heads, inputs, context.device)
        parts: dict[Place, TrainedPart] = {**load_centring(means), **mixed}
        for index, (_, node) in enumerate(tuned_nodes(self.product)):
            artifact = inputs[f"tuned.{index}"]
            trained = {name: t.to(context.device) for name, t in tensors(artifact).items()}
            parts[node, None] = load_tuned(node, trained, artifact.meta["lora"])
        entries = zip(learned_nodes(self.product), self.learned, strict=True)
        for index, ((_, node), own_layers) in enumerate(entries):
            layers = {m: inputs[f"learned.{index}.{m}"] for m in own_layers}
            parts[node, None] = load_layers(node, layer_tensors(layers, context.device))
        measure = _Measure(self.product, rows, parts, means)
        with torch.inference_mode():
            found_again = list(measure.found_again())
            cross = []
            for done, ((first, second), pair_rows) in enumerate(self.pairs.items()):
                cross.append(measure.cross(first, second, pair_rows))
                context.progress(done + 1, len(self.pairs), "pairs of modalities")
        report = {"found_again": found_again, "cross": cross, "cross_reason": self.reason}
        return Artifact({}, report)


@dataclass(frozen=True)
class _Measure:
    """What there is to measure with, on one device."""

    space: Space
    rows: Mapping[Modality, Mapping[Space, Tensor]]
    parts: Parts
    means: Mapping[tuple[Leaf, Modality], Tensor]

    def found_again(self) -> Iterator[dict[str, Any]]:
        """Measure whether projected items lie where the other space has them."""
        from reactions.products.fuse import fuse

        for fusion, i in mixtures(self.space):
            expert = fusion.experts[i]
            for modality in shared_modalities(fusion.base, expert.space):
                if modality not in self.rows:
                    continue
                base, other = (
                    fuse(side, modality, self.rows[modality], self.parts)
                    for side in (fusion.base, expert.space)
                )
                source, target = (base, other) if fusion.op == "dr" else (other, base)
                scores = _cosines(self.parts[fusion, i].apply(modality, source), target)
                yield {
                    "base": fusion.base.label,
                    "expert": expert.label,
                    "op": fusion.op,
                    "modality": modality,
                    "n": len(scores),
                    **Ranking.of(scores).to_json(),
                }

    def cross(self, first: Modality, second: Modality, pairs: PairRows) -> dict[str, Any]:
        """Measure how well one modality finds the other, by the product and beside it."""
        rows = {m: self._chosen(m, index) for m, index in zip((first, second), pairs, strict=True)}
        both = [leaf for leaf in leaves(self.space) if {first, second} <= set(leaf.spec.modalities)]
        default = Ranking.of(self._product(rows, Adjustment()))
        cosines = {leaf.label: self._part(leaf, rows) for leaf in both}
        parts = {name: Ranking.of(scores) for name, scores in cosines.items()}
        entries = [{"row": "product", **default.to_json()}]
        entries += [{"row": "part", "name": n, **part.to_json()} for n, part in parts.items()]
        if len(both) > 1:
            sums = [("sum", list(cosines.values()))]
            if not all(leaf.spec.centre for leaf in both):  # else they are so already
                bare = [self._part(leaf, rows, less_mean=True) for leaf in both]
                sums.append(("centred sum", bare))
            for row, matrices in sums:
                weights, ranking = best_sum(matrices)
                weight_of = dict(zip(cosines, weights, strict=True))
                entries.append({"row": row, "weights": weight_of, **ranking.to_json()})
        adjustment, best = self._best_factors(rows, default)
        better = None
        if best.merit() > default.merit() + MARGIN:
            better = _to_json(adjustment)
            entries.append({"row": "better factors", "factors": better, **best.to_json()})
        worse = loss(default, parts)
        return {
            "modalities": [first, second],
            "n": len(pairs[0]),
            "rows": entries,
            "worse": worse.to_json() if worse else None,
            "better": better,
        }

    def _chosen(self, modality: Modality, index: NDArray[np.int64]) -> dict[Space, Tensor]:
        import torch

        return {
            leaf: rows[torch.from_numpy(index).to(rows.device)]
            for leaf, rows in self.rows[modality].items()
        }

    def _product(
        self, rows: Mapping[Modality, Mapping[Space, Tensor]], adjustment: Adjustment
    ) -> NDArray[np.float32]:
        from reactions.products.fuse import fuse

        left, right = (
            fuse(self.space, modality, by_space, self.parts, adjustment)
            for modality, by_space in rows.items()
        )
        return _cosines(left, right)

    def _part(
        self,
        leaf: Leaf,
        rows: Mapping[Modality, Mapping[Space, Tensor]],
        *,
        less_mean: bool = False,
    ) -> NDArray[np.float32]:
        from reactions.products.fuse import fuse
        from reactions.products.parts import load_centring

        centred = Leaf(replace(leaf.spec, centre=leaf.spec.centre or less_mean))
        left, right = (
            fuse(
                centred,
                m,
                {centred: by_space[leaf]},
                load_centring({(centred, m): self.means[leaf, m]}),
            )
            for m, by_space in rows.items()
        )
        return _cosines(left, right)

    def _best_factors(
        self, rows: Mapping[Modality, Mapping[Space, Tensor]], default: Ranking
    ) -> tuple[Adjustment, Ranking]:
        """Search factors: the last stage's experts together, then every expert by itself."""
        best, best_ranking = Adjustment(), default
        last = _LastStage(self, self.space, rows) if isinstance(self.space, Fusion) else None
        outer: list[tuple[Fusion, Expert]] = []
        inner: list[tuple[Fusion, Expert]] = []
        for fusion, i in mixtures(self.space):
            if any(modality in rows for modality, _ in fusion.experts[i].factors):
                (outer if fusion == self.space else inner).append((fusion, fusion.experts[i]))
        groups = [outer] if outer else []
        groups += [[pair] for pair in outer] if len(outer) > 1 else []
        groups += [[pair] for pair in inner]
        within = {(fusion.op, expert.label) for fusion, expert in inner}
        # One group after the other, from the best so far: all combinations of factors would be
        # 9 to the power of the number of experts.
        for group in groups:
            # A label may also stand within, which changes more than the last stage.
            alone = not within & {(fusion.op, expert.label) for fusion, expert in group}
            quick = last if alone else None
            start = best
            for value in GRID:
                tried = start
                for fusion, expert in group:
                    tried = _with_factor(tried, fusion.op, expert, value, rows)
                ranking = quick.ranking(tried) if quick else Ranking.of(self._product(rows, tried))
                if ranking.merit() > best_ranking.merit():
                    best, best_ranking = tried, ranking
        return best, best_ranking


def _with_factor(
    adjustment: Adjustment, op: str, expert: Expert, value: float, modalities: Container[Modality]
) -> Adjustment:
    """Give an expert another factor in some modalities; the others keep their own."""
    factors = {m: value if m in modalities else factor for m, factor in expert.factors}
    if op == "dr":
        return replace(adjustment, lambda_={**adjustment.lambda_, expert.label: factors})
    return replace(adjustment, sigma={**adjustment.sigma, expert.label: factors})


def _to_json(adjustment: Adjustment) -> dict[str, Any]:
    """Return factors by option, expert and modality."""
    by_option = {"sigma": adjustment.sigma, "lambda": adjustment.lambda_}
    return {name: dict(factors) for name, factors in by_option.items() if factors}


def _cosines(left: Tensor, right: Tensor) -> NDArray[np.float32]:
    """Return (n, n) cosines of unit-norm rows."""
    cosines: NDArray[np.float32] = (left @ right.T).cpu().numpy()
    return cosines


class _LastStage:
    """A product whose factors change in the last stage alone: its terms are made once."""

    def __init__(
        self,
        measure: _Measure,
        space: Fusion,
        rows: Mapping[Modality, Mapping[Space, Tensor]],
    ) -> None:
        from reactions.products.fuse import joined

        self.space = space
        places: list[tuple[int | None, Any]] = [(None, self.space.base)]
        places += [(i, expert.space) for i, expert in enumerate(self.space.experts)]
        self.terms = {
            modality: {
                index: joined(
                    self.space, index, modality, by_space, measure.parts, mean=self.space.mean
                )
                for index, side in places
                if modality in side.modalities
            }
            for modality, by_space in rows.items()
        }

    def ranking(self, adjustment: Adjustment) -> Ranking:
        """Rank with other factors."""
        from reactions.ops.mixing import mix_experts

        sides = []
        for modality, terms in self.terms.items():
            base, shares = coefficients(self.space, modality, adjustment)
            base_terms = [(base, terms[None])] if base > 0 else []
            experts = [(share, terms[i]) for i, share in enumerate(shares) if share > 0]
            sides.append(mix_experts(base_terms, experts, self.space.mean))
        return Ranking.of(_cosines(*sides))
