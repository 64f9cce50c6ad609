"""Synthetic embeddings that behave as real ones do: clustered, with a modality gap.

Timings on zeros or iid noise mislead: a softmax over unrelated unit vectors is flat, one
over real embeddings is peaked, and only the latter punishes low precision. Here a row is

    unit( cone + gap[modality] + spectrum * ( sqrt(content) * item + sqrt(1 - content) * noise ) )

in a random orthonormal basis of its space. ``cone`` is common to all rows of a space, ``gap``
to those of one modality. ``item`` mixes the vector of a concept (frequencies fall as Zipf's) with
the item's own, and is the same in every space: that makes retrieval and pseudo-pairs
meaningful. The constants are chosen so that cosines between modalities have mean 0.19,
standard deviation 0.04, and a top of about 0.37 among 65,536 keys, at any width from 512 up
(narrower ones are for tests).

Row i does not depend on how many rows are made, nor in what pieces.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from reactions.core.types import SpaceSpec
from reactions.encoders.clap.laion import FLOPS_PER_ITEM as CLAP_FLOPS
from reactions.encoders.flops import transformer_flops
from reactions.encoders.imagebind.sizes import flops as imagebind_flops
from reactions.encoders.transformers.internvl import MAX_TOKENS

CHUNK_ROWS = 1024
CONCEPTS = 4096
CONTENT_DIM = 384
"""Width of what the spaces share about an item."""

CONE = 0.188
GAP = 0.25
"""Squared lengths of the parts that rows of a space, and of a modality, have in common."""

EFFECTIVE_DIM = 200
"""Participation ratio of the spectrum: cosines spread by (1 - CONE - GAP) over its root."""

CONTENT = 0.4
CONCEPT = 0.5
"""Shares of an embedding's own part that all spaces know, and of that which its concept decides."""

MODALITIES = ("text", "image", "audio")
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Column:
    """One array of embeddings.

    Attributes:
        space: name of the space; another name is another basis and other noise.
        dim: its width.
        modality: one of MODALITIES.
        items: whose items these are: columns with the same name have the same item in row
            i. "" names them by modality, as unpaired corpora are.
    """

    space: str
    dim: int
    modality: str
    items: str = ""


PAPER_SPACES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "ImageBind": (1024, ("text", "image", "audio")),
    "InternVL": (768, ("text", "image")),
    "CLAP_m": (512, ("text", "audio")),
    "CLAP_g": (512, ("text", "audio")),
}
PAPER_ROWS: Mapping[str, int] = {"text": 2_330_000, "image": 1_300_000, "audio": 1_800_000}


