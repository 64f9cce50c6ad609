"""A product's embeddings as sums of a few fixed rows, whose weights the factors decide.

At the top of a product's tree nothing but mixing happens: its embedding of an item is a weighted
sum of unit rows, *atoms*, none of which a factor up there can change. An atom is the output of a
projector, or a leaf that no projector follows. With the atoms u_1 .. u_K of an item,

    embedding = sum_k c_k u_k,   |embedding| = 1,

where the c_k follow from the shares of equations 1-3, 9 and 10. Inner stages are rescaled to unit
norm before they are weighted, so that the c_k differ from item to item; all norms follow from the
inner products u_j . u_k, which are kept beside the atoms. What an index holds is therefore right
for all factors, and a query's similarity is linear in the atoms.

Factors below a projector, or below the layers of an ``Lcl``, change an atom itself: they are fixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reactions.core.errors import UsageError
from reactions.core.types import Fusion, Modality, Space, Tuned
from reactions.products.acting import acting_shares
from reactions.products.parts import NO_PARTS, Parts
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    acting_mean,
    coefficients,
    factor_names,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Coefficients: TypeAlias = "tuple[float | NDArray[np.float32], ...]"
"""One an atom: a number for all items, or an (n,) array with one for each."""

_LEAST_NORM = 1e-3
"""Rows that cancel each other out leave rounding errors behind."""


@dataclass(frozen=True, slots=True)
class Atom:
    """Rows that no free factor changes.

    Attributes:
        number: among the atoms of its modality.
        side: whose rows they are; what lies within is fixed.
        stage: the fusion, and the expert's index (None: the base), through whose projectors the
            side's rows pass; None where none follow.
        tuned: the ``Ft`` nodes above it, outermost first.
        label: what people read, such as ``"CLAP_m, projected"``.
    """

    number: int
    side: Space
    stage: tuple[Fusion, int | None] | None
    tuned: tuple[Tuned, ...]
    label: str


@dataclass(frozen=True, slots=True)
class Mixed:
    """A stage whose factors are free.

    Attributes:
        fusion: the stage.
        base: None where the base lacks the modality.
        experts: likewise.
    """

    fusion: Fusion
    base: Form | None
    experts: tuple[Form | None, ...]


Form: TypeAlias = "Atom | Mixed"


def form_of(space: Space, modality: Modality, parts: Parts = NO_PARTS) -> Form:
    """Return how a product's embeddings of one modality are made of atoms.

    Args:
        space: the product.
        modality: one that it embeds.
        parts: what was trained, or its keys alone: a stage with a part of its own is an atom.
    """
    numbers = iter(range(1 << 20))

    def side(
        node: Space, stage: tuple[Fusion, int | None] | None, tuned: tuple[Tuned, ...]
    ) -> Form | None:
        if modality not in node.modalities:
            return None
        if stage is None and isinstance(node, Tuned) and node.op == "ft":
            return side(node.base, None, (*tuned, node))
        if stage is None and isinstance(node, Fusion) and (node, None) not in parts:
            is_displaced = node.op == "dr"
            base = side(node.base, (node, None) if is_displaced else None, tuned)
            experts = tuple(
                side(expert.space, None if is_displaced else (node, i), tuned)
                for i, expert in enumerate(node.experts)
            )
            return Mixed(node, base, experts)
        label = f"{node.label}, projected" if stage else node.label
        return Atom(next(numbers), node, stage, tuned, label)

    form = side(space, None, ())
    if form is None:
        raise UsageError(
            f"this space does not embed {modality}",
            why=f"it embeds {', '.join(space.modalities)}",
        )
    return form


def atoms_of(form: Form) -> list[Atom]:
    """Return the atoms of a form, by number."""

    def walk(form: Form | None) -> Iterator[Atom]:
        if isinstance(form, Atom):
            yield form
        elif form is not None:
            for below in (form.base, *form.experts):
                yield from walk(below)

    return list(walk(form))


def weighed_fusions(space: Space, parts: Parts = NO_PARTS) -> set[Fusion]:
    """Return the fusions of a product whose factors decide weights alone, and can be chosen freely.

    Args:
        space: the product.
        parts: as for ``form_of``.
    """
    fusions: set[Fusion] = set()

    def walk(form: Form | None) -> None:
        if isinstance(form, Mixed):
            fusions.add(form.fusion)
            for below in (form.base, *form.experts):
                walk(below)

    for modality in space.modalities:
        walk(form_of(space, modality, parts))
    return fusions


def free_factors(space: Space, parts: Parts = NO_PARTS) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the factors that weights decide, and of those that atoms hold.

    Names are those of ``tree.effective_factors``, in its order.
    """
    free = weighed_fusions(space, parts)
    names = factor_names(space)
    return (
        tuple(name for (fusion, _), name in names.items() if fusion in free),
        tuple(name for (fusion, _), name in names.items() if fusion not in free),
    )


