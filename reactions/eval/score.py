"""The result of scoring a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from reactions.eval.metrics import Ties


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one task.

    Attributes:
        task: its name.
        main: which metric stands for the task.
        metrics: in per cent, in the order to show them.
        n: items scored; of the left side for retrieval.
        n_other: right items, or classes; for mAP those present.
        expected: items the published set has; 0 if unknown.
        ties: whether a tie counts against the model (``strict``) or for it (``lenient``).
        tied: (queries, those whose right answer ties with a wrong one) of each direction of
            retrieval, and of classification; empty for mAP, where equal scores share a
            threshold.
        further: other metrics of the field (``further_metrics``): per cent, but for median ranks.
        arrays: per-item results by rows, for resampling: ``correct`` (n, 1) bool;
            ``average_precision`` (classes, 1) float64, NaN where a class is absent;
            ``rank_forward`` (right items, 1) and ``rank_backward`` (left items, 1) int32.
    """

    task: str
    main: str
    metrics: Mapping[str, float]
    n: int
    n_other: int
    expected: int
    ties: Ties = "strict"
    tied: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    further: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict, repr=False)

    @property
    def value(self) -> float:
        """The main metric, per cent."""
        return self.metrics[self.main]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the arrays, as a JSON object."""
        return {
            "task": self.task,
            "main": self.main,
            "metrics": dict(self.metrics),
            **({"further": dict(self.further)} if self.further else {}),
            "n": self.n,
            "n_other": self.n_other,
            "expected": self.expected,
            "ties": self.ties,
            "tied": {name: {"of": n, "n": tied} for name, (n, tied) in self.tied.items()},
        }
