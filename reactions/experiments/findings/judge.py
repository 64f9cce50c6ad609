"""Contrasts judged by what was measured.

A contrast is the difference of two spaces' mean scores, over the tasks and over seeds, with two
95 % intervals: a bootstrap that draws items within each task and seed, and Student's t over the
seeds' means. The first leaves out what another training run would change, the second rests on few
numbers: a claim is judged by the wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reactions.eval.bootstrap import Interval, bootstrap_strata, student_interval
from reactions.experiments.findings.contrasts import A_LITTLE, A_LOT, TOLERANCE, Comparison

Strata: TypeAlias = dict[tuple[str, str], list[NDArray[np.float64]]]
"""(space, family) to per-item scores (shares), one array for each seed and task."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A contrast with what was measured, in percentage points.

    Attributes:
        contrast: what was claimed.
        difference: mean of space minus other, with its interval over items.
        over_seeds: the same mean, with its interval over seeds; unbounded for a single seed.
        by_seed: the difference for each seed.
        holds: whether the wider interval fits the claim as a whole; None where nothing is claimed.
    """

    contrast: Comparison
    difference: Interval
    over_seeds: Interval
    by_seed: tuple[float, ...]
    holds: bool | None

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        beyond = self.contrast.beyond
        return {
            "finding": self.contrast.finding,
            "space": self.contrast.space,
            "claim": self.contrast.claim,
            "other": self.contrast.other,
            "family": self.contrast.family,
            **({"beyond": list(beyond)} if beyond else {}),
            "difference": self.difference.mean,
            "low": self.difference.low,
            "high": self.difference.high,
            "low_over_seeds": _finite(self.over_seeds.low),
            "high_over_seeds": _finite(self.over_seeds.high),
            "by_seed": list(self.by_seed),
            "holds": self.holds,
        }


def judge(contrast: Comparison, strata: Strata, n_seeds: int) -> Verdict:
    """Compare two spaces item by item and decide whether the claim holds.

    Args:
        contrast: the claim.
        strata: per-item scores; seeds outermost, then the family's tasks.
        n_seeds: how many seeds there are.
    """
    differences = _differences(contrast.space, contrast.other, contrast.family, strata)
    if contrast.beyond:
        controls = _differences(*contrast.beyond, contrast.family, strata)
        differences = [d - control for d, control in zip(differences, controls, strict=True)]
    over_items, over_seeds, by_seed = intervals(differences, n_seeds)
    interval = wider(over_items, over_seeds)
    # A claim has to hold for the whole interval.
    holds = {
        "beats": interval.low > 0,
        "lifts a lot": interval.low > A_LOT,
        "gains a little": interval.low > 0 and interval.high < A_LITTLE,
        "reaches": interval.low > -TOLERANCE,
        "costs a little": interval.low > -A_LITTLE and interval.mean <= 0,
        "equals": all(not d.any() for d in differences),  # item by item, not on average
        "differs": None,
    }[contrast.claim]
    return Verdict(contrast, over_items, over_seeds, by_seed, holds)


def intervals(
    differences: Sequence[NDArray[np.float64]], n_seeds: int
) -> tuple[Interval, Interval, tuple[float, ...]]:
    """Return a mean difference with its intervals over items and over seeds, and that of each seed.

    Args:
        differences: per item; seeds outermost, then the family's tasks, as many of each seed.
        n_seeds: how many seeds there are.
    """
    # (seeds * tasks,) -> (seeds, tasks) -> (seeds,)
    per_seed = np.reshape([d.mean() for d in differences], (n_seeds, -1)).mean(axis=1)
    return bootstrap_strata(differences), student_interval(per_seed), tuple(map(float, per_seed))


def wider(over_items: Interval, over_seeds: Interval) -> Interval:
    """Return the interval by which a claim is judged."""
    return max(over_items, over_seeds, key=lambda x: x.high - x.low)


def _differences(space: str, other: str, family: str, strata: Strata) -> list[NDArray[np.float64]]:
    """Return what each item scores more in one space than in another, in percentage points."""
    pairs = zip(strata[space, family], strata[other, family], strict=True)
    return [100 * (x - y) for x, y in pairs]


def _finite(value: float) -> float | None:
    """Return a number that JSON can hold, or None."""
    return value if np.isfinite(value) else None
