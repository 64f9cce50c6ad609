"""What every image-text adapter shares: two towers behind one ``StagedEncoder``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, MediaError
from reactions.core.types import Item, Modality, Prepared, SpaceSpec
from reactions.modalities import registry

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Tower:
    """One modality of a model.

    Attributes:
        prepare: decoded value to what the tower takes, on the CPU; from any thread.
        project: (n) prepared values to (n, dim) floats of any type and norm.
        batch_items: how many ``embed`` projects at once.
    """

    prepare: Callable[[Any], Prepared]
    project: Callable[[Sequence[Any]], Tensor]
    batch_items: int = 64


class TowerEncoder:
    """A ``StagedEncoder`` made of one ``Side`` for each modality.

    Args:
        spec: what is known of the space.
        sides: modality to side.
    """

    def __init__(self, spec: SpaceSpec, sides: Mapping[Modality, Tower]) -> None:
        self.spec = spec
        self._sides = dict(sides)

    def preprocess(self, modality: Modality, item: Item) -> Prepared:
        """Decode and prepare one item; safe to call from several threads.

        Raises:
            MediaError: the item cannot be decoded or prepared; ``fields["id"]`` names it.
            DataError: the space does not embed this modality.
        """
        side = self._side(modality)
        value = registry.load(item).value
        if why := registry.get(modality).why_unusable(value):
            raise MediaError(f"cannot embed {modality} '{item.id}'", why=why, id=item.id)
        try:
            return side.prepare(value)
        except MediaError as error:
            error.fields["id"] = item.id
            raise

    def forward(self, modality: Modality, inputs: Sequence[Prepared]) -> NDArray[np.float32]:
        """Embed a batch of prepared items at once.

        Returns:
            (len(inputs), spec.dim) float32, unit-norm rows, in order.

        Raises:
            DataError: an embedding is zero or not finite, or not of the promised width.
        """
        import torch

        side = self._side(modality)
        if not inputs:
            return np.empty((0, self.spec.dim), np.float32)
        with torch.inference_mode():
            rows = side.project(inputs).float()
            # Not torch's normalize, which would let a row of zeros pass as one.
            unit: NDArray[np.float32] = (rows / rows.norm(dim=-1, keepdim=True)).cpu().numpy()
        if unit.shape != (len(inputs), self.spec.dim):
            raise DataError(
                f"'{self.spec.name}' gave {modality} embeddings of shape {unit.shape}",
                why=f"its description promises {(len(inputs), self.spec.dim)}",
                space=self.spec.name,
            )
        bad = ~np.isfinite(unit).all(axis=1)
        if bad.any():
            raise DataError(
                f"'{self.spec.name}' gave no usable {modality} embedding",
                why=f"{int(bad.sum())} of {len(unit)} are zero or not finite",
                fix=f"check its weights: molspace spaces doctor {self.spec.name}",
                space=self.spec.name,
                modality=modality,
            )
        return unit

    def embed(self, modality: Modality, items: Sequence[Item]) -> NDArray[np.float32]:
        """Embed items of one modality, a bounded number at a time.

        Returns:
            (len(items), spec.dim) float32, unit-norm rows, in order.

        Raises:
            MediaError: an item cannot be decoded; ``fields["id"]`` names it.
            DataError: an embedding is not usable, or the space lacks the modality.
        """
        step = self._side(modality).batch_items
        out = np.empty((len(items), self.spec.dim), np.float32)
        for start in range(0, len(items), step):
            batch = [self.preprocess(modality, item) for item in items[start : start + step]]
            out[start : start + len(batch)] = self.forward(modality, batch)
        return out

    def _side(self, modality: Modality) -> Tower:
        if modality not in self._sides:
            raise DataError(
                f"'{self.spec.name}' does not embed {modality}",
                why="it embeds " + ", ".join(self.spec.modalities),
                space=self.spec.name,
                modality=modality,
            )
        return self._sides[modality]


def locked(tokenise: Callable[[str], Any]) -> Callable[[str], NDArray[np.int64]]:
    """Return a tokeniser that several threads may share: the fast ones are not re-entrant."""
    lock = Lock()

    def one(text: str) -> NDArray[np.int64]:
        with lock:
            return np.asarray(tokenise(text), dtype=np.int64)

    return one


def pad_tokens(
    inputs: Sequence[NDArray[np.int64]], pad_id: int, *, length: int | None = None
) -> NDArray[np.int64]:
    """Return (n, length) ids, filled up at the end; the longest row's length by default."""
    width = length or max(1, max(len(row) for row in inputs))
    out = np.full((len(inputs), width), pad_id, np.int64)
    for row, ids in zip(out, inputs, strict=True):
        row[: len(ids)] = ids
    return out


def transformer_flops(*, layers: int, width: int, tokens: int, mlp_ratio: float = 4.0) -> float:
    """Estimate the floating-point operations of a transformer on one item of ``tokens``."""
    return 2.0 * layers * tokens * width * (width * (4 + 2 * mlp_ratio) + 2 * tokens)


def element_type(precision: str) -> torch.dtype:
    """Return the torch type of one of ``uri.PRECISIONS``."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
