"""Other ways to train a projector, and the products that bound it.

All train the same layers on the same batches: rows of all modalities through one batch norm.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property

import torch
from synthetic import Column, aligned
from synthetic import rows as unseen
from torch import Tensor
from torch.nn.functional import cross_entropy, relu

from reactions.ops.pairs import PseudoSet, PseudoTable
from reactions.ops.precision import Precision
from reactions.ops.projector import Projector
from reactions.ops.projector_step import ProjectorTrainer

TEMPERATURE = 1 / 50
LEARNING_RATE = 1e-3
MODALITIES = ("text", "image", "audio")

Call = Callable[[], object]
Step = Callable[[Tensor, Tensor], Tensor]
"""Updates a projector on (modalities, n, dim) unit rows of both sides; returns the loss."""


@dataclass(frozen=True)
class Problem:
    """One projector and the pseudo-pairs it is trained on.

    Attributes:
        n: rows a batch.
        sources: modalities that are projected.
        targets: modalities of the frozen side.
        dims: widths of the input, the hidden layer and the output.
        device: where it is trained.
        rows: pseudo-pairs; float16 on the host.
        seed: of the world.
    """

    n: int
    sources: int
    targets: int
    dims: tuple[int, int, int]
    device: torch.device
    rows: int
    seed: int = 0
    _tables: dict[Precision, PseudoTable] = field(default_factory=dict)

    @property
    def label(self) -> str:
        widths = " -> ".join(map(str, self.dims))
        return f"B={self.n:,}, {widths}, {self.sources} x {self.targets} terms"

    @cached_property
    def pairs(self) -> PseudoSet:
        d_in, _, d_out = self.dims
        spaces = {
            "S": (d_in, MODALITIES[: self.sources]),
            "T": (d_out, MODALITIES[: self.targets]),
        }
        tables = aligned(self.rows, spaces, seed=self.seed, device=self.device)
        columns = {name: table.cpu().numpy() for name, table in tables.items()}
        return PseudoSet(
            [columns["S", modality] for modality in MODALITIES[: self.sources]],
            [columns["T", modality] for modality in MODALITIES[: self.targets]],
        )

    def table(self, precision: Precision) -> PseudoTable:
        """Return the pairs on the device; contenders of a precision share them."""
        if precision not in self._tables:
            self._tables[precision] = PseudoTable(
                [self.pairs], device=self.device, precision=precision
            )
        return self._tables[precision]

    def projector(self, seed: int = 0) -> Projector:
        d_in, hidden, d_out = self.dims
        return Projector(d_in, d_out, hidden, seed=seed).to(self.device).train()

    @property
    def flops(self) -> float:
        """Of one step: five products of the layers, two of the logits."""
        d_in, hidden, d_out = self.dims
        layers = 2 * d_in * hidden + 3 * hidden * d_out
        logits = 2 * self.targets * self.n * d_out
        return 2.0 * self.sources * self.n * (layers + logits)


def endless(
    problem: Problem, precision: Precision, seed: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches of a resident table for ever."""
    for epoch in itertools.count(seed):
        generator = torch.Generator().manual_seed(epoch)
        yield from problem.table(precision).batches([0], problem.n, 1, generator)


def running(problem: Problem, precision: Precision, step: Step) -> Call:
    """A call that fetches a batch and takes a step: what training repeats."""
    batches = endless(problem, precision)
    return lambda: step(*next(batches))


def naive(projector: Projector, *, autocast: torch.dtype | None = None) -> Step:
    """What a researcher writes: the six losses one by one, autograd, torch.optim.Adam."""
    optimiser = torch.optim.Adam(projector.parameters(), lr=LEARNING_RATE)

    def cast(device: torch.device) -> AbstractContextManager[object]:
        return torch.autocast(device.type, autocast) if autocast else nullcontext()

    def info_nce(x: Tensor, y: Tensor) -> Tensor:
        logits = x @ y.T / TEMPERATURE
        labels = torch.arange(len(x), device=x.device)
        return (cross_entropy(logits, labels) + cross_entropy(logits.T, labels)) / 2

    def step(x: Tensor, y: Tensor) -> Tensor:
        with cast(x.device):
            out = projector(x.flatten(0, 1)).chunk(len(x))
            loss = torch.stack([info_nce(a, b) for a in out for b in y]).sum()
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        return loss.detach()

    return step


def ours(projector: Projector, problem: Problem, precision: Precision) -> Step:
    """The product."""
    return ProjectorTrainer(
        projector,
        problem.sources,
        problem.targets,
        problem.n,
        temperature=TEMPERATURE,
        learning_rate=LEARNING_RATE,
        dtype=problem.table(precision).dtype,
    ).step


def compiled(projector: Projector) -> Step:
    """The product's arithmetic as one function, fused by torch.compile; the first call compiles."""
    layers = projector.layers
    # Without the linear layers' biases: batch norm subtracts them, so their gradient is zero.
    names = ("0.weight", "1.weight", "1.bias", "3.weight", "4.weight", "4.bias")
    parameters = [layers.get_parameter(name).detach() for name in names]
    optimiser = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    statistics = [
        layers.get_buffer(f"{i}.running_{what}") for i in (1, 4) for what in ("mean", "var")
    ]
    function = torch.compile(_gradients, dynamic=False)

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss, gradients, batch = function(*parameters, x, y)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()
        torch._foreach_lerp_(statistics, batch, 0.1)  # batch norm's momentum
        return loss

    return step


