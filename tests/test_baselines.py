"""Training-free rows beside a reaction, against the same written anew in numpy."""

import numpy as np
import pytest
from twin_folders import unit
from twin_lab import HELD, twin_session

from reactions.eval.baselines import (
    BASELINES,
    CENTRED_SUM,
    baseline_cells,
    baselines_json,
    beaten,
    lacking,
)
from reactions.eval.registry import parse_tasks
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
def made(tmp_path_factory):
    where = tmp_path_factory.mktemp("twins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLSPACE_CACHE", str(where / "cache"))
        patch.setenv("XDG_DATA_HOME", str(where / "data"))
        session, spaces = twin_session(where)
        target = session.target("A + Cr(B, sigma=(0.3, 0.6))")
        yield session, target, spaces


def by_name(baselines):
    return {baseline.name: baseline for baseline in baselines}


def main(baseline):
    record = baseline.results["coco"].record
    return record["metrics"][record["main"]]


def test_rows_are_those_of_an_independent_count(made):
    session, target, (a, b) = made
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


def test_weights_follow_the_factors(made):
    session, target, (a, b) = made
    chosen = Adjustment(sigma={"": 0.5})
    rows = by_name(session.baselines(target, TASKS, chosen))
    assert main(rows["sum of cosines"]) == pytest.approx(r_at_1(cosines(a) + cosines(b)))


def test_rows_come_from_the_cache(made):
    session, target, _ = made
    session.baselines(target, TASKS)
    finished = []
    session.events = lambda event: isinstance(event, PlanFinished) and finished.append(event)
    again = session.baselines(target, TASKS)
    session.events = lambda event: None
    assert [event.executed for event in finished] == [0]
    assert all("coco" in baseline.results for baseline in again)


def test_a_space_by_itself_has_no_rows(made):
    session, _, _ = made
    assert session.baselines(session.target("A"), TASKS) == []


def test_texts_of_tables(made):
    session, target, _ = made
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