def atom_rows(
    form: Form,
    modality: Modality,
    rows: Mapping[Space, Tensor],
    parts: Parts,
    adjustment: Adjustment = NO_ADJUSTMENT,
) -> tuple[Tensor, Tensor]:
    """Make the atoms of some items.

    Args:
        form: from ``form_of``.
        modality: of the items.
        rows: (n, d_leaf) rows of every leaf that ``acting.reachable_leaves`` names, as its
            encoder gives them.
        parts: what was trained, on the rows' device.
        adjustment: factors and experts of what is fixed.

    Returns:
        (n, K, d) float32 unit rows, and (n, K) lengths: 1, but for the mean of an expert's
        projectors where the stage's mean is ``"unit"``, which enters at its own length.
    """
    import torch

    from reactions.ops.tensors import unit
    from reactions.products.fuse import fuse, joined, tuned_inputs

    units, lengths = [], []
    for atom in atoms_of(form):
        own_rows, own_parts = rows, parts
        for node in atom.tuned:
            own_rows, own_parts = tuned_inputs(node, modality, own_rows, own_parts)
        if atom.stage is None:
            embedded = fuse(atom.side, modality, own_rows, own_parts, adjustment)
        else:
            fusion, index = atom.stage
            embedded = joined(
                *(fusion, index, modality, own_rows, own_parts, adjustment), mean=fusion.mean
            )
        embedded = embedded.float()
        lengths.append(embedded.norm(dim=-1))
        units.append(unit(embedded))
    return torch.stack(units, dim=1), torch.stack(lengths, dim=1)


def pairs_of(n_atoms: int) -> list[tuple[int, int]]:
    """Return the pairs of atoms whose inner products are kept, in order."""
    return list(combinations(range(n_atoms), 2))