def _gradients(
    w1: Tensor, g1: Tensor, b1: Tensor, w2: Tensor, g2: Tensor, b2: Tensor, x: Tensor, y: Tensor
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor]]:
    """Return loss, gradients and batch statistics."""
    (s, n, _), t, dtype = x.shape, len(y), x.dtype
    rows = s * n
    x, keys = x.flatten(0, 1), y.flatten(0, 1)  # -> (s * n, d_in), (t * n, d_out)
    h1, h2 = w1.to(dtype), w2.to(dtype)
    a1 = x @ h1.T
    mean1, var1, inv1 = _moments(a1)
    active = relu((a1 - mean1) * (inv1 * g1) + b1).to(dtype)
    a2 = active @ h2.T
    mean2, var2, inv2 = _moments(a2)
    normed = (a2 - mean2) * (inv2 * g2) + b2
    inverse = normed.norm(dim=1, keepdim=True).reciprocal()
    z = normed * inverse
    # Logits in base 2 save exp's multiplication. No maximum is subtracted: a cosine is at most 1,
    # so exp2 stays below 2 ** 73, and float32 reaches 2 ** 128.
    scale = math.log2(math.e) / TEMPERATURE
    logits = ((z * scale).to(dtype) @ keys.T).view(s, n, t, n)  # (s * n, t * n) -> (s, n, t, n)
    matched = logits.diagonal(dim1=1, dim2=3).float()  # (s, t, n)
    weights = torch.exp2(logits.float())
    by_row, by_column = weights.sum(3), weights.sum(1)  # (s, n, t), (s, t, n)
    nats = 0.5 * (by_row.log2().sum() + by_column.log2().sum()) - matched.sum()
    slopes = weights * (by_row.reciprocal().unsqueeze(3) + by_column.reciprocal().unsqueeze(1))
    # Gradient of both directions' log-sums, less the matched keys, which count once in each.
    dz = (slopes.to(dtype).view(rows, t * n) @ keys).float() - 2 * y.float().sum(0).repeat(s, 1)
    dz = dz * (0.5 / (n * TEMPERATURE))
    dv = (dz - z * (z * dz).sum(1, keepdim=True)) * inverse
    da2, dg2, db2 = _through_norm(dv, (a2 - mean2) * inv2, g2 * inv2, dtype)
    back = torch.where(active > 0, (da2 @ h2).float(), 0.0)
    da1, dg1, db1 = _through_norm(back, (a1 - mean1) * inv1, g1 * inv1, dtype)
    gradients = (da1.T @ x).float(), dg1, db1, (da2.T @ active).float(), dg2, db2
    # Batch norm normalises with the biased variance, and keeps the unbiased one.
    unbiased = rows / (rows - 1)
    return nats * (math.log(2) / n), gradients, [mean1, var1 * unbiased, mean2, var2 * unbiased]


def _moments(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    mean = a.float().mean(0)
    variance = (a - mean).square().mean(0)
    return mean, variance, torch.rsqrt(variance + 1e-5)


def _through_norm(
    back: Tensor, standard: Tensor, scale: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    shift, stretch = back.sum(0), (back * standard).sum(0)
    return ((back - (shift + standard * stretch) / len(back)) * scale).to(dtype), stretch, shift


def products(problem: Problem, dtype: torch.dtype) -> Call:
    """The bound: the seven products of a step at the same shapes, and nothing else."""
    d_in, hidden, d_out = problem.dims
    rows, keys = problem.sources * problem.n, problem.targets * problem.n

    def filled(*shape: int) -> Tensor:
        return torch.randn(shape, device=problem.device).to(dtype)

    def empty(*shape: int) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=problem.device)

    x, active, z, y = (
        filled(rows, d_in),
        filled(rows, hidden),
        filled(rows, d_out),
        filled(keys, d_out),
    )
    w1, w2 = filled(hidden, d_in), filled(d_out, hidden)
    inner, outer, logits = empty(rows, hidden), empty(rows, d_out), empty(rows, keys)
    dw1, dw2 = empty(hidden, d_in), empty(d_out, hidden)

    def run() -> None:
        torch.mm(x, w1.T, out=inner)
        torch.mm(active, w2.T, out=outer)
        torch.mm(z, y.T, out=logits)
        torch.mm(logits, y, out=outer)
        torch.mm(z.T, active, out=dw2)
        torch.mm(z, w2, out=inner)
        torch.mm(active.T, x, out=dw1)

    return run


def recall_at_1(projector: Projector, problem: Problem, rows: int = 1024) -> float:
    """Mean over pairs of modalities and both directions, on items that were not trained on."""

    def held_out(space: str, dim: int, modalities: int) -> list[Tensor]:
        columns = [Column(space, dim, m, items="pairs") for m in MODALITIES[:modalities]]
        first = problem.rows
        return [
            unseen(column, first, first + rows, seed=problem.seed, device=problem.device)
            for column in columns
        ]

    projector.eval()
    d_in, _, d_out = problem.dims
    matched = torch.arange(rows, device=problem.device)
    scores = []
    with torch.no_grad():
        for x in held_out("S", d_in, problem.sources):
            out = projector(x)
            for y in held_out("T", d_out, problem.targets):
                cosines = out @ y.T
                scores += [(c.argmax(1) == matched).float().mean() for c in (cosines, cosines.T)]
    return float(torch.stack(scores).mean())
