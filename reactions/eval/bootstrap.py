"""Confidence intervals: bootstrap over the items of a task, Student's t over training seeds.

The unit that is drawn is the item: five captions of one sound are not five independent
observations, so they are drawn together (a cluster bootstrap).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reactions.core.errors import DimensionMismatch

_DRAWS_AT_ONCE = 1 << 22  # 32 MB of int64


class Interval(NamedTuple):
    """A mean with its percentile interval.

    Attributes:
        mean: of the values themselves.
        low: lower end.
        high: upper end.
    """

    mean: float
    low: float
    high: float


def bootstrap_mean(
    values: ArrayLike,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Estimate a mean with a percentile bootstrap interval.

    Args:
        values: n numbers, of shape (n,) or (n, 1); NaN (an absent class) is left out.
        n_resamples: how often to draw all clusters with replacement.
        seed: equal seeds give equal intervals.
        clusters: (n,) int, values with the same number are drawn together; each on its
            own if None.
        confidence: share of resampled means inside the interval.

    Raises:
        DimensionMismatch: there are no values, or clusters do not match them.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    groups = np.arange(len(flat)) if clusters is None else np.asarray(clusters).ravel()
    if len(groups) != len(flat):
        raise DimensionMismatch(f"{len(groups)} clusters for {len(flat)} values")
    present = ~np.isnan(flat)
    flat, groups = flat[present], groups[present]
    if not len(flat):
        raise DimensionMismatch("no values to resample")
    _, index = np.unique(groups, return_inverse=True)
    sums = np.bincount(index, weights=flat).astype(np.float64)
    sizes = np.bincount(index).astype(np.float64)
    means = _resampled_means(sums, sizes, n_resamples, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(flat.mean()), float(low), float(high))


def bootstrap_difference(
    x: ArrayLike,
    y: ArrayLike,
    *,
    n_resamples: int = 2000,
    seed: int = 0,
    clusters: ArrayLike | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Estimate mean(x) - mean(y) where row i of both belongs to the same item.

    Drawing the items once for both keeps what they share (easy and hard items) out of
    the interval. Arguments as for ``bootstrap_mean``.

    Raises:
        DimensionMismatch: x and y differ in length, or there are no values.
    """
    first = np.asarray(x, dtype=np.float64).ravel()
    second = np.asarray(y, dtype=np.float64).ravel()
    if len(first) != len(second):
        raise DimensionMismatch(f"cannot pair {len(first)} with {len(second)} values")
    return bootstrap_mean(
        first - second,
        n_resamples=n_resamples,
        seed=seed,
        clusters=clusters,
        confidence=confidence,
    )


def bootstrap_strata(
    strata: Sequence[ArrayLike],
    *,
    n_resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Estimate the mean of several sets' means, each set counting equally.

    Args:
        strata: one array of n_i numbers for each set (a task with one seed); items are
            drawn with replacement within each.
        n_resamples: how often to draw.
        seed: equal seeds give equal intervals.
        confidence: share of resampled means inside the interval.

    Raises:
        DimensionMismatch: there is no set, or one is empty.
    """
    arrays = [np.asarray(values, dtype=np.float64).ravel() for values in strata]
    if not arrays or not all(map(len, arrays)):
        raise DimensionMismatch("no values to resample")
    rng = np.random.default_rng(seed)
    means = np.mean(
        [_resampled_means(x, np.ones(len(x)), n_resamples, rng) for x in arrays], axis=0
    )
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(np.mean([x.mean() for x in arrays])), float(low), float(high))


_T_975 = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)
"""97.5 % quantiles of Student's t for 1 to 30 degrees of freedom; more are taken as 30."""


def student_interval(values: ArrayLike) -> Interval:
    """Estimate a mean with a 95 % interval of Student's t: for few, roughly normal numbers.

    A bootstrap of five numbers is too narrow: it never draws what was not seen.

    Args:
        values: n >= 1 numbers, such as one for each seed.

    Returns:
        The mean and its interval, which is unbounded for a single number.

    Raises:
        DimensionMismatch: there are no values.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    n = len(flat)
    if not n:
        raise DimensionMismatch("no values to estimate a mean from")
    mean = float(flat.mean())
    if n == 1:
        return Interval(mean, -np.inf, np.inf)
    half = _T_975[min(n - 1, len(_T_975)) - 1] * float(flat.std(ddof=1)) / n**0.5
    return Interval(mean, mean - half, mean + half)


def recall_by_item(
    rank_forward: ArrayLike, rank_backward: ArrayLike, owner: ArrayLike, k: int
) -> NDArray[np.float64]:
    """Split the mean of both directions' R@k into one contribution for each left item.

    Args:
        rank_forward: (m,) or (m, 1), rank of the owner for each right item.
        rank_backward: (n,) or (n, 1), rank of the best right item for each left item.
        owner: (m,), the left item of each right item.
        k: the cutoff.

    Returns:
        (n,) float64 whose mean is exactly the mean R@k (as a share), so that it can be
        resampled by item.
    """
    forward = np.asarray(rank_forward).ravel() <= k
    backward = np.asarray(rank_backward).ravel() <= k
    n, m = len(backward), len(forward)
    hits = np.bincount(np.asarray(owner).ravel(), weights=forward, minlength=n)  # (n,)
    # n / m, so that the mean over left items is the share of right ones that are hits.
    contributions: NDArray[np.float64] = (hits * (n / m) + backward) / 2
    return contributions


def _resampled_means(
    sums: NDArray[np.float64],
    sizes: NDArray[np.float64],
    n_resamples: int,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    n = len(sums)
    # Clusters of one size weigh the same however they are drawn, which saves half the look-ups.
    even = bool((sizes == sizes[0]).all())
    means = np.empty(n_resamples)
    step = max(1, _DRAWS_AT_ONCE // n)
    for start in range(0, n_resamples, step):
        drawn = rng.integers(n, size=(min(step, n_resamples - start), n))
        weight = sizes[0] * n if even else sizes[drawn].sum(axis=1)
        means[start : start + step] = sums[drawn].sum(axis=1) / weight
    return means
