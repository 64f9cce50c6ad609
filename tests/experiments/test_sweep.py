import numpy as np
import pytest
from small_world import small_session, small_target

from reactions.core.errors import MissingError, UsageError
from reactions.eval.registry import get_task, parse_tasks
from reactions.experiments.sweep import SweepTable, make_grid, sweep
from reactions.run.events import StepFinished, StepProgress, StepStarted

TASKS = parse_tasks("audiocaps,vggss,esc50,audioset")


@pytest.fixture(scope="module")
def session_and_target(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    session = small_session(folder)
    return session, small_target(session, folder)


def cells_scored(session, run):
    """Return what a call made, and how many cells were scored for it."""
    events = []
    result = run(events.append)
    totals = {}
    for event in events:
        if isinstance(event, StepProgress) and event.kind == "sweep":
            totals[event.key] = max(totals.get(event.key, 0), event.done)
    done_at_start = {
        e.key: e.done for e in events if isinstance(e, StepStarted) and e.kind == "sweep"
    }
    finished = {e.key for e in events if isinstance(e, StepFinished)}
    assert set(done_at_start) <= finished
    return result, sum(totals.get(key, 0) - n_before for key, n_before in done_at_start.items())


def test_figures_are_those_of_single_evaluations(session_and_target):
    session, target = session_and_target
    grid = make_grid(
        target.space, sigma="0/0.4/1,0/0.3", lambda_="0.5", experts=["CLAP_m,InternVL", "CLAP_g"]
    )
    table = sweep(session, target, TASKS, grid)
    assert len(table.rows) == len(TASKS) * len(grid.cells)
    assert table.tasks == ("audiocaps", "vggss", "esc50", "audioset")
    rows = iter(table.rows)
    for task in TASKS:
        for cell in grid.cells:
            (alone,) = session.evaluate(target, [task], cell.adjustment)
            row = next(rows)
            assert {axis: row[axis] for axis in cell.values} == dict(cell.values)
            assert row["experts"] == ",".join(cell.experts)
            assert (row["task"], row["n"]) == (task.name, alone.record["n"])
            assert row["score"] == pytest.approx(alone.record["metrics"][row["main"]], abs=1e-6)
            for name, value in alone.record["metrics"].items():
                assert row[name] == pytest.approx(value, abs=1e-6)


def test_the_products_own_factors_are_beside(session_and_target):
    session, target = session_and_target
    table = sweep(session, target, TASKS, make_grid(target.space, sigma="0.3"))
    for row, result in zip(table.defaults, session.evaluate(target, TASKS), strict=True):
        assert row["score"] == pytest.approx(result.record["metrics"][row["main"]], abs=1e-6)
        assert (row["lab"], row["seed"], row["space"]) == ("mini (small)", 0, target.name)
        assert (row["sigma audio"], row["sigma text"]) == (0.5, 0.1)


def test_known_cells_are_not_scored_again(session_and_target):
    session, target = session_and_target
    task = [get_task("clotho")]

    def scored(sigma, **options):
        grid = make_grid(target.space, sigma=sigma, **options)
        return cells_scored(session, lambda sink: sweep(session, target, task, grid, events=sink))

    first, n_first = scored("0:1:0.5,0.1")
    assert n_first == 4  # and the product's own factors
    repeated, n_again = scored("0:1:0.5,0.1")
    assert n_again == 0
    assert repeated == first
    finer, n_more = scored("0:1:0.25,0.1")
    assert n_more == 2
    assert {row["sigma audio"]: row["score"] for row in finer.rows}.items() >= {
        row["sigma audio"]: row["score"] for row in first.rows
    }.items()
    _, n_fewer = scored("0.25/0.75,0.1")
    assert n_fewer == 0


def test_a_sweep_that_was_stopped_goes_on(session_and_target, monkeypatch):
    session, target = session_and_target
    monkeypatch.setattr("reactions.steps.sweep.SHARD_CELLS", 2)
    task = [get_task("flickrnet")]
    grid = make_grid(target.space, sigma="0:1:0.2")
    shards = []

    def stop(event):
        if isinstance(event, StepProgress) and event.kind == "sweep":
            shards.append(event.done)
            if event.done >= 4:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(session, target, task, grid, events=stop)
    table, n = cells_scored(session, lambda sink: sweep(session, target, task, grid, events=sink))
    assert 0 < n < 7
    assert len(table.rows) == 6


def test_surfaces_are_means_over_seeds(session_and_target):
    session, target = session_and_target
    grid = make_grid(target.space, sigma="0:1:0.5,0/1")
    table = sweep(session, target, TASKS[:1], grid)
    other = SweepTable(
        tuple({**row, "seed": 1, "score": row["score"] + 2} for row in table.rows),
        table.defaults,
        table.axes,
    )
    xs, ys, values = SweepTable.joined([table, other]).surface("audiocaps")
    assert (list(xs), list(ys), values.shape) == ([0, 0.5, 1], [0, 1], (2, 3))
    corner = next(r for r in table.rows if r["sigma audio"] == 0.5 and r["sigma text"] == 1)
    assert values[1, 1] == pytest.approx(corner["score"] + 1)
    by_name = table.surface("audiocaps", "mean R@5", "sigma text", "sigma audio")[2]
    assert by_name.shape == (3, 2)
    assert by_name[1, 1] == corner["mean R@5"]


def test_surfaces_of_what_is_not_there_are_refused(session_and_target):
    session, target = session_and_target
    grid = make_grid(target.space, sigma="0/1,0/1", experts=["CLAP_m", "CLAP_g"])
    table = sweep(session, target, TASKS[:1], grid)
    with pytest.raises(UsageError, match="no task 'audiocap'") as caught:
        table.surface("audiocap")
    assert "did you mean 'audiocaps'?" in caught.value.fix
    with pytest.raises(UsageError, match="no metric 'R@1'"):
        table.surface("audiocaps", "R@1")
    with pytest.raises(UsageError, match="no axis 'sigma'"):
        table.surface("audiocaps", x_axis="sigma")
    with pytest.raises(UsageError, match="several cells"):
        table.surface("audiocaps")
    assert table.surface("audiocaps", experts="CLAP_m")[2].shape == (2, 2)


def test_tables_go_to_arrow(session_and_target):
    session, target = session_and_target
    grid = make_grid(target.space, sigma="0/1,0.1", experts=["CLAP_m", "InternVL"])
    arrow = sweep(session, target, TASKS, grid).to_arrow()
    assert arrow.num_rows == len(TASKS) * 3
    assert arrow.column_names[:7] == [
        *("space", "lab", "seed", "task"), "sigma audio", "sigma text", "experts"
    ]  # fmt: skip
    rows = arrow.to_pylist()
    assert rows[2]["experts"] == "InternVL"
    assert rows[2]["sigma audio"] is None
    assert rows[0]["accuracy"] is None
    assert np.isfinite(arrow["score"].to_numpy()).all()


def test_cells_that_cannot_do_a_task_are_named(session_and_target, tmp_path):
    session = session_and_target[0]
    target = small_target(session, tmp_path, "CLAP_m + Cr(InternVL, data=T) & Cr(CLAP_g, data=T)")
    table = sweep(
        session, target, parse_tasks("coco"), make_grid(target.space, experts="all-subsets")
    )
    assert [row["experts"] for row in table.rows] == ["InternVL", "CLAP_g,InternVL"]
    (notice,) = table.notices
    assert notice.startswith("coco: 1 cells are left out")
    with pytest.raises(MissingError, match="needs audio"):
        sweep(session, session.target("InternVL"), TASKS, make_grid(target.space))
