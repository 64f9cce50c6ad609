"""All tables and figures in one run: one question, parts in order, nothing done twice."""

import json

import pytest

from reactions.core.errors import UsageError
from reactions.experiments import whole
from reactions.experiments.paper.figures import FIGURES
from reactions.experiments.paper.table import parse_rows
from reactions.experiments.paper.tables import TABLES
from reactions.experiments.reproduce import measure
from reactions.run.events import PartsFinished, PartStarted
from reactions.session import Session


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Two tables and two figures, which share what they train."""
    monkeypatch.setattr(whole, "TABLES", {name: TABLES[name] for name in ("table5", "table7")})
    monkeypatch.setattr(whole, "FIGURES", {name: FIGURES[name] for name in ("figure5", "figure6")})


def test_one_question_and_every_part_in_turn(open_session):
    session, plans, events, ready = open_session(), [], [], []
    results = whole.measure_all(
        session, grid="0/1", confirm=plans.append, events=events.append, ready=ready.append
    )
    (plan,) = plans
    assert len({step.key for step in plan.targets}) == 3  # Cr(InternVL), Dr(InternVL), both CLAPs
    parts_begun = [event for event in events if isinstance(event, PartStarted)]
    labels = [event.label for event in parts_begun]
    assert labels[:2] == ["Table 5: ImageBind", "Table 5: +Cr(InternVL)"]
    assert labels[-2:] == ["Figure 5: ImageBind++", "Figure 6: InternVL_IB"]
    assert [event.number for event in parts_begun] == list(range(1, len(parts_begun) + 1))
    assert {event.total for event in parts_begun} == {len(parts_begun)}
    assert isinstance(events[-1], PartsFinished)
    assert [figure.figure.name for figure in ready] == ["figure5", "figure6"]
    assert not results.is_empty
    body = json.loads(json.dumps(results.to_json()))
    assert list(body["tables"]) == ["table5", "table7"]
    assert list(body["figures"]) == ["figure5", "figure6"]
    second_session = open_session()
    assert whole.measure_all(second_session, grid="0/1").to_json() == results.to_json()
    assert second_session.events.executed == 0
    alone = measure(TABLES["table7"], open_session())
    assert json.loads(json.dumps(alone.to_json())) == body["tables"]["table7"]


def test_a_run_that_fails_leaves_no_part_under_way(open_session, monkeypatch):
    session, events = open_session(), []

    def broken(*args, **options):
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Session, "evaluate", broken)
    with pytest.raises(RuntimeError):
        whole.measure_all(session, grid="0/1", events=events.append)
    assert isinstance(events[-1], PartsFinished)


def test_mistakes_come_before_the_question(open_session, tmp_path):
    def confirm(plan):
        pytest.fail("asked")

    with pytest.raises(UsageError, match="unknown row 'x'"):
        whole.measure_all(open_session(), bundles={"x": tmp_path}, confirm=confirm)
    with pytest.raises(UsageError, match="--grid"):
        whole.measure_all(open_session(), grid="2", confirm=confirm)


def test_a_bundle_of_one_table_is_no_mistake_in_the_others(open_session, tmp_path, monkeypatch):
    monkeypatch.setattr(whole, "FIGURES", {})
    session = open_session()
    bundle = session.react(session.check("ImageBind + Dr(InternVL)"), out=tmp_path / "b").path
    results = whole.measure_all(open_session(), bundles={"+Dr(InternVL)": bundle})
    (row,) = (row for row in results.tables[0].rows if row.bundle)
    assert (row.row.name, row.bundle) == ("+Dr(InternVL)", str(bundle))
    table = measure(
        TABLES["table5"], open_session(), parse_rows("dr(internvl)", TABLES["table5"].rows)
    )
    assert row.records["coco"]["metrics"] == table.rows[0].records["coco"]["metrics"]


def test_without_anything_to_measure_it_is_empty(open_session):
    import fakes

    results = whole.measure_all(open_session(fakes.CM), grid="0/1")
    assert results.is_empty