def inner_products(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the inner products of each item's atoms.

    Args:
        units: (n, K, d) float32 unit rows.

    Returns:
        (n, K (K - 1) / 2) float32, in the order of ``pairs_of``.
    """
    pairs = pairs_of(units.shape[1])
    products = np.empty((len(units), len(pairs)), dtype=np.float32)
    for column, (j, k) in enumerate(pairs):
        np.einsum("nd,nd->n", units[:, j], units[:, k], out=products[:, column])
    return products


@dataclass(frozen=True)
class Weigher:
    """Turns factors into the coefficients of atoms.

    Args:
        form: of one modality.
        modality: which.
        fixed: factors and experts with which the atoms were made.
    """

    form: Form
    modality: Modality
    fixed: Adjustment = NO_ADJUSTMENT

    def coefficients(
        self,
        adjustment: Adjustment,
        lengths: NDArray[np.float32],
        products: NDArray[np.float32],
    ) -> Coefficients:
        """Return the coefficient of each atom at some factors.

        Args:
            adjustment: factors and experts.
            lengths: (n, K) of some items' atoms.
            products: (n, K (K - 1) / 2) inner products, as ``inner_products`` gives them.

        Returns:
            One an atom; NaN for items whose atoms cancel each other out.

        Raises:
            UsageError: the factors would change an atom, or no space is left that embeds the
                modality.
        """
        n_atoms = len(atoms_of(self.form))
        columns = {pair: products[:, i] for i, pair in enumerate(pairs_of(n_atoms))}
        scaled = self._scaled(self.form, adjustment, lengths, columns)
        return tuple(scaled.get(k, 0.0) for k in range(n_atoms))

    def _scaled(
        self,
        form: Form,
        adjustment: Adjustment,
        lengths: NDArray[np.float32],
        products: Mapping[tuple[int, int], NDArray[np.float32]],
    ) -> dict[int, float | NDArray[np.float32]]:
        """Return the coefficients of a form's rows, which have unit norm, by atom."""
        if isinstance(form, Atom):
            self._check_fixed(form, adjustment)
            return {form.number: 1.0}
        base_share, shares = coefficients(form.fusion, self.modality, adjustment)
        mean = acting_mean(form.fusion, shares)
        experts = [
            (share, expert)
            for share, expert in zip(shares, form.experts, strict=True)
            if share > 0 and expert is not None
        ]
        terms = [
            (share, self._scaled(expert, adjustment, lengths, products))
            for share, expert in experts
        ]
        if mean == "unit" and terms:
            longer = [
                (share * lengths[:, expert.number] if isinstance(expert, Atom) else share, scaled)
                for (share, expert), (_, scaled) in zip(experts, terms, strict=True)
            ]
            total = sum(share for share, _ in terms)
            terms = [(total, _unit(_sum(longer), products))]
        if base_share > 0 and form.base is not None:
            base = self._scaled(form.base, adjustment, lengths, products)
            terms = [(base_share, base), *terms]
        return _unit(_sum(terms), products)

    def _check_fixed(self, atom: Atom, adjustment: Adjustment) -> None:
        """Refuse factors that would change an atom.

        Raises:
            UsageError: they would.
        """
        now, then = (
            acting_shares(atom.side, self.modality, factors) for factors in (adjustment, self.fixed)
        )
        if now != then:
            names = ", ".join(factor_names(atom.side).values()) or "experts"
            raise UsageError(
                f"{names} within '{atom.side.label}' cannot be changed here",
                why=f"a projector follows '{atom.side.label}', so its rows were made for good",
                fix="leave these factors and experts out, or build the index again with them",
            )


def mixed_rows(
    units: NDArray[np.float32], scaled: Sequence[float | NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Return items' embeddings: (n, d) float32 unit rows.

    Args:
        units: (n, K, d) of the items.
        scaled: from ``Weigher.coefficients`` of the same items.
    """
    rows = np.zeros((len(units), units.shape[2]), dtype=np.float32)
    for k, coefficient in enumerate(scaled):
        if isinstance(coefficient, np.ndarray):
            rows += coefficient[:, None] * units[:, k]
        elif coefficient:
            rows += np.float32(coefficient) * units[:, k]
    return rows


_Terms: TypeAlias = (
    "Sequence[tuple[float | NDArray[np.float32], Mapping[int, float | NDArray[np.float32]]]]"
)


def _sum(terms: _Terms) -> dict[int, float | NDArray[np.float32]]:
    total: dict[int, float | NDArray[np.float32]] = {}
    for share, scaled in terms:
        for k, coefficient in scaled.items():
            term = share * coefficient
            total[k] = total[k] + term if k in total else term
    return total


def _unit(
    scaled: Mapping[int, float | NDArray[np.float32]],
    products: Mapping[tuple[int, int], NDArray[np.float32]],
) -> dict[int, float | NDArray[np.float32]]:
    """Divide coefficients by the norm of what they sum up to; NaN where that is too close to 0."""
    if len(scaled) == 1:
        return dict.fromkeys(scaled, 1.0)
    squared: float | NDArray[np.float32] = sum(c * c for c in scaled.values())
    for (j, k), product in products.items():
        if j in scaled and k in scaled:
            squared = squared + (2.0 * scaled[j] * scaled[k] * product).astype(np.float32)
    norms = np.sqrt(np.maximum(squared, 0.0))
    norms = np.where(norms > _LEAST_NORM, norms, np.nan)
    return {k: (c / norms).astype(np.float32) for k, c in scaled.items()}