def encoder_flops(space: str, modality: str) -> float:
    """Return about how many operations a published encoder takes for an item."""
    if space == "ImageBind":
        return imagebind_flops(modality)
    if space.startswith("CLAP"):
        return dict(CLAP_FLOPS)[modality]
    # InternVL-14B-224px: a vision transformer of 6 billion parameters, and a LLaMA of 7 billion
    # whose perceptrons are gated (three matrices instead of two).
    if modality == "image":
        return transformer_flops(layers=48, width=3200, tokens=(224 // 14) ** 2 + 1)
    ratio = 3 / 2 * 11008 / 4096
    return transformer_flops(layers=32, width=4096, tokens=MAX_TOKENS, mlp_ratio=ratio)


def paper_specs() -> dict[str, SpaceSpec]:
    """Return the spaces of PAPER_SPACES, which nothing can load."""
    return {
        name: SpaceSpec(
            name=name,
            dim=dim,
            modalities=tuple(sorted(modalities)),
            adapter="synthetic",
            source=name,
            hub="image" if name == "ImageBind" else None,
            flops_per_item=tuple((m, encoder_flops(name, m)) for m in sorted(modalities)),
        )
        for name, (dim, modalities) in PAPER_SPACES.items()
    }


def rows(
    column: Column, start: int, stop: int, *, seed: int = 0, device: str | torch.device = "cpu"
) -> Tensor:
    """Return rows ``start`` to ``stop``: (stop - start, dim) float32, unit norm."""
    pieces = [
        _chunk(column, index, seed, torch.device(device))[
            max(0, start - index * CHUNK_ROWS) : stop - index * CHUNK_ROWS
        ]
        for index in range(start // CHUNK_ROWS, math.ceil(stop / CHUNK_ROWS))
    ]
    return torch.cat(pieces) if pieces else torch.empty((0, column.dim), device=device)


def embeddings(
    column: Column,
    n: int,
    *,
    seed: int = 0,
    dtype: str = "float16",
    device: str | torch.device = "cpu",
) -> Tensor:
    """Return the first n rows of a column: (n, dim) of ``dtype`` on ``device``."""
    table = torch.empty((n, column.dim), dtype=DTYPES[dtype], device=device)
    for start, stop in _pieces(n):
        table[start:stop] = rows(column, start, stop, seed=seed, device=device)
    return table


def aligned(
    n: int,
    spaces: Mapping[str, tuple[int, Sequence[str]]],
    *,
    seed: int = 0,
    dtype: str = "float16",
    device: str | torch.device = "cpu",
) -> dict[tuple[str, str], Tensor]:
    """Return what a pseudo set looks like: row i of every array is about the same item.

    Args:
        n: rows.
        spaces: name -> (width, modalities), such as PAPER_SPACES.
        seed: another seed is another world.
        dtype: of the arrays.
        device: where they are made.

    Returns:
        (space, modality) -> (n, dim) unit-norm rows.
    """
    return {
        (space, modality): embeddings(
            Column(space, dim, modality, items="pairs"), n, seed=seed, dtype=dtype, device=device
        )
        for space, (dim, modalities) in spaces.items()
        for modality in modalities
    }


def write(
    path: Path, column: Column, n: int, *, seed: int = 0, device: str | torch.device = "cpu"
) -> np.memmap:
    """Write n rows in float16 to a .npy file piece by piece; return it memory-mapped."""
    table = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, column.dim))
    for start, stop in _pieces(n):
        table[start:stop] = rows(column, start, stop, seed=seed, device=device).cpu().numpy()
    table.flush()
    return np.load(path, mmap_mode="r")


@dataclass(frozen=True, slots=True)
class Cosines:
    """Cosines between two sets: mean and spread over all pairs, and the mean of the rows' tops."""

    mean: float
    std: float
    top: float


def cosines(queries: Tensor, keys: Tensor) -> Cosines:
    """Measure two (n, d) and (m, d) sets of unit rows; n x m must fit in memory."""
    products = queries.float() @ keys.float().T
    return Cosines(float(products.mean()), float(products.std()), float(products.amax(1).mean()))


def _pieces(n: int) -> Iterator[tuple[int, int]]:
    for start in range(0, n, CHUNK_ROWS):
        yield start, min(n, start + CHUNK_ROWS)


def _chunk(column: Column, index: int, seed: int, device: torch.device) -> Tensor:
    items = column.items or column.modality
    place = (items, index)
    basis, scales = _basis(column.space, column.dim, seed, device)
    drawn = torch.multinomial(
        _frequencies(device), CHUNK_ROWS, True, generator=_generator(device, seed, "which", *place)
    )
    item = _normal((CHUNK_ROWS, CONTENT_DIM), device, seed, "item", *place)
    item.mul_(math.sqrt(1 - CONCEPT)).add_(_concepts(seed, device)[drawn], alpha=math.sqrt(CONCEPT))
    noise = (column.space, column.modality, *place)
    table = _normal((CHUNK_ROWS, column.dim), device, seed, "noise", *noise)
    # Axes: the content's, the noise's alone, the gap of each modality, the cone.
    content = table[:, :CONTENT_DIM]
    content.mul_(math.sqrt(1 - CONTENT)).add_(item[:, : content.shape[1]], alpha=math.sqrt(CONTENT))
    # The scales of the last axes are 0: they hold nothing but the gap and the cone.
    table.mul_(scales)
    gap = column.dim - 1 - len(MODALITIES) + MODALITIES.index(column.modality)
    table[:, gap] = math.sqrt(GAP)
    table[:, -1] = math.sqrt(CONE)
    return torch.nn.functional.normalize(table @ basis)


@cache
def _basis(space: str, dim: int, seed: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return a random orthonormal (dim, dim) basis and the (dim,) scale of each axis."""
    basis = torch.linalg.qr(_normal((dim, dim), device, seed, "basis", space))[0]
    scales = torch.zeros(dim)
    n_varying = dim - 1 - len(MODALITIES)
    scales[:n_varying] = _spectrum(n_varying).sqrt() * math.sqrt(1 - CONE - GAP)
    return basis, scales.to(device)


def _spectrum(size: int) -> Tensor:
    """Return falling variances that sum to 1, with a participation ratio of EFFECTIVE_DIM."""
    axes = torch.arange(size, dtype=torch.float64)
    low, high = 1.0, 1e5
    # Bisection over the knee's logarithm: the later the knee, the flatter the spectrum.
    for _ in range(60):
        knee = math.sqrt(low * high)
        variances = (1 + axes / knee) ** -2
        ratio = float(variances.sum() ** 2 / variances.square().sum())
        low, high = (knee, high) if ratio < EFFECTIVE_DIM else (low, knee)
    return (variances / variances.sum()).float()


@cache
def _concepts(seed: int, device: torch.device) -> Tensor:
    return _normal((CONCEPTS, CONTENT_DIM), device, seed, "concepts")


@cache
def _frequencies(device: torch.device) -> Tensor:
    # Shifted (Zipf-Mandelbrot): unshifted, the first concept alone would have 11 % of the rows.
    return 1 / (torch.arange(CONCEPTS, device=device) + 50.0)


def _normal(shape: tuple[int, ...], device: torch.device, *purpose: str | int) -> Tensor:
    return torch.randn(shape, generator=_generator(device, *purpose), device=device)


def _generator(device: torch.device, *purpose: str | int) -> torch.Generator:
    # Seven bytes: the seed fits into a signed 64-bit integer.
    seed = hashlib.sha256(repr(purpose).encode()).digest()[:7]
    return torch.Generator(device).manual_seed(int.from_bytes(seed, "big"))
