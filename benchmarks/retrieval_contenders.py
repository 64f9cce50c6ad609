"""Other ways to compute soft retrieval, and the products that bound it.

Each but ``naive_from_stored`` takes its inputs converted and resident beforehand, which costs them
nothing here; the product starts from float16 arrays in host memory, as it stores them, and pays
for conversion and copies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from synthetic import Column, embeddings
from torch import Tensor
from torch.nn.functional import normalize, pad, scaled_dot_product_attention

LOGIT_BYTES = {"cpu": 256 << 20, "cuda": 4 << 30}
"""What the naive contenders hold of the n x m matrix at once."""

TILE = (2048, 8192)
CUDA_TILE = (16384, 16384)
SMALL_TILE = (1024, 1024)
"""Queries and keys in one product of the bound; small tiles of fp32 stay in a CPU's cache."""

Call = Callable[[], Any]


@dataclass(frozen=True)
class Problem:
    """softmax(queries keys^T / temperature) V for several V.

    Attributes:
        queries: (n, d) float16 on the host.
        keys: (m, d) float16 on the host.
        values: each (m, d_v) float16 on the host.
        temperature: 1/100 in the papers.
        device: where it is computed.
    """

    queries: Tensor
    keys: Tensor
    values: Sequence[Tensor]
    temperature: float
    device: torch.device
    _loaded: dict[torch.dtype, tuple[Tensor, Tensor, list[Tensor]]] = field(default_factory=dict)

    @classmethod
    def make(
        cls, n: int, m: int, device: torch.device, widths: Sequence[int] = (1024, 768)
    ) -> Problem:
        """Texts ask an image corpus in a space of 1024; values are its images in other spaces.

        The first value matrix is the keys themselves, as in every hop of the papers but those
        through an expert's weights.
        """
        images = [Column(f"S{i}", width, "image") for i, width in enumerate(widths)]
        values = [embeddings(column, m, device=device).cpu() for column in images]
        queries = embeddings(Column("S0", widths[0], "text"), n, device=device).cpu()
        return cls(queries, values[0], values, 0.01, device)

    @property
    def n(self) -> int:
        return len(self.queries)

    @property
    def m(self) -> int:
        return len(self.keys)

    @property
    def flops(self) -> float:
        """Of one similarity pass and one weighted sum for each value matrix."""
        widths = [self.keys.shape[1], *(value.shape[1] for value in self.values)]
        return 2.0 * self.n * self.m * sum(widths)

    def loaded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return queries, keys and values in a type on the device, unit rows up to its rounding.

        They are made once and kept: contenders of a type share them.
        """

        def load(table: Tensor) -> Tensor:
            pieces = (part.to(self.device).float() for part in table.split(1 << 14))
            return torch.cat([normalize(part).to(dtype) for part in pieces])

        if dtype not in self._loaded:
            keys = load(self.keys)
            values = [keys if value is self.keys else load(value) for value in self.values]
            self._loaded[dtype] = load(self.queries), keys, values
        return self._loaded[dtype]


@dataclass(frozen=True)
class Reference:
    """What a few rows of the result are, in float64.

    Attributes:
        rows: which queries.
        truth: (len(rows), sum of the values' widths) unit rows each value matrix.
    """

    rows: Tensor
    truth: Tensor

    @classmethod
    def of(cls, problem: Problem, rows: int = 64) -> Reference:
        """Compute it for evenly spaced queries from the stored inputs, on the device.

        float16 rows are not of unit norm to better than 1e-4, which 1/temperature multiplies by
        100: all contenders rescale them, so that they differ by arithmetic alone.
        """
        which = torch.linspace(0, problem.n - 1, min(rows, problem.n)).long()
        device = problem.device
        q = normalize(problem.queries[which].to(device, torch.float64))
        tiles = range(0, problem.m, 1 << 14)

        def tile(table: Tensor, start: int) -> Tensor:
            return normalize(table[start : start + (1 << 14)].to(device, torch.float64))

        logits = torch.cat([q @ tile(problem.keys, start).T for start in tiles], dim=1)
        weights = (logits / problem.temperature).softmax(1)
        means = []
        for value in problem.values:
            total = torch.zeros((len(q), value.shape[1]), dtype=torch.float64, device=device)
            for start in tiles:
                total += weights[:, start : start + (1 << 14)] @ tile(value, start)
            means.append(normalize(total))
        return cls(which, torch.cat(means, dim=1).cpu())

    def error(self, results: Sequence[Tensor]) -> float:
        """Return the norm of the difference relative to that of the truth."""
        rows = [part[self.rows.to(part.device)].double().cpu() for part in results]
        return float((torch.cat(rows, dim=1) - self.truth).norm() / self.truth.norm())


def naive(problem: Problem, dtype: torch.dtype) -> Call:
    """What a researcher writes: chunks of queries, and all of it for each value matrix."""
    q, k, values = problem.loaded(dtype)
    return lambda: [chunked(problem, q, k, v) for v in values]


def naive_from_stored(problem: Problem) -> Call:
    """The same in fp32, each matrix converted first, as it must be where rows come from a disk."""

    def load(table: Tensor) -> Tensor:
        return normalize(table.to(problem.device).float())

    def run() -> list[Tensor]:
        q, k = load(problem.queries), load(problem.keys)
        values = [k if value is problem.keys else load(value) for value in problem.values]
        return [chunked(problem, q, k, v) for v in values]

    return run


def chunked(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the means of one value matrix, some queries at a time."""
    rows = max(16, LOGIT_BYTES[q.device.type] // (q.element_size() * problem.m))
    return torch.cat(
        [
            normalize(torch.softmax(part @ k.T / problem.temperature, dim=1) @ v)
            for part in q.split(rows)
        ]
    )


def attention(problem: Problem, dtype: torch.dtype) -> Call:
    """torch's fused attention, once for each value matrix, padded to the keys' width.

    Fused kernels want values as wide as keys.
    """
    q, k, values = problem.loaded(dtype)
    wide = [v if v.shape == k.shape else pad(v, (0, k.shape[1] - v.shape[1])) for v in values]
    # Where only the unfused kernel exists it holds its logits, so queries come in chunks.
    rows = max(16, LOGIT_BYTES["cuda"] // (4 * problem.m)) if q.is_cuda else problem.n

    def run() -> list[Tensor]:
        return [
            torch.cat(
                [
                    normalize(
                        scaled_dot_product_attention(
                            part[None, None],  # (n, d) -> (1, 1, n, d): one batch, one head
                            k[None, None],
                            padded[None, None],
                            scale=1 / problem.temperature,
                        )[0, 0, :, : v.shape[1]]
                    )
                    for part in q.split(rows)
                ]
            )
            for v, padded in zip(values, wide, strict=True)
        ]

    return run


def flat_index(problem: Problem) -> Any:
    """Return FAISS's exact index of the keys; None without FAISS or on CUDA."""
    try:
        import faiss
    except ImportError:
        return None
    if problem.device.type != "cpu":
        return None
    _, keys, _ = problem.loaded(torch.float32)
    faiss.omp_set_num_threads(torch.get_num_threads())
    index = faiss.IndexFlatIP(keys.shape[1])
    index.add(keys.numpy())
    return index


def top_k(problem: Problem, index: Any, k: int) -> Call:
    """Search the index, and take a softmax over the k nearest."""
    queries, _, values = problem.loaded(torch.float32)

    def run() -> list[Tensor]:
        scores, ids = (torch.from_numpy(part) for part in index.search(queries.numpy(), k))
        return mean_of_found(scores / problem.temperature, ids, values)

    return run


def mean_of_found(logits: Tensor, ids: Tensor, values: Sequence[Tensor]) -> list[Tensor]:
    """Average the values of (n, k) neighbours; places without one have id -1."""
    # As an index, -1 would be the last key.
    weights = torch.softmax(logits.masked_fill(ids < 0, -torch.inf), dim=1).unsqueeze(1)
    # (b, 1, k) @ (b, k, d) -> (b, 1, d) for each block of b rows
    ids = ids.clamp(min=0)
    blocks = range(0, len(ids), 64)  # what is gathered is k times as large as the result
    return [
        torch.cat(
            [normalize((weights[i : i + 64] @ v[ids[i : i + 64]]).squeeze(1)) for i in blocks]
        )
        for v in values
    ]


def products(problem: Problem, dtype: torch.dtype, tile: tuple[int, int] | None = None) -> Call:
    """The bound: the products at the same shapes and nothing else."""
    q, k, values = problem.loaded(dtype)
    query_rows, key_rows = tile or (CUDA_TILE if q.is_cuda else TILE)
    query_rows, key_rows = min(query_rows, problem.n), min(key_rows, problem.m)
    weights = torch.empty((query_rows, key_rows), dtype=dtype, device=q.device)
    sums = [torch.empty((query_rows, v.shape[1]), dtype=dtype, device=q.device) for v in values]

    def run() -> None:
        for block in q.split(query_rows):
            for start in range(0, problem.m, key_rows):
                keys = k[start : start + key_rows]
                tile = weights[: len(block), : len(keys)]
                torch.mm(block, keys.T, out=tile)
                for v, out in zip(values, sums, strict=True):
                    torch.mm(tile, v[start : start + key_rows], out=out[: len(block)])

    return run


@dataclass(frozen=True)
class Peak:
    """Square products in a row, which a device's matrix units are at their fastest with.

    Attributes:
        size: rows and columns.
        times: products a call, enough to time a device that runs behind its host.
        run: the call.
    """

    size: int
    times: int
    run: Call

    @classmethod
    def of(cls, dtype: torch.dtype, device: torch.device) -> Peak:
        """Prepare it for a device."""
        size, times = (8192, 100) if device.type == "cuda" else (2048, 1)
        column = Column("peak", 1024, "text")
        rows = embeddings(column, size, dtype="float32", device=device).to(dtype)
        a = rows.repeat(1, size // 1024)
        out = torch.empty_like(a)

        def run() -> None:
            for _ in range(times):
                torch.mm(a, a.T, out=out)

        return cls(size, times, run)

    @property
    def flops(self) -> float:
        """Of one call."""
        return 2.0 * self.size**3 * self.times
