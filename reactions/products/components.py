"""Rows in a product at many factors, of which only the mixing is done again for each."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reactions.core.types import Fusion, Modality, Space
from reactions.products.acting import Shares, acting_shares
from reactions.products.parts import Parts
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    acting_mean,
    coefficients,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from reactions.core.step import Rows
    from reactions.products.fuse import Projected

KEPT_BYTES = 2 << 30
"""Rows of one side that are kept for other factors."""


@dataclass(frozen=True, slots=True)
class Term:
    """One of the rows that a product's outermost stage mixes.

    Attributes:
        key: equal keys stand for equal rows.
        share: its weight.
    """

    key: tuple[Any, ...]
    share: float


class Components:
    """Stored embeddings of one modality's items, projected once.

    Rows at any factors are those of ``fuse.embed_product``, bit for bit: the same functions make
    them, of chunks of the same rows.

    Args:
        space: the product.
        modality: what the rows are.
        stored: embeddings of the leaves, as ``embed_product`` takes them.
        parts: what was trained, on ``device``.
        device: where to compute.
    """

    def __init__(
        self,
        space: Space,
        modality: Modality,
        stored: Mapping[Space, Rows],
        parts: Parts,
        *,
        device: str = "cpu",
    ) -> None:
        self._space = space
        self._modality = modality
        self._stored = stored
        self._parts = parts
        self._device = device
        self._n = len(next(iter(stored.values())))
        self._projected: dict[int, _Kept] = {}  # of each chunk, by its first row
        self._sides = _Kept(KEPT_BYTES)
        self._rows = _Kept(KEPT_BYTES)

    def shares(self, adjustment: Adjustment) -> Shares:
        """Return what acts at some factors: where it is equal, so are the rows."""
        return acting_shares(self._space, self._modality, adjustment)

    def rows(self, adjustment: Adjustment = NO_ADJUSTMENT) -> NDArray[np.float32]:
        """Return the rows at some factors: (n, space.dim) float32, unit norm."""
        key = self.shares(adjustment)
        if key not in self._rows:
            self._rows[key] = self._mixed(adjustment)
        rows: NDArray[np.float32] = self._rows[key].cpu().numpy()
        return rows

    def terms(self, adjustment: Adjustment) -> list[Term]:
        """Return what the rows at some factors are the weighted sum of, but for their norm.

        Parallel experts whose mean is rescaled before it is weighted are one term.
        """
        fusion = self._outermost
        if fusion is None:
            return [Term(("whole", self.shares(adjustment)), 1.0)]
        base_share, shares = coefficients(fusion, self._modality, adjustment)
        mean = acting_mean(fusion, shares)
        experts = [
            Term(("side", i, mean, self._within(i, adjustment)), share)
            for i, share in enumerate(shares)
            if share > 0
        ]
        if mean == "unit" and experts:
            total = sum(term.share for term in experts)
            # Proportions of equal factors differ in the last bits, which matter to nothing.
            parts = tuple((term.key, round(term.share / total, 12)) for term in experts)
            experts = [Term(("mean", parts), total)]
        if base_share > 0:
            base = Term(("side", None, "eq10", self._within(None, adjustment)), base_share)
            return [base, *experts]
        return experts

    def term_rows(self, term: Term, adjustment: Adjustment) -> Tensor:
        """Return the (n, dim) float32 rows of one term, of norm 1 or less, on the device.

        Args:
            term: from ``terms``.
            adjustment: with which ``terms`` gave it.
        """
        from reactions.ops.mixing import mix

        if term.key[0] == "whole":
            return self._mixed(adjustment)
        if term.key[0] == "mean":
            return mix([(share, self._side(key, adjustment)) for key, share in term.key[1]])
        return self._side(term.key, adjustment)

    # --- within ----------------------------------------------------------------------

    @property
    def _outermost(self) -> Fusion | None:
        """The stage whose mixture the rows are; None where something else acts on it."""
        space = self._space
        return space if isinstance(space, Fusion) and (space, None) not in self._parts else None

    def _within(self, index: int | None, adjustment: Adjustment) -> Shares:
        fusion = self._outermost
        assert fusion is not None, "only its sides are asked for"
        side = fusion.base if index is None else fusion.experts[index].space
        return acting_shares(side, self._modality, adjustment)

    def _mixed(self, adjustment: Adjustment) -> Tensor:
        from reactions.ops.mixing import mix_experts
        from reactions.products.fuse import fuse

        fusion = self._outermost
        if fusion is None:
            return self._by_chunks(
                lambda rows, projected: fuse(
                    self._space, self._modality, rows, self._parts, adjustment, projected
                ),
                self._space.dim,
            )
        base_share, shares = coefficients(fusion, self._modality, adjustment)
        mean = acting_mean(fusion, shares)
        base, experts = (
            [
                (share, self._side(("side", i, side_mean, self._within(i, adjustment)), adjustment))
                for i, share in sides
                if share > 0
            ]
            for sides, side_mean in (([(None, base_share)], "eq10"), (enumerate(shares), mean))
        )
        return mix_experts(base, experts, mean)

    def _side(self, key: tuple[Any, ...], adjustment: Adjustment) -> Tensor:
        from reactions.products.fuse import joined

        if key not in self._sides:
            _, index, mean, _ = key
            fusion = self._outermost
            assert fusion is not None, "only its sides are asked for"
            self._sides[key] = self._by_chunks(
                lambda rows, projected: joined(
                    *(fusion, index, self._modality, rows, self._parts, adjustment, projected),
                    mean=mean,
                ),
                fusion.dim,
            )
        side: Tensor = self._sides[key]
        return side

    def _by_chunks(
        self, embed: Callable[[Mapping[Space, Tensor], Projected], Tensor], dim: int
    ) -> Tensor:
        """Return what ``embed`` makes of all rows, in the chunks of ``embed_product``."""
        import torch

        from reactions.products import fuse

        out = torch.empty((self._n, dim), device=self._device)
        with torch.inference_mode():
            for first in range(0, self._n, fuse.CHUNK_ROWS):
                last = min(self._n, first + fuse.CHUNK_ROWS)
                rows = _Loaded(self._stored, first, last, self._device)
                if first not in self._projected:
                    self._projected[first] = _Kept(KEPT_BYTES * (last - first) // self._n)
                out[first:last] = embed(rows, self._projected[first])
        return out


class _Loaded(Mapping[Space, "Tensor"]):
    """Rows of leaves, read when they are asked for."""

    def __init__(self, stored: Mapping[Space, Rows], first: int, last: int, device: str) -> None:
        self._stored = stored
        self._range = first, last
        self._device = device

    def __getitem__(self, space: Space) -> Tensor:
        from reactions.ops.tensors import load_rows

        return load_rows(self._stored[space], *self._range, self._device)

    def __contains__(self, space: object) -> bool:
        return space in self._stored

    def __iter__(self) -> Iterator[Space]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)


class _Kept(MutableMapping[Hashable, Any]):
    """Tensors that were used last, up to so many bytes; the newest stays in any case."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._tensors: OrderedDict[Hashable, Any] = OrderedDict()

    def __getitem__(self, key: Hashable) -> Any:
        self._tensors.move_to_end(key)
        return self._tensors[key]

    def __setitem__(self, key: Hashable, tensor: Any) -> None:
        self._tensors[key] = tensor
        self._tensors.move_to_end(key)
        while len(self._tensors) > 1 and sum(map(_size_bytes, self._tensors.values())) > (
            self._most_bytes
        ):
            self._tensors.popitem(last=False)

    def __contains__(self, key: object) -> bool:
        return key in self._tensors

    def __delitem__(self, key: Hashable) -> None:
        del self._tensors[key]

    def __iter__(self) -> Iterator[Hashable]:
        return iter(self._tensors)

    def __len__(self) -> int:
        return len(self._tensors)


def _size_bytes(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())
