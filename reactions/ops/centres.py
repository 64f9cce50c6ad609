"""Embedding centres: which of a class's descriptions stand for it, and what they score.

Descriptions are chosen in whole numbers that float64 holds exactly, sums of products included: such
sums do not depend on the order in which a machine adds them up, so that every machine chooses the
same ones, and equal rows tie exactly.

Source: UniBind, section 3.2 and supplement A.3, which keep 50 of 1,000 descriptions a class and
do not say how; the selections are ours. Rules: ``nearest-row`` is that of UniBind's code,
``sum`` that of RobustBind's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from reactions.core.centre_options import Rule
from reactions.core.errors import DimensionMismatch
from reactions.ops.tensors import unit

_ONE = float(1 << 26)
"""What stands for 1.0. The product of two unit rows is about 2^52 at most, and so, by Cauchy and
Schwarz, is every part of its sum: whole numbers below 2^53, which float64 adds without rounding."""

_MOST_ROUNDS = 50
"""Of k-medoids: it nearly always settles in ten."""

_MASK = (1 << 64) - 1

_BLOCK_BYTES = 64 << 20


def fixed_point(rows: Tensor) -> Tensor:
    """Return unit rows as whole numbers, the same on every machine.

    Args:
        rows: (n, d) float, finite, of about unit norm.

    Returns:
        (n, d) float64, whole numbers, of norm 2^26 to within rounding. Every operation is exact
        or rounded as IEEE 754 prescribes.
    """
    whole = (rows.double() * _ONE).round()
    norms = (whole * whole).sum(dim=-1, keepdim=True).sqrt()
    # A row of zeros stays zero.
    return (whole / norms.clamp_min(1.0) * _ONE).round()


def nearest(rows: Tensor, others: Tensor, k: int) -> Tensor:
    """Choose the rows nearest to the mean direction of others.

    Args:
        rows: (n, d) from ``fixed_point``.
        others: (m, d) likewise, m >= 1; ``rows`` themselves for the most central ones.
        k: how many; all where there are fewer.

    Returns:
        (min(k, n),) int64 places, nearest first; of equal ones, the earlier first.
    """
    mean = (others.sum(dim=0) / len(others)).floor()
    # Not the cosine: the mean's length is the same for all rows.
    return (rows @ mean).argsort(descending=True, stable=True)[:k]


def medoids(rows: Tensor, k: int, *, seed: int) -> Tensor:
    """Choose the medoids of k clusters, each the row nearest to the mean of its cluster.

    Args:
        rows: (n, d) from ``fixed_point``.
        k: clusters; at least as many as rows choose all.
        seed: of the rows to begin with.

    Returns:
        (min(k, n),) int64 distinct places, in ascending order.
    """
    n = len(rows)
    if k >= n:
        return torch.arange(n, device=rows.device)
    chosen = torch.tensor(sorted(_shuffled(n, seed)[:k]), device=rows.device)
    for _ in range(_MOST_ROUNDS):
        cluster_of = (rows @ rows[chosen].T).argmax(dim=1)  # of equal ones, the first
        cluster_of[chosen] = torch.arange(k, device=rows.device)  # so that no cluster is empty
        moved = chosen.clone()
        for cluster in range(k):
            members = torch.nonzero(cluster_of == cluster)[:, 0]
            moved[cluster] = members[nearest(rows[members], rows[members], 1)[0]]
        if bool((moved == chosen).all()):
            break
        chosen = moved
    return chosen.sort().values


def prototypes(centres: Tensor, counts: Tensor, rule: Rule) -> Tensor | None:
    """Return one vector a class whose products with items are their scores.

    Args:
        centres: (c, k, d) float32, unit-norm rows; those past a class's count are zeros.
        counts: (c,) int64, rows of each class, 1 to k.
        rule: see ``class_scores``.

    Returns:
        (c, d) float32; None where the rule is not linear in the rows.
    """
    if rule == "mean":
        return unit(centres.sum(dim=1) / counts[:, None])
    if rule == "sum":
        return centres.sum(dim=1) / centres.shape[1]
    return None


def class_scores(
    items: Tensor, centres: Tensor, counts: Tensor, *, rule: Rule, m: int = 1
) -> Tensor:
    """Score items against classes by their cosines with the classes' descriptions.

    Args:
        items: (n, d) float32, unit-norm rows.
        centres: (c, k, d) float32, unit-norm rows; those past a class's count are zeros.
        counts: (c,) int64, rows of each class, 1 to k.
        rule: ``mean``: the cosine with the rescaled mean of the class's rows; ``nearest-row``:
            the greatest cosine; ``sum``: the sum of the cosines over k, whatever the count, so
            that classes with fewer rows score lower, as in a sum; ``top-m``: the mean of the m
            greatest cosines, of all where there are fewer.
        m: of ``top-m``.

    Returns:
        (n, c) float32, in [-1, 1]. ``sum`` ranks classes as does the mean of the rows without
        rescaling, where all classes have as many.

    Raises:
        DimensionMismatch: items and centres differ in width.
    """
    if items.shape[-1] != centres.shape[-1]:
        raise DimensionMismatch(
            f"cannot compare items of {items.shape[-1]} dimensions with centres of "
            f"{centres.shape[-1]}",
            dims=[items.shape[-1], centres.shape[-1]],
        )
    vectors = prototypes(centres, counts, rule)
    if vectors is not None:
        return items @ vectors.T
    c, k, _ = centres.shape
    scores = items.new_empty(len(items), c)
    absent = torch.arange(k, device=centres.device) >= counts[:, None]  # (c, k)
    classes = max(1, _BLOCK_BYTES // (4 * max(1, len(items)) * k))
    for first in range(0, c, classes):
        block = centres[first : first + classes]  # (b, k, d)
        cosines = (items @ block.flatten(0, 1).T).view(len(items), len(block), k)
        cosines.masked_fill_(absent[first : first + classes], -math.inf)
        scores[:, first : first + classes] = _reduced(
            cosines, counts[first : first + classes], 1 if rule == "nearest-row" else m
        )
    return scores


def padded(rows: Tensor, places: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Gather the chosen rows of each class, with zeros where a class has fewer than another.

    Args:
        rows: (n, d) of all classes.
        places: of each class, in ``rows``.

    Returns:
        (c, k, d) rows, k the most of any class, and (c,) int64 counts.
    """
    counts = torch.tensor([len(class_places) for class_places in places], device=rows.device)
    out = rows.new_zeros(len(places), int(counts.max()), rows.shape[1])
    for row, class_places in enumerate(places):
        out[row, : len(class_places)] = rows[class_places]
    return out, counts


def _reduced(cosines: Tensor, counts: Tensor, m: int) -> Tensor:
    """Average the m greatest cosines: (n, b, k), (b,) -> (n, b)."""
    m = min(m, cosines.shape[2])
    if m == 1:
        return cosines.amax(dim=2)
    best = cosines.topk(m, dim=2).values
    n_best = counts.clamp_max(m)  # (b,)
    # What a class lacks is minus infinity, and counts for nothing.
    return best.masked_fill(best == -math.inf, 0.0).sum(dim=2) / n_best


def _shuffled(n: int, seed: int) -> list[int]:
    """Return the numbers below n in an order that a seed gives, on every machine the same."""
    return sorted(range(n), key=lambda i: (_hashed(seed, i), i))


def _hashed(seed: int, i: int) -> int:
    # The finaliser of SplitMix64.
    x = (seed * 0x9E3779B97F4A7C15 + (i + 1) * 0xD1B54A32D192ED03) & _MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _MASK
    return x ^ (x >> 31)
