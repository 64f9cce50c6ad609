"""Training-free rows beside a reaction, against the same written anew in numpy."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from twin_folders import unit
from twin_lab import HELD, twin_session

from reactions.baselines import obstacle, run_baselines
from reactions.core.errors import MissingError, StepError, StoreError
from reactions.core.step import Cost
from reactions.core.types import Tuned
from reactions.eval.baselines import (
    BASELINES,
    CENTRED_SUM,
    Baseline,
    NoScore,
    baseline_cells,
    baselines_json,
    beaten,
    lacking,
)
from reactions.eval.registry import parse_tasks
from reactions.eval.result import Result
from reactions.planning.baselines import PlannedBaseline, plan_baselines
from reactions.planning.estimate import Estimate
from reactions.planning.plan import Plan
from reactions.products.target import Target
from reactions.products.tree import Adjustment
from reactions.run.events import PlanFinished

(COCO,) = TASKS = parse_tasks("coco")


def r_at_1(scores):
    right = np.diagonal(scores)
    return 100 * np.mean([((s >= right[:, None]).sum(1) == 1).mean() for s in (scores, scores.T)])


def less_mean(space):
    return {m: unit(x - x[~HELD].mean(0)) for m, x in space.items()}


def cosines(space):
    return space["image"][HELD] @ space["text"][HELD].T


@pytest.fixture(scope="module")
def session_target_and_rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLSPACE_CACHE", str(folder / "cache"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        session, spaces = twin_session(folder)
        target = session.target("A + Cr(B, sigma=(0.3, 0.6))")
        yield session, target, spaces


def by_name(baselines):
    return {baseline.name: baseline for baseline in baselines}


def main(baseline):
    record = baseline.results["coco"].record
    return record["metrics"][record["main"]]


def test_rows_are_those_of_an_independent_count(session_target_and_rows):
    session, target, (a, b) = session_target_and_rows
    rows = by_name(session.baselines(target, TASKS))
    assert tuple(rows) == BASELINES
    best = max((r_at_1(cosines(space)), name) for name, space in (("A", a), ("B", b)))
    assert (main(rows["best part"]), rows["best part"].results["coco"].record["space"]) == (
        pytest.approx(best[0]),
        best[1],
    )
    weights = np.array([0.7 * 0.4, 0.3 * 0.6])
    weights /= weights.sum()
    record = rows["sum of cosines"].results["coco"].record
    assert record["weights"] == pytest.approx(dict(zip("AB", weights, strict=True)))
    summed = weights[0] * cosines(a) + weights[1] * cosines(b)
    assert main(rows["sum of cosines"]) == pytest.approx(r_at_1(summed))
    centred = weights[0] * cosines(less_mean(a)) + weights[1] * cosines(less_mean(b))
    assert main(rows[CENTRED_SUM]) == pytest.approx(r_at_1(centred))
    assert main(rows[CENTRED_SUM]) > main(rows["sum of cosines"]) + 1  # or nothing was shown


def test_weights_follow_the_factors(session_target_and_rows):
    session, target, (a, b) = session_target_and_rows
    chosen = Adjustment(sigma={"": 0.5})
    rows = by_name(session.baselines(target, TASKS, chosen))
    assert main(rows["sum of cosines"]) == pytest.approx(r_at_1(cosines(a) + cosines(b)))


def test_rows_come_from_the_cache(session_target_and_rows):
    session, target, _ = session_target_and_rows
    session.baselines(target, TASKS)
    finished = []
    session.events = lambda event: isinstance(event, PlanFinished) and finished.append(event)
    from_cache = session.baselines(target, TASKS)
    session.events = lambda event: None
    assert finished == []  # nothing was run, so no run is shown
    assert all("coco" in baseline.results for baseline in from_cache)


def test_a_space_by_itself_has_no_rows(session_target_and_rows):
    session, _, _ = session_target_and_rows
    assert session.baselines(session.target("A"), TASKS) == []


def test_a_reason_that_several_rows_have_is_given_once():
    lacks = {"coco": NoScore("read-only", "another folder")}
    rows = [Baseline(name, {}, lacks) for name in BASELINES[:2]]
    rows.append(Baseline(BASELINES[2], {}, {"coco": NoScore("no part")}))
    assert lacking(rows, "coco") == [
        "best part, sum of cosines (2 rows): read-only; another folder",
        "centred sum of cosines: no part",
    ]


def test_texts_of_tables(session_target_and_rows):
    session, target, _ = session_target_and_rows
    rows = session.baselines(target, TASKS)
    (result,) = session.evaluate(target, TASKS)
    name = result.record["main"]
    cells = baseline_cells(rows, "coco", name)
    assert cells[0] == (
        f"best part ({rows[0].results['coco'].record['space']})",
        f"{main(rows[0]):.2f}",
    )
    assert lacking(rows, "coco") == []
    best = max(main(row) for row in rows)
    sentence = beaten(result.record, rows)
    assert f"scores higher: {name} {best:.2f} against {result.record['metrics'][name]:.2f}" in (
        sentence
    )
    flattered = {**result.record, "metrics": {**result.record["metrics"], name: 100.0}}
    assert beaten(flattered, rows) == ""
    entries = baselines_json(rows, "coco")
    assert [entry["name"] for entry in entries] == list(BASELINES)
    assert entries[1]["weights"].keys() == {"A", "B"}


def test_what_is_tuned_has_the_rows_of_what_it_was(session_target_and_rows):
    session, target, _ = session_target_and_rows
    tuned = Target("x", Tuned("ft", target.space, ("image", "text")), "lab")
    rows, bare = (
        plan_baselines(session.lab, planned_for, TASKS) for planned_for in (tuned, target)
    )
    assert [row.plan.targets[0].key for row in rows] == [row.plan.targets[0].key for row in bare]
    alone = Target("x", Tuned("ft", session.target("A").space, ("image", "text")), "lab")
    rows = plan_baselines(session.lab, alone, TASKS)
    assert [row.lacks is None for row in rows] == [True, True, False, False]
    assert rows[3].lacks.reason == "without its Ft it is A alone, which joins no spaces"
    aligned = Target("x", Tuned("lcl", session.target("A").space, ("kb",)), "lab")
    rows = plan_baselines(session.lab, aligned, TASKS)
    assert rows[3].lacks.reason == "without its Lcl it is A alone, which joins no spaces"


# --- rows that fail ---


def planned(name, key):
    step = SimpleNamespace(key=key, inputs=())
    plan = Plan((step,))
    return PlannedBaseline(name, COCO, ((None, plan),))


def test_a_row_that_fails_does_not_take_the_others_along():
    def run(targets, *, silent=False):
        if any(step.key == "bad" for step in targets):
            raise StepError("a step failed", why="bad rows", fix="good rows")
        return {step.key: step.key for step in targets}

    rows = [planned("best part", "good"), planned("Procrustes", "bad")]
    baselines = run_baselines(
        [*rows, PlannedBaseline("sum of cosines", COCO, lacks=NoScore("no part"))],
        run=run,
        result=lambda target, plan, artifact: Result({"metrics": {"m": 1}, "main": "m"}, {}),
        estimate=lambda plan: Estimate(len(plan.targets), Cost(), 0),
        obstacle=lambda plan: None,
        confirm=lambda plan: None,
    )
    assert [baseline.name for baseline in baselines] == [
        "best part",
        "sum of cosines",
        "Procrustes",
    ]
    assert list(baselines[0].results) == ["coco"]
    assert baselines[1].lacks == {"coco": NoScore("no part")}
    assert baselines[2].lacks == {"coco": NoScore("a step failed: bad rows", "good rows")}
    assert baselines[2].results == {}


def test_rows_that_a_read_only_store_lacks_do_not_take_the_others_along():
    def refuse(plan):
        raise StoreError("cannot write to the store", why="read-only", fix="another folder")

    baselines = run_baselines(
        [planned("best part", "stored"), planned("Procrustes", "missing")],
        run=lambda targets, silent: {step.key: step.key for step in targets if silent},
        result=lambda target, plan, artifact: Result({"metrics": {"m": 1}, "main": "m"}, {}),
        estimate=lambda plan: Estimate(
            sum(step.key == "missing" for step in plan.targets), Cost(), 0
        ),
        obstacle=lambda plan: None,
        confirm=refuse,
    )
    lacks = NoScore("cannot write to the store: read-only", "another folder")
    assert [(list(row.results), row.lacks) for row in baselines] == [
        (["coco"], {}),
        ([], {"coco": lacks}),
    ]


def test_what_stands_in_the_way_of_a_row():
    def missing(spec):
        raise MissingError("no weights for space 'A'", fix="fetch them")

    def way(check=lambda spec: None, within_s=None, flops=3e12, **changes):
        facts = {"steps": 1, "cost": Cost(flops=flops), "free_bytes": 0, **changes}
        return obstacle(Estimate(**facts), check, lambda e: e.cost.flops / 1e12, within_s)

    assert way() is None
    assert way(within_s=4) is None
    assert way(within_s=2, steps=0) is None  # the cache has it
    assert way(within_s=2) == NoScore("it would take about 3 s", "--baselines makes it")
    assert way(within_s=2, flops=0) is None
    assert way(within_s=2, uncounted=("A",)).reason == "A would embed training items"
    assert way(missing, spaces=("A",)) == NoScore("no weights for space 'A'", "fetch them")


def test_speed_is_measured_once_for_rows_of_several_tasks():
    obstacles = []
    rows = [
        replace(planned("Procrustes", key), task=task)
        for key, task in zip("abc", parse_tasks("coco,flickr30k,imagenet"), strict=True)
    ]
    run_baselines(
        rows,
        run=lambda targets, silent=False: {step.key: step.key for step in targets},
        result=lambda target, plan, artifact: Result({"metrics": {"m": 1}, "main": "m"}, {}),
        estimate=lambda plan: Estimate(4, Cost(flops=5.0), 0),
        obstacle=obstacles.append,
        confirm=lambda plan: None,
    )
    assert len(obstacles) == 1
