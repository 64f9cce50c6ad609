"""Claims judged by what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.eval.bootstrap import Interval
from reactions.experiments.findings.judge import Strata, intervals, wider
from reactions.experiments.unibind.claims import Claim


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim with what was measured, in percentage points.

    Attributes:
        claim: what was claimed.
        difference: mean of the arm minus the other, with its interval over items.
        over_seeds: the same mean, with its interval over seeds; unbounded for a single seed.
        by_seed: the difference for each seed.
    """

    claim: Claim
    difference: Interval
    over_seeds: Interval
    by_seed: tuple[float, ...]

    @property
    def holds(self) -> bool:
        """Whether the mean reaches the margin, and the wider interval lies above zero."""
        low = wider(self.difference, self.over_seeds).low
        return self.difference.mean >= self.claim.at_least and low > 0

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        claim = self.claim
        low, high = self.over_seeds.low, self.over_seeds.high
        return {
            "finding": claim.finding,
            "arm": claim.arm,
            "other": claim.other,
            "family": claim.family,
            "at_least": claim.at_least,
            **({"beyond": list(claim.beyond)} if claim.beyond else {}),
            "unit": "%" if claim.relative else "points",
            "difference": self.difference.mean,
            "low": self.difference.low,
            "high": self.difference.high,
            "low_over_seeds": low if np.isfinite(low) else None,
            "high_over_seeds": high if np.isfinite(high) else None,
            "by_seed": list(self.by_seed),
            "holds": self.holds,
        }


def judge(claim: Claim, strata: Strata, n_seeds: int) -> Judged:
    """Compare two arms item by item.

    Args:
        claim: what is claimed.
        strata: (arm, family) to per-item values; seeds outermost, then the family's tasks.
        n_seeds: how many seeds there are.
    """
    differences = _differences(claim.arm, claim.other, claim.family, strata, claim.relative)
    if claim.beyond is not None:
        taken_off = _differences(*claim.beyond, strata, claim.relative)
        differences = [x - y for x, y in zip(differences, taken_off, strict=True)]
    return Judged(claim, *intervals(differences, n_seeds))


def _differences(
    arm: str, other: str, family: str, strata: Strata, relative: bool
) -> list[NDArray[np.float64]]:
    """Return what each item has more in one arm than in another, in points or per cent."""
    pairs = zip(strata[arm, family], strata[other, family], strict=True)
    return [100 * (x - y) / (x if relative else 1.0) for x, y in pairs]
