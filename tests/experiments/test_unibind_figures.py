import pytest

from reactions.eval.registry import get_task, parse_tasks
from reactions.experiments.paper import unibind

PRINTED = {  # the rows of differences in the supplement's table 2
    "E-CLIP": (-0.57, -0.32, 1.24, 1.55, 0.75, 1.54, 1.82, 2.09),
    "PointBind (+Event)": (0.05, 0.51, 0.46, 1.52, 5.29, 11.42, 15.02, 17.96),
}


@pytest.mark.parametrize("model", PRINTED)
def test_figures_differ_by_what_the_supplement_prints(model: str) -> None:
    plain, tuned = (row for row in unibind.RETRIEVAL if row.model == model)
    assert (plain.tuned, tuned.tuned) == (False, True)
    differences = [tuned.figures[name] - plain.figures[name] for name in plain.figures]
    # Figures are rounded to hundredths, and so are their differences.
    assert differences == pytest.approx(PRINTED[model], abs=1e-9)


def test_figures_are_of_metrics_that_the_task_has() -> None:
    task = get_task(unibind.RETRIEVAL_TASK)
    assert task.cutoffs == unibind.RETRIEVAL_CUTOFFS
    for row in unibind.RETRIEVAL:
        assert set(row.figures) == {name for name in task.metrics if not name.startswith("mean")}
        values = list(row.figures.values())
        # More is found among more.
        assert values[:4] == sorted(values[:4])
        assert values[4:] == sorted(values[4:])


def test_the_thirteen_sets_are_those_of_the_group() -> None:
    thirteen = [t.name for t in parse_tasks("unibind") if t.kind == "classification"]
    assert sorted(unibind.ZERO_SHOT_TASKS) == sorted(thirteen)


def test_what_is_cited_has_a_source_and_is_of_no_unibind() -> None:
    for figure in unibind.ZERO_SHOT:
        assert figure.task in unibind.ZERO_SHOT_TASKS
        assert figure.source
        assert 0 < figure.value < 100
        assert "UniBind" not in figure.model  # the main paper's table could not be read
    assert unibind.cited("ucf101") == ()
    assert [e.value for e in unibind.cited("esc50")] == [66.9, 77.05, 94.25]
