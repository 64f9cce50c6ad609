"""Running training-free rows: those that can be scored are, of the others it is said why not."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Protocol

from reactions.core.errors import MolspaceError, StoreError
from reactions.core.step import Artifact, Step
from reactions.core.types import Digest, SpaceSpec
from reactions.eval.baselines import BASELINES, CLASS_ROWS, Baseline, NoScore
from reactions.eval.result import Result
from reactions.planning.baselines import PlannedBaseline
from reactions.planning.estimate import Estimate
from reactions.planning.plan import Plan, joined
from reactions.products.target import Target


class Run(Protocol):
    """Runs steps, or takes their results from the store."""

    def __call__(
        self, targets: Sequence[Step], *, silent: bool = False
    ) -> Mapping[Digest, Artifact]:
        """Return artifacts by key; ``silent`` reports no events."""


def run_baselines(
    rows: Sequence[PlannedBaseline],
    *,
    run: Run,
    result: Callable[[Target, Plan, Artifact], Result],
    estimate: Callable[[Plan], Estimate],
    obstacle: Callable[[Estimate], NoScore | None],
    confirm: Callable[[Plan], None],
) -> list[Baseline]:
    """Score the rows.

    Args:
        rows: from ``plan_baselines``, or ``plan_class_rows``.
        run: runs steps, or takes their results from the store.
        estimate: what a plan would take, apart from what the store has.
        result: makes a score of a step's artifact.
        obstacle: says why what is estimated is not to be run; None where it is.
        confirm: called with all that is to be run, before it runs.

    Returns:
        One a name, in the order of ``BASELINES`` and ``CLASS_ROWS``. A row that fails, or that a
        store cannot take (``confirm``), is lacking, with the reason.
    """
    # Asked once for rows that differ in their tasks alone: to find out how fast a device is takes
    # time.
    ways: dict[Hashable, NoScore | None] = {}
    rows = [row if row.lacks else row.unless(_way(row, estimate, obstacle, ways)) for row in rows]
    plan = joined([row.plan for row in rows if not row.lacks])
    artifacts: dict[Digest, Artifact] = {}
    # What the cache has is only read: no run is shown beside the reaction's own.
    is_there = not estimate(plan).steps
    if not is_there:
        try:
            confirm(plan)
        except StoreError as error:  # what they stand beside is there, and need not be written
            lacks = NoScore.of(error)
            rows = [
                row if row.lacks or not estimate(row.plan).steps else row.unless(lacks)
                for row in rows
            ]
            plan, is_there = joined([row.plan for row in rows if not row.lacks]), True
    try:
        artifacts |= run(plan.targets, silent=is_there)
    except MolspaceError:
        # One by one: a row that fails must not take the others along.
        rows = [_attempted(row, run, artifacts) for row in rows]
    baselines: list[Baseline] = []
    names = {row.name for row in rows}
    for name in (name for name in (*BASELINES, *CLASS_ROWS) if name in names):
        planned = [row for row in rows if row.name == name]
        baselines.append(
            Baseline(
                name,
                {row.task.name: _best(row, artifacts, result) for row in planned if not row.lacks},
                {row.task.name: row.lacks for row in planned if row.lacks},
            )
        )
    return baselines


def _way(
    row: PlannedBaseline,
    estimate: Callable[[Plan], Estimate],
    obstacle: Callable[[Estimate], NoScore | None],
    ways: dict[Hashable, NoScore | None],
) -> NoScore | None:
    """Return what stands in a row's way, which is noted in ``ways``."""
    expected = estimate(row.plan)
    key = (row.name, expected.cost.flops, expected.spaces, expected.uncounted, bool(expected.steps))
    if key not in ways:
        ways[key] = obstacle(expected)
    return ways[key]


def _attempted(
    row: PlannedBaseline,
    run: Run,
    artifacts: dict[Digest, Artifact],
) -> PlannedBaseline:
    """Run a row by itself."""
    if row.lacks:
        return row
    try:
        artifacts.update(run(row.plan.targets))
    except MolspaceError as error:
        return row.unless(NoScore.of(error))
    return row


def _best(
    row: PlannedBaseline,
    artifacts: Mapping[Digest, Artifact],
    result: Callable[[Target, Plan, Artifact], Result],
) -> Result:
    """Return the best of a row's choices by the main metric; of equals, the first."""
    results = [result(target, plan, artifacts[plan.targets[0].key]) for target, plan in row.choices]
    return max(results, key=lambda scored: float(scored.record["metrics"][scored.record["main"]]))


def obstacle(
    expected: Estimate,
    check_space: Callable[[SpaceSpec], None],
    seconds: Callable[[Estimate], float],
    within_s: float | None,
    *,
    where: str = "",
) -> NoScore | None:
    """Say why a row is not to be scored; None where nothing stands in the way.

    Args:
        expected: what its plan would take, apart from what the store has.
        check_space: raises what is missing of a space.
        seconds: estimates how long a run takes.
        within_s: how long it may take; None for any time.
        where: it would take so long, in words that follow the seconds.
    """
    try:
        for spec in expected.spaces:
            check_space(spec)
    except MolspaceError as error:
        return NoScore.of(error)
    if within_s is None or not expected.steps:
        return None
    if expected.uncounted:
        return NoScore(f"{', '.join(expected.uncounted)} would embed training items", _HOW)
    if expected.cost.flops <= within_s * _LEAST_FLOPS_A_SECOND:
        return None
    if (needed_s := seconds(expected)) > within_s:
        return NoScore(f"it would take about {needed_s:.0f} s{where}", _HOW)
    return None


_HOW = "--baselines makes it"

_LEAST_FLOPS_A_SECOND = 1e9
"""No device is slower; to find out how fast it is takes longer than such rows."""
