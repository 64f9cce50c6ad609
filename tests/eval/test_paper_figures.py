"""The published figures, as data, against what the paper prints."""

import pytest

from reactions.dsl import check, parse
from reactions.eval.registry import get_task, parse_tasks
from reactions.experiments.paper.spaces import FACTORS, PUBLISHED
from reactions.experiments.paper.tables import TABLES

T3, T4 = TABLES["table3"], TABLES["table4"]
NINE = parse_tasks("freebind")
SAMPLES = {task.name: task.paper_items for task in NINE if task.paper_items}
ROWS = T3.rows
BY_NAME = {row.name: row for row in ROWS}


@pytest.mark.parametrize(
    ("row", "column", "figure"),
    [
        ("CLAP_m", "esc50 accuracy", 92.60),
        ("ImageBind", "esc50 accuracy", 67.25),
        ("ImageBind", "audioset mAP", 13.96),
        ("ImageBind", "imagenet accuracy", 76.31),
        ("InternVL", "esc50 accuracy", None),
        ("InternVL_IB†++ AT E.", "audioset mAP", 26.45),
        ("InternVL_IB++ Ver.", "imagenet accuracy", 81.49),
        ("ImageBind", "audiocaps mean R@1", 9.24),
        ("CLAP_g", "audiocaps mean R@5", 76.21),
        ("CLAP_g", "vggss mean R@1", None),
        ("ImageBind++ Ver.", "audiocaps mean R@1", 29.16),
        ("ImageBind++ AT E.", "audiocaps mean R@1", 42.50),
        ("InternVL_IB++ AT E.", "clotho mean R@5", 46.03),
        ("ImageBind++ Ver.", "vggss mean R@5", 39.26),
        ("InternVL_IB†++ Ver.", "flickrnet mean R@1", 8.32),
        ("InternVL_IB", "coco mean R@1", 61.49),
        ("Ex-MCR", "flickr30k mean R@5", 90.55),
    ],
)
def test_figures_of_the_paper(row, column, figure):
    (published,) = (
        table.paper(BY_NAME[row], c)
        for table in (T3, T4)
        for c in table.columns
        if f"{c.task} {c.metric}" == column
    )
    assert published == figure


@pytest.mark.parametrize("table", [T3, T4])
def test_a_figure_for_every_row_and_column_in_the_papers_order(table):
    assert list(table.figures) == [row.name for row in ROWS]
    assert {len(figures) for figures in table.figures.values()} == {len(table.columns)}
    for figures in table.figures.values():
        assert all(figure is None or 0 < figure < 100 for figure in figures)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_paper_has_a_dash_just_where_the_space_lacks_a_modality(name):
    table = next(table for table in (T3, T4) if name in table.tasks)
    task = get_task(name)
    for row in ROWS:
        space = check(parse(row.reaction), PUBLISHED, factors=FACTORS).space
        able = {task.query, task.other} <= set(space.modalities)
        for column in table.columns_of(name):
            assert (table.paper(row, column) is not None) is able


def test_recall_at_5_is_above_recall_at_1():
    for figures in T4.figures.values():
        pairs = zip(figures[::2], figures[1::2], strict=True)
        assert all(at_1 < five for at_1, five in pairs if at_1 is not None and five is not None)


def test_esc50_scores_are_multiples_of_one_in_2000():
    scores = [figures[0] for figures in T3.figures.values() if figures[0] is not None]
    assert all(abs(20 * score - round(20 * score)) < 1e-9 for score in scores)
    assert not all(abs(4 * score - round(4 * score)) < 1e-9 for score in scores)


def test_tables_hold_every_task_and_metrics_that_exist():
    assert {*T3.tasks, *T4.tasks} == {task.name for task in NINE} == set(SAMPLES)
    assert {c.metric for c in T3.columns} == {"accuracy", "mAP"}
    assert {c.metric for c in T4.columns} == {"mean R@1", "mean R@5"}
