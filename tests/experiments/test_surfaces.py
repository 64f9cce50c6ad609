"""Figures 3 to 6: what they are of, and their surfaces on a lab of fakes."""

import json

import fakes
import numpy as np
import pytest

from reactions.core.errors import MissingError, UsageError
from reactions.dsl import check, parse
from reactions.eval.registry import get_task
from reactions.experiments.paper.figures import FAMILIES, FIGURES
from reactions.experiments.paper.spaces import FACTORS, PUBLISHED
from reactions.experiments.reproduce import Preparation
from reactions.experiments.surfaces import METRIC, measure_figure, prepare_figure
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, fit_adjustment
from reactions.weights.locate import NamedWeights

GRID = "0/0.5/1"


def prepare(session, name="figure5", grid=GRID):
    return prepare_figure(FIGURES[name], Preparation(session), grid)


@pytest.fixture
def measured(open_session):
    return prepare(open_session()).measure()


@pytest.mark.parametrize("figure", FIGURES.values(), ids=list(FIGURES))
def test_figures_are_of_the_papers_spaces_and_factors_that_they_have(figure):
    for row in (figure.product, figure.reference, figure.plane):
        assert str(parse(row.reaction).result) == row.reaction
    space = check(parse(figure.product.reaction), PUBLISHED, factors=FACTORS).space
    factors = {figure.x: 0.5, figure.y: 0.5}
    option = {"sigma": "sigma", "lambda": "lambda_"}[figure.factor]
    fit_adjustment(space, Adjustment(**{option: {"": factors}}))
    assert figure.plane_family in FAMILIES


def test_the_tuned_product_is_figure_3_and_the_plain_one_figure_4():
    assert "Ft(" in FIGURES["figure3"].product.reaction
    assert FIGURES["figure3"].product.reaction.startswith(FIGURES["figure3"].reference.reaction)
    assert "Ft(" not in FIGURES["figure4"].product.reaction
    assert FIGURES["figure4"].product.reaction.startswith(FIGURES["figure4"].reference.reaction)


def mean(session, reaction, family, adjustment=NO_ADJUSTMENT):
    tasks = [get_task(name) for name in FAMILIES[family]]
    results = session.evaluate(session.target(reaction), tasks, adjustment)
    return float(np.mean([result.record["metrics"][METRIC] for result in results]))


def test_a_gain_is_the_mean_of_two_sets_less_the_references(open_session, measured):
    session = open_session()
    surfaces = {surface.family: surface for surface in measured.surfaces}
    assert list(surfaces) == list(FAMILIES)
    for family, surface in surfaces.items():
        base = mean(session, "ImageBind", family)
        assert surface.reference == pytest.approx(base)
        for audio, text in ((0.5, 0.0), (0.0, 1.0)):
            mean_score = mean(
                session,
                FIGURES["figure5"].product.reaction,
                family,
                Adjustment(sigma={"": (audio, text)}),
            )
            row, column = list(surface.y).index(text), list(surface.x).index(audio)
            assert surface.gains[row, column] == pytest.approx(mean_score - base, abs=1e-6)
        at_zero = surface.gains[0, 0]
        assert at_zero == pytest.approx(0, abs=1e-6)  # sigma (0, 0) is the reference itself
    assert surfaces["audio-text"].plane == pytest.approx(
        mean(session, "CLAP_g", "audio-text") - mean(session, "ImageBind", "audio-text")
    )
    assert surfaces["audio-image"].plane is surfaces["image-text"].plane is None


def test_lambda_is_varied_where_the_figure_says_so(open_session):
    figure = prepare(open_session(), "figure6").measure()
    surface = next(s for s in figure.surfaces if s.family == "image-text")
    assert surface.plane == 0  # ImageBind's own, over ImageBind
    session = open_session()
    mean_score = mean(
        session, "ImageBind + Dr(InternVL)", "image-text", Adjustment(lambda_={"": (1.0, 0.5)})
    )
    x, y = list(surface.x).index(1.0), list(surface.y).index(0.5)
    assert surface.gains[y, x] == pytest.approx(mean_score - surface.reference, abs=1e-6)


def test_a_tuned_product_says_what_was_tuned(open_session, measured):
    notes = prepare(open_session(), "figure3", "0.5").measure().notes
    (note,) = (note for note in notes if note.startswith("Ft("))
    assert "tuned the projectors alone on 40 pairs with image (fake pairs)" in note
    assert "the paper tunes the audio encoder" in note
    assert not any(note.startswith("Ft(") for note in measured.notes)


def test_the_second_time_nothing_runs_and_the_figures_are_the_same(open_session, measured):
    session = open_session()
    repeated = prepare(session).measure()
    assert session.events.executed == 0
    assert repeated.to_json() == measured.to_json()


def test_the_long_table_has_a_row_a_cell_and_task(measured):
    rows = measured.rows
    assert len(rows) == 9 * 6
    assert {row["task"] for row in rows} == {
        task for family_tasks in FAMILIES.values() for task in family_tasks
    }
    assert {(row["lab"], row["seed"], row["figure"]) for row in rows} == {("fake", 0, 5)}
    for row in rows:
        gain = row[METRIC] - row[f"reference {METRIC}"]
        assert row[f"gain in {METRIC}"] == pytest.approx(gain)
    table = measured.to_arrow()
    assert table.num_rows == len(rows)
    assert {"sigma audio", "sigma text", "family", METRIC} <= set(table.column_names)
    body = json.loads(json.dumps(measured.to_json()))
    assert body["axes"] == {"x": "sigma audio", "y": "sigma text"}
    assert len(body["surfaces"]) == 3
    assert {entry["task"]: entry["n"] for entry in body["tasks"]}["coco"] == 10


def test_a_family_without_one_of_its_sets_is_left_out_and_says_so(open_session):
    absent = {"flickrnet": MissingError("no FlickrNet", fix="get it")}
    figure = prepare(open_session(absent=absent)).measure()
    assert [surface.family for surface in figure.surfaces] == ["audio-text", "image-text"]
    assert figure.lacks["audio-image"].what == "no FlickrNet"


def test_spaces_that_are_not_there_are_named_and_nothing_is_trained(open_session):
    session = open_session(fakes.IB, fakes.CM)
    prepared = prepare(session)
    assert not prepared.can_run
    assert prepared.plans == []
    figure = prepared.measure(lambda row: pytest.fail(row.name))
    assert figure.surfaces == ()
    assert figure.lacks[""].what == "CLAP_g not in this lab"
    assert session.events.executed == 0


def test_weights_that_nothing_uses_are_refused(open_session, tmp_path):
    session = open_session(weights=NamedWeights({"InternVL": tmp_path}))
    with pytest.raises(UsageError, match=r"--weights InternVL=.* is not used"):
        measure_figure(FIGURES["figure5"], session, GRID, started=lambda row: pytest.fail(row.name))


@pytest.mark.parametrize("grid", ["0:2:0.1", "x", "", "1:0:0.1"])
def test_a_grid_that_is_none_is_refused_before_anything_runs(open_session, grid):
    with pytest.raises(UsageError, match="--grid"):
        prepare(open_session(), grid=grid)
