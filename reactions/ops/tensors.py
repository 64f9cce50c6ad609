"""Getting rows onto a device, and the one normalisation everything uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from reactions.core.step import Rows

_CACHED_ELEMENTS = 1 << 17
"""Of fp32 that a core's own cache holds: rows are read once, and scaled there."""


def unit(x: Tensor) -> Tensor:
    """Scale rows to unit L2 norm; a row of zeros stays zero.

    Args:
        x: (..., d) float.
    """
    return torch.nn.functional.normalize(x, dim=-1)


def centred(x: Tensor, mean: Tensor) -> Tensor:
    """Subtract the mean of a modality from its embeddings, and rescale them to unit norm.

    Modalities of one space lie in cones of their own; without their means they overlap.

    Args:
        x: (n, d) unit-norm rows.
        mean: (d,) of the training rows.
    """
    return unit(x - mean)


def load_rows(rows: Rows | Tensor, start: int, stop: int, device: str | torch.device) -> Tensor:
    """Copy rows ``start`` to ``stop`` to ``device`` in float32.

    Args:
        rows: (n, d) tensor, or any array by rows (memory-mapped, sharded).
        start: first row.
        stop: one past the last row.
        device: where the copy goes.

    Returns:
        (stop - start, d) float32.
    """
    part = rows[slice(start, stop)]
    if not isinstance(part, Tensor):
        # A memory map is read-only: torch wants an array of its own, in native byte order.
        part = torch.from_numpy(np.array(part, dtype=part.dtype.newbyteorder("=")))
    return part.to(device).float()  # half the bytes travel, and the device converts


def unit_into(out: Tensor, x: Tensor) -> Tensor:
    """Write ``unit(x)`` into an fp32 matrix of its shape, in no fresh memory; return the norms."""
    norms = out.new_empty((len(x), 1))
    step = max(1, _CACHED_ELEMENTS // max(1, x.shape[1]))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        torch.linalg.vector_norm(out[rows].copy_(x[rows]), dim=1, keepdim=True, out=norms[rows])
        # Products take half the time of quotients.
        out[rows].mul_(norms[rows].clamp(min=1e-12).reciprocal_())
    return norms


def scratch(memory: Tensor, n: int, m: int) -> tuple[Tensor, Tensor]:
    """Return memory and an (n, m) view of its beginning: the given one if it is large enough.

    On CPUs fresh pages for every tile of logits cost more than their exponentials.

    Args:
        memory: one-dimensional; the first returned from the call before.
        n: rows.
        m: columns.
    """
    if memory.numel() < n * m:
        memory = memory.new_empty(n * m)
    return memory, memory[: n * m].view(n, m)
