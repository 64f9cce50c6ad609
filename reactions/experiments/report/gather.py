"""Everything that a report shows, computed or looked up; and what is missing, with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from reactions.core.errors import MissingError, MolspaceError, StoreError, UsageError
from reactions.core.step import Artifact, Step
from reactions.core.types import Leaf
from reactions.eval.baselines import Baseline, NoScore, beaten
from reactions.eval.result import Result
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData
from reactions.experiments.report.costs import step_costs
from reactions.experiments.report.hops import PlannedHop, measured_hops, plan_hops
from reactions.experiments.report.maps import (
    Method,
    Sample,
    before_and_after,
    check_method,
    gap,
    map_samples,
    pair_samples,
    plan_sample,
    sampled_rows,
)
from reactions.experiments.report.product_report import ProductReport, note_record
from reactions.experiments.report.scores import baseline_scores, paper_product, task_score
from reactions.experiments.report.surfaces import (
    MOST_AXES,
    OPTIONS,
    measure_surfaces,
    swept_modalities,
)
from reactions.experiments.report.training import NotPlanned, own_plan
from reactions.planning.plan import Plan, joined
from reactions.planning.planner import Planner
from reactions.planning.scoring import plan_scores
from reactions.run.events import ignore

if TYPE_CHECKING:
    from reactions.products.bundles.bundle import Bundle
    from reactions.products.target import Target
    from reactions.session import Session

BASELINES_WITHIN_S = 120.0
"""A training-free row that needs longer is left out, and named."""


def gather(
    session: Session,
    target: Target,
    tasks: Sequence[Task],
    *,
    method: Method = "pca",
    cached: bool = False,
    confirm: Callable[[Plan], None] = lambda plan: None,
) -> ProductReport:
    """Collect what a report shows.

    Nothing is trained, and no corpus of the training is embedded again: what the store no longer
    has of that is missing. Evaluation sets are embedded and scored.

    Args:
        session: where to work.
        target: the product.
        tasks: to score it on; those that do not fit are missing.
        method: of the map.
        cached: compute nothing, and show what the store has.
        confirm: called with all that is to be run, before it runs.

    Raises:
        UsageError: the target is a space, not a product.
        MissingError: the package that draws the map is not installed.
        StoreError: the store cannot be used.
    """
    if isinstance(target.space, Leaf) or target.bundle is None:
        raise UsageError(
            f"'{target.name}' is a space, not a reaction",
            why="a report shows what a reaction made of its spaces",
            fix=f'molspace report "{target.name} + Cr(...)"   or   molspace eval --space ...',
        )
    check_method(method)
    report = ProductReport(target, target.bundle, target.lab, session.lab.seed)
    report.paper, why = paper_product(target.space)
    if report.paper is None:
        report.lack("paper", "no figures of the paper beside the scores", why)
    if cached:
        session = replace(session, events=ignore)
    gathering = _Gathering(session, target, target.bundle, report, cached, confirm)
    note_record(report)
    gathering.plan(tasks)
    if not cached:
        confirm(joined([Plan(tuple(gathering.steps()))]))
    gathering.run()
    return report


class _NotCachedError(Exception):
    """Something would have to be computed."""


@dataclass
class _Gathering:
    """A report on its way."""

    session: Session
    target: Target
    bundle: Bundle
    report: ProductReport
    cached: bool
    confirm: Callable[[Plan], None]
    reading: Session = field(init=False)
    sets: list[tuple[Task, BenchmarkData]] = field(default_factory=list)
    score_steps: dict[str, Step] = field(default_factory=dict)
    hops: list[PlannedHop] = field(default_factory=list)
    map_steps: list[tuple[Step | None, Step]] = field(default_factory=list)
    pair_steps: dict[tuple[str, str], list[tuple[Step, Step] | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reading = self.session

    # --- planning --------------------------------------------------------------------

    def plan(self, tasks: Sequence[Task]) -> None:
        """Plan all that may be computed, and look at what the store has of the training."""
        self._plan_training()
        self._plan_scores(tasks)
        try:
            self._plan_samples()
        except MolspaceError as error:
            self._lack("map", "no map and no modality gaps", error)

    def steps(self) -> Iterable[Step]:
        """Yield the steps whose results are wanted."""
        yield from self.score_steps.values()
        yield from (hop.step for hop in self.hops)
        for pair in self.map_steps:
            yield from filter(None, pair)
        for pairs in self.pair_steps.values():
            for sides in pairs:
                yield from sides or ()

    def _plan_training(self) -> None:
        """Find the steps that the bundle was made of, if this lab still plans the same."""
        planned = own_plan(self.session, self.bundle)
        if isinstance(planned, NotPlanned):
            for section, what in (("hops", "how peaked retrieval is"), ("costs", "costs of steps")):
                self.report.lack(section, what, planned.why, planned.fix)
            return
        self.report.costs = step_costs(planned, self.session.store)
        has = self.session.store.has
        for hop in plan_hops(planned.steps()):
            inputs = (hop.step.queries.key, hop.step.keys.key)
            if has(hop.step.key) or (not self.cached and all(map(has, inputs))):
                self.hops.append(hop)
                continue
            self.report.lack(
                "hops",
                "some hops of pseudo-pair collection could not be measured",
                "not measured yet, and --cached computes nothing"
                if self.cached and all(map(has, inputs))
                else "the cache no longer has the embeddings of the training",
                "molspace report without --cached"
                if self.cached and all(map(has, inputs))
                else "molspace react again makes them",
            )

    def _plan_scores(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            if not {task.query, task.other} <= set(self.target.space.modalities):
                self.report.lack(
                    "scores",
                    f"{task.name} is left out",
                    f"it needs {task.query} and {task.other}; the product embeds "
                    + ", ".join(self.target.space.modalities),
                )
                continue
            try:
                data = self.session.lab.benchmark(task.name)
                (scoring,) = plan_scores(self.session.lab, self.target, [task])
            except StoreError:
                raise
            except MolspaceError as error:
                self._lack("scores", f"{task.name} is left out", error)
                continue
            if self.cached and not self.session.store.has(scoring.step.key):
                self.report.lack(
                    "scores",
                    f"{task.name} is left out",
                    "its score is not in the cache",
                    "molspace report without --cached",
                )
                continue
            self.sets.append((task, data))
            self.score_steps[task.name] = scoring.step
            self.report.notices += scoring.plan.notices

    def _plan_samples(self) -> None:
        planner = Planner(self.session.lab, self.target.towers)
        before, after = self.report.views = before_and_after(self.target)

        def both(sample: Sample) -> tuple[Step | None, Step]:
            is_in_base = sample.modality in before.space.modalities
            return (
                plan_sample(planner, before, sample) if is_in_base else None,
                plan_sample(planner, after, sample),
            )

        for sample in map_samples(self.sets):
            steps = both(sample)
            if self._available(steps):
                self.report.samples.append(sample)
                self.map_steps.append(steps)
        if not self.report.samples:
            self.report.lack(
                "map",
                "no map",
                "it shows items of evaluation sets with one class an item, and none is available",
            )
        for task, data in self.sets:
            pairs = pair_samples(task, data)
            if pairs is None:
                continue
            (base_left, left), (base_right, right) = map(both, pairs)
            in_base = (base_left, base_right) if base_left and base_right else None
            if self._available((*(in_base or ()), left, right)):
                name = (task.name, f"{task.query}-{task.other}")
                self.pair_steps[name] = [in_base, (left, right)]
        if not self.pair_steps:
            self.report.lack(
                "gap", "no modality gaps", "they are measured on retrieval sets; none is available"
            )

    def _available(self, steps: Iterable[Step | None]) -> bool:
        if not self.cached:
            return True
        has = self.session.store.has
        return all(has(step.key) for step in steps if step is not None)

    def _lack(self, section: str, what: str, error: MolspaceError) -> None:
        why = f"{error.what}: {error.why}" if error.why else error.what
        self.report.lack(section, what, why, error.fix)

    # --- running ---------------------------------------------------------------------

    def run(self) -> None:
        """Compute what was planned, and put it into the report."""
        # All in one run; where something of it is missing, section by section.
        with suppress(MissingError):
            self.session.run(list(self.steps()))
            self.reading = replace(self.session, events=ignore)  # all that follows is there
        hops = self._run("hops", [hop.step for hop in self.hops])
        self.report.hops = measured_hops(self.hops, hops)
        self._score()
        steps = [step for pair in self.map_steps for step in pair if step is not None]
        artifacts = self._run("map", steps)
        shown = [
            (sample, pair)
            for sample, pair in zip(self.report.samples, self.map_steps, strict=True)
            if all(step is None or step.key in artifacts for step in pair)
        ]
        self.report.samples = [sample for sample, _ in shown]
        self.report.places = [
            (
                None if before is None else sampled_rows(artifacts[before.key]),
                sampled_rows(artifacts[after.key]),
            )
            for _, (before, after) in shown
        ]
        self._measure_gaps()
        self._sweep()

    def _score(self) -> None:
        done = self._results()
        beside = self._baselines([task for task, _ in self.sets if task.name in done])
        for task, data in self.sets:
            if task.name not in done:
                continue
            result = done[task.name]
            self.report.lab = str(result.record["lab"])
            self.report.notices += result.record["notices"]
            rows = baseline_scores(beside, task)
            self.report.scores.append(task_score(task, result, data, self.report.paper, rows))
            if sentence := beaten(result.record, beside):
                self.report.beaten.append((task.title, sentence))
        self.report.notices = list(dict.fromkeys(self.report.notices))
        if not self.report.scores:
            self.report.lack("scores", "no scores", "no task is left to be scored")

    def _baselines(self, tasks: Sequence[Task]) -> list[Baseline]:
        """Score the training-free rows, but for what would take long; note what is not there."""
        rows = self.session.baselines(
            self.target,
            tasks,
            # Less than nothing: what would run at all is left out.
            within_s=-1.0 if self.cached else BASELINES_WITHIN_S,
            confirm=self.confirm,
        )
        reasons: dict[NoScore, list[str]] = {}
        for row in rows:
            for task, missing in row.lacks.items():
                reasons.setdefault(missing, []).append(f"{row.name} on {task}")
        for missing, names in reasons.items():
            why, fix = missing.reason, missing.fix
            if self.cached and fix.startswith("--"):
                why, fix = "not in the cache", "molspace report without --cached"
            elif fix.startswith("--"):
                fix = f"molspace eval {fix}"
            self.report.lack("baselines", f"training-free: {', '.join(names)}", why, fix)
        return rows

    def _results(self) -> dict[str, Result]:
        """Score all tasks in one run; one by one where something is missing for some of them."""
        tasks = [task for task, _ in self.sets]
        results: dict[str, Result] = {}
        try:
            scored = self.reading.evaluate(self.target, tasks) if tasks else []
            return {task.name: result for task, result in zip(tasks, scored, strict=True)}
        except MissingError:  # weights are looked for when they are first needed
            for task in tasks:
                try:
                    (results[task.name],) = self.reading.evaluate(self.target, [task])
                except MissingError as error:
                    self._lack("scores", f"{task.name} is left out", error)
        return results

    def _sweep(self) -> None:
        """Score over each kind of factor, the others at their defaults."""
        tasks = [score.task for score in self.report.scores]
        options = [option for option in OPTIONS if swept_modalities(self.target.space, option)]
        what = "no factor surfaces"
        for option in list(options):
            if (n := len(swept_modalities(self.target.space, option))) > MOST_AXES:
                options.remove(option)
                why = f"{n} factors, more than {MOST_AXES}"
                self.report.lack("surfaces", f"no surface over {option}", why)
        if not tasks or not options:
            self.report.lack("surfaces", what, "" if tasks else "no task is scored")
            return
        try:
            self.report.surfaces = measure_surfaces(
                self.session, self.target, tasks, options, confirm=self._confirm_sweep
            )
        except _NotCachedError:
            why = "not in the cache for these tasks"
            self.report.lack("surfaces", what, why, "molspace report without --cached")
        except MissingError as error:
            self._lack("surfaces", what, error)

    def _confirm_sweep(self, plan: Plan) -> None:
        if not self.cached:
            self.confirm(plan)
        elif self.session.estimate(plan).steps:
            raise _NotCachedError

    def _measure_gaps(self) -> None:
        steps = [s for pairs in self.pair_steps.values() for sides in pairs for s in sides or ()]
        artifacts = self._run("gap", steps)
        for name, (in_base, in_product) in self.pair_steps.items():
            gaps = [
                None
                if sides is None or any(step.key not in artifacts for step in sides)
                else gap(*(sampled_rows(artifacts[step.key]) for step in sides))
                for sides in (in_base, in_product)
            ]
            if gaps[1] is not None:
                self.report.gaps[name] = (gaps[0], gaps[1])

    def _run(self, section: str, steps: Sequence[Step]) -> Mapping[str, Artifact]:
        """Run steps; what lacks weights is missing from the section."""
        if not steps:
            return {}
        try:
            return self.reading.run(steps)
        except MissingError as error:
            self._lack(section, "it could not be computed", error)
            return {}
