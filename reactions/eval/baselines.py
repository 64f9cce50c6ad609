"""Rows of what trains nothing, beside a reaction's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from reactions.core.errors import MolspaceError
from reactions.eval.bootstrap import Interval, bootstrap_difference
from reactions.eval.result import Result

BEST_PART = "best part"
SUM = "sum of cosines"
CENTRED_SUM = "centred sum of cosines"
PROCRUSTES = "Procrustes"

BASELINES = (BEST_PART, SUM, CENTRED_SUM, PROCRUSTES)
"""Names of the rows, in the order of tables."""

CLIP_PROMPT = "CLIP's template"
TASK_PROMPTS = "the task's prompts"
SEVEN_PROMPTS = "CLIP's 7 templates"
BARE_NAMES = "the class name"
SYNONYMS = "names and synonyms"

CLASS_ROWS = (CLIP_PROMPT, TASK_PROMPTS, SEVEN_PROMPTS, BARE_NAMES, SYNONYMS)
"""Names of the rows beside embedding centres: what else may describe a class."""


@dataclass(frozen=True, slots=True)
class NoScore:
    """Why a row is not there.

    Attributes:
        reason: for people.
        fix: what to do about it; "" if nothing can be done.
    """

    reason: str
    fix: str = ""

    @classmethod
    def of(cls, error: MolspaceError) -> NoScore:
        """Return what an error says."""
        return cls(f"{error.what}: {error.why}" if error.why else error.what, error.fix)


@dataclass(frozen=True)
class Baseline:
    """A row of what trains nothing.

    Every task is in one of the mappings, or has no such row.

    Attributes:
        name: one of ``BASELINES`` or ``CLASS_ROWS``.
        results: name of the task to its score. The record has the fields of a reaction's;
            ``space`` names the best part, and ``weights`` the parts of a sum.
        lacks: task name to the reason why the task has no score.
    """

    name: str
    results: Mapping[str, Result]
    lacks: Mapping[str, NoScore]

    def has(self, task: str) -> bool:
        """Return whether the row is one of a task's; a task may lack a row of others."""
        return task in self.results or task in self.lacks

    def heading(self, task: str) -> str:
        """Return the row's name in a table of one task: that of the best part is in it."""
        if self.name != BEST_PART or task not in self.results:
            return self.name
        return f"{self.name} ({self.results[task].record['space']})"

    def to_json(self, task: str) -> dict[str, Any]:
        """Return the row of one task as a JSON object."""
        if task in self.lacks:
            missing = self.lacks[task]
            return {"name": self.name, "lacks": missing.reason, "fix": missing.fix}
        record = self.results[task].record
        keys = ("further", "weights", "factors", *(("prompts",) if self.name in CLASS_ROWS else ()))
        optional = {key: record[key] for key in keys if record.get(key)}
        return {
            "name": self.name,
            "space": record["space"],
            "main": record["main"],
            "metrics": dict(record["metrics"]),
            **optional,
        }


def difference(own: Result, other: Result) -> Interval:
    """Return how much better one of two scores of a task with classes is, in points.

    Items are drawn together for both, or classes where precision is averaged over them.
    """
    (name,) = own.arrays
    values, others = (np.asarray(result.arrays[name], np.float64) for result in (own, other))
    return bootstrap_difference(100 * values, 100 * others)


def baselines_json(baselines: Sequence[Baseline], task: str) -> list[dict[str, Any]]:
    """Return all rows of one task as JSON objects, in order."""
    return [baseline.to_json(task) for baseline in baselines if baseline.has(task)]


def baseline_cells(
    baselines: Sequence[Baseline], task: str, metric: str, digits: int = 2
) -> list[tuple[str, str]]:
    """Return (heading, text) of every row for one metric of one task; "-" where it is lacking.

    Rows that train nothing have the metrics of the protocol alone.
    """
    return [
        (
            baseline.heading(task),
            f"{baseline.results[task].record['metrics'][metric]:.{digits}f}"
            if task in baseline.results and metric in baseline.results[task].record["metrics"]
            else "-",
        )
        for baseline in baselines
    ]


def lacking(baselines: Sequence[Baseline], task: str) -> list[str]:
    """Say why rows are not there: a sentence a reason, with the rows that have it."""
    names_of_reason: dict[NoScore, list[str]] = {}
    for baseline in baselines:
        if (missing := baseline.lacks.get(task)) is not None:
            names_of_reason.setdefault(missing, []).append(baseline.name)
    return [
        ", ".join(names)
        + (f" ({len(names)} rows)" if len(names) > 1 else "")
        + f": {missing.reason}"
        + (f"; {missing.fix}" if missing.fix else "")
        for missing, names in names_of_reason.items()
    ]


def beaten(record: Mapping[str, Any], baselines: Sequence[Baseline]) -> str:
    """Say in a sentence which row beats a reaction on a task by its main metric, and by how much.

    Args:
        record: the reaction's result.
        baselines: its training-free rows.

    Returns:
        "" where none does.
    """
    task, main = record["task"], record["main"]
    product_score = record["metrics"][main]
    scores = {
        baseline.name: (baseline.results[task].record["metrics"][main], baseline)
        for baseline in baselines
        if task in baseline.results
    }
    if not scores or max(value for value, _ in scores.values()) <= product_score:
        return ""
    best, baseline = max(scores.values(), key=lambda pair: pair[0])
    subject = {
        BEST_PART: f"{baseline.results[task].record['space']} alone scores",
        SUM: "the sum of cosines, which trains nothing, scores",
        CENTRED_SUM: "the centred sum of cosines, which trains nothing, scores",
        PROCRUSTES: "the same reaction by recipe=procrustes, which trains nothing, scores",
    }[baseline.name]
    sentence = f"{subject} higher: {main} {best:.2f} against {product_score:.2f}"
    if baseline.name == CENTRED_SUM and best > scores.get(SUM, (best, baseline))[0]:
        sentence += (
            "; centre = true under [spaces.NAME] in the lab file, or Cr(NAME, centre=true), takes "
            "the means off in a reaction, too"
        )
    return sentence
