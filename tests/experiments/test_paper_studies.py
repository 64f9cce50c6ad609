"""Tables 5 to 9: figures that other tables repeat, readings of the paper, and rows as measured."""

import json

import fakes
import pytest
import torch
from published_heads import mcr_state

from reactions.core.errors import MissingError, UsageError
from reactions.core.factor_defaults import FactorDefaults
from reactions.dsl import check, parse
from reactions.exchange.import_mcr import LAYOUTS, import_mcr
from reactions.experiments.paper.spaces import FACTORS, PUBLISHED
from reactions.experiments.paper.table import parse_rows
from reactions.experiments.paper.tables import TABLES
from reactions.experiments.reproduce import measure

STUDIES = ("table5", "table6", "table7", "table8", "table9")


def row_of(table, name):
    return next(row for row in TABLES[table].rows if row.name == name)


def figures(table, name):
    """The paper's figures of a row, by task, for the metrics of tables 5 to 9."""
    entries = TABLES[table]
    return {
        column.task: entries.paper(row_of(table, name), column)
        for column in entries.columns
        if column.title != "R@5"
    }


def chosen(table, text):
    return parse_rows(text, TABLES[table].rows)


# --- the paper's figures -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("table5", "ImageBind"), ("table4", "ImageBind")),
        (("table5", "+Dr(InternVL)"), ("table4", "InternVL_IB")),
        (("table6", "Seq.&Para."), ("table4", "InternVL_IB†++ Ver.")),
        (("table7", "ImageBind"), ("table3", "ImageBind")),
        (("table7", "ImageBind"), ("table4", "ImageBind")),
        (("table7", "+Cr(CLAP_g)+Cr(CLAP_m)"), ("table3", "ImageBind++ Ver.")),
        (("table7", "+Cr(CLAP_g)+Cr(CLAP_m)"), ("table4", "ImageBind++ Ver.")),
        (("table8", "Ψ"), ("table4", "InternVL_IB")),
        (("table9", "Cr Ours"), ("table5", "+Cr(InternVL)")),
        (("table9", "Dr Ours"), ("table8", "Ψ")),
    ],
)
def test_what_two_tables_have_is_the_same_in_both(first, second):
    figures_first, other = figures(*first), figures(*second)
    both = set(figures_first) & set(other)
    assert len(both) >= 2
    assert {task: figures_first[task] for task in both} == {task: other[task] for task in both}
    assert _space(*first) == _space(*second)


def _space(table, name):
    """How a row is made: its reaction with the factors that act."""
    row = row_of(table, name)
    space = check(parse(row.reaction), PUBLISHED, factors=FACTORS).space
    factors = {}
    if row.adjustment.lambda_ or "Dr(" in row.reaction:
        factors["lambda"] = row.adjustment.lambda_ or {"": (0.9, 0.9)}
    return space, factors, dict(row.adjustment.sigma)


@pytest.mark.parametrize(
    ("table", "row", "task", "figure"),
    [
        ("table5", "+Cr(InternVL)", "vggss", 16.14),
        ("table6", "Only Seq.", "coco", 33.77),
        ("table6", "Only Para.", "flickr30k", 87.35),
        ("table7", "+Cr(CLAP_m)", "esc50", 88.40),
        ("table7", "+Cr(CLAP_g)", "audioset", 19.09),
        ("table8", "ψ_T", "vggss", 10.08),
        ("table8", "ψ_VAT", "audiocaps", 10.23),
        ("table9", "Dr Ex-MCR", "flickrnet", 5.09),
        ("table9", "Cr C-MCR", "coco", 58.62),
    ],
)
def test_figures_of_the_paper(table, row, task, figure):
    assert figures(table, row)[task] == figure


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_has_a_row_and_other_readings_have_a_figure(name):
    table = TABLES[name]
    unnamed = [row.name for row in table.rows if not row.paper_name]
    assert unnamed == list(table.figures)
    assert len({row.name for row in table.rows}) == len(table.rows)
    for values in table.figures.values():
        assert len(values) == len(table.columns)
        assert all(0 < value < 100 for value in values)
    for row in table.rows:
        if row.paper_name:
            assert row.remark
            assert table.figures[row.paper_name] == tuple(
                table.paper(row, column) for column in table.columns
            )


def test_each_projector_is_trained_on_the_subset_of_its_name():
    for row in TABLES["table8"].rows[:-1]:
        space = check(parse(row.reaction), PUBLISHED, factors=FACTORS).space
        letters = {"audio": "A", "image": "V", "text": "T"}
        letters_named = row.name.removeprefix("ψ_")
        assert {letters[anchor] for anchor in space.experts[0].anchors} == set(letters_named)


@pytest.mark.parametrize(
    ("table", "text", "names"),
    [
        ("table5", "cr(internvl)", ["+Cr(InternVL)"]),
        ("table6", "only seq", ["Only Seq."]),
        ("table6", "only seq base's share", ["Only Seq. (base's share)"]),
        ("table8", "psi, psi_at", ["ψ_AT", "Ψ"]),
        ("table9", "dr ex-mcr", ["Dr Ex-MCR"]),
    ],
)
def test_rows_by_name(table, text, names):
    assert [row.name for row in chosen(table, text)] == names


# --- on a lab of fakes -------------------------------------------------------------------


def records(results, name):
    return next(row for row in results.rows if row.row.name == name).records


def test_the_caption_of_table_5_is_read_in_two_ways(open_session):
    session = open_session()
    results = measure(
        TABLES["table5"], session, chosen("table5", "+Cr(InternVL),+Cr(InternVL) at 0.9")
    )
    ours, letter = (records(results, row.row.name)["coco"] for row in results.rows)
    assert ours["factors"]["sigma InternVL"] == {"image": 0.1, "text": 0.1}
    assert letter["factors"]["sigma InternVL"] == {"image": 0.9, "text": 0.9}
    body = json.loads(json.dumps(results.to_json()))
    first, second = body["rows"]
    assert [cell["paper"] for cell in first["cells"]] == [cell["paper"] for cell in second["cells"]]
    assert second["paper_name"] == "+Cr(InternVL)"
    assert "footnote 2" in first["remark"]


def test_readings_of_only_sequential_differ_in_the_claps_share(open_session):
    rows = chosen("table6", "Only Seq.,Only Seq. (base's share),Only Seq. (lambda 0.9)")
    results = measure(TABLES["table6"], open_session(), rows)
    shares = [records(results, row.name)["audiocaps"]["factors"]["lambda CLAP_g"] for row in rows]
    assert shares == [
        {"audio": 0.5, "text": 0.1},
        {"audio": 0.5, "text": 0.9},
        {"audio": 0.9, "text": 0.9},
    ]


def test_only_parallel_gives_each_expert_its_factors(open_session):
    results = measure(TABLES["table6"], open_session(), chosen("table6", "Only Para."))
    factors = records(results, "Only Para.")["coco"]["factors"]
    assert factors == {
        "sigma InternVL": {"image": 0.1, "text": 0.1},
        "sigma CLAP_m": {"audio": 0.5, "text": 0.1},
        "sigma CLAP_g": {"audio": 0.5, "text": 0.1},
    }
    row = results.to_json()["rows"][0]
    assert row["sigma"] == {"InternVL": [0.1, 0.1], "CLAP_m": [0.5, 0.1], "CLAP_g": [0.5, 0.1]}


@pytest.mark.parametrize(("mean", "words"), [("eq10", "as equation 10"), ("unit", "at unit norm")])
def test_how_parallel_experts_are_averaged_is_the_labs_and_said(open_session, mean, words):
    session = open_session(factors=FactorDefaults(mean=mean))
    results = measure(TABLES["table7"], session, chosen("table7", "+Cr(CLAP_g)+Cr(CLAP_m)"))
    record = records(results, "+Cr(CLAP_g)+Cr(CLAP_m)")["esc50"]
    assert record.get("means", {}) == ({"CLAP_m & CLAP_g": "unit"} if mean == "unit" else {})
    assert any(words in note for note in results.notes)
    alone = measure(TABLES["table5"], session, chosen("table5", "ImageBind"))
    assert not any("parallel experts" in note for note in alone.notes)


def test_modules_are_chosen_from_one_product(open_session):
    first_session = open_session()
    results = measure(TABLES["table7"], first_session, chosen("table7", "+Cr(CLAP_g)+Cr(CLAP_m)"))
    executed = first_session.events.executed
    second_session = open_session()
    results = measure(TABLES["table7"], second_session)
    assert second_session.events.executed < executed  # scores alone
    assert set(records(results, "+Cr(CLAP_g)")["esc50"]["factors"]) == {"sigma CLAP_g"}
    rows = {row["name"]: row for row in results.to_json()["rows"]}
    assert rows["+Cr(CLAP_m)"]["experts"] == ["CLAP_m"]
    assert results.n_measured == 16


def test_recipes_say_what_is_special_about_them(open_session):
    rows = chosen("table9", "Dr C-MCR,Dr Ex-MCR,Dr Ours")
    results = measure(TABLES["table9"], open_session(), rows)
    assert results.n_measured == 18
    remarks = {tuple(names): notice for notice, names in results.notices().items()}
    assert remarks["Dr C-MCR",].startswith("recipe cmcr: ")
    assert remarks["Dr Ex-MCR",].startswith("recipe exmcr: ")
    assert not any("Dr Ours" in names for names in remarks)
    scores = [tuple(c["ours"] for c in row["cells"]) for row in results.to_json()["rows"]]
    assert len(set(scores)) == 3


# --- bundles that stand for rows -----------------------------------------------------------


@pytest.fixture
def imported(open_session, tmp_path):
    """A bundle of random C-MCR heads of the fakes."""
    widths = {
        "base": fakes.VL.dim,
        "expert": fakes.CG.dim,
        "new": 7,
        "hidden of Head_A": 10,
        "hidden of Head_B": 12,
    }
    torch.save(mcr_state(LAYOUTS["cmcr"], widths, seed=1), tmp_path / "clap_clip.pt")
    return import_mcr(
        "cmcr",
        tmp_path / "clap_clip.pt",
        open_session().lab,
        base="InternVL",
        expert="CLAP_g",
        out=tmp_path / "cmcr",
    ).path


def test_an_imported_head_is_a_row(open_session, imported):
    rows = parse_rows("C-MCR,Ex-MCR", TABLES["table4"].rows)
    results = measure(TABLES["table4"], open_session(), rows, bundles={"c_mcr": imported})
    first, second = results.rows
    assert set(first.records) == set(TABLES["table4"].tasks)
    assert second.lack.what == "its published head is not imported"
    assert "molspace import exmcr FILE" in second.lack.fix
    assert '--bundle "Ex-MCR=DIR"' in second.lack.fix
    assert results.to_json()["rows"][0]["bundle"] == str(imported)
    assert results.ours(first, TABLES["table4"].columns[0]) is not None


def test_bundles_of_rows_that_are_not_there(open_session, imported):
    with pytest.raises(UsageError, match="--bundle: unknown row 'C-MRC'") as caught:
        measure(TABLES["table4"], open_session(), bundles={"C-MRC": imported})
    assert "C-MCR" in caught.value.fix
    with pytest.raises(MissingError):
        measure(TABLES["table4"], open_session(), bundles={"C-MCR": imported / "gone"})


def test_a_bundle_that_the_factors_do_not_fit_is_refused(open_session, imported):
    row = parse_rows("ImageBind++ Ver.", TABLES["table4"].rows)
    with pytest.raises(UsageError, match="--sigma"):
        measure(TABLES["table4"], open_session(), row, bundles={"ImageBind++": imported})


# --- what trains nothing -------------------------------------------------------------------


def test_training_free_rows_stand_beside_the_largest_product(open_session):
    session = open_session()
    rows = parse_rows("InternVL_IB++ Ver.", TABLES["table4"].rows)
    results = measure(TABLES["table4"], session, rows)
    free = [row for row in results.rows if row.row.group.startswith("Training-free")]
    assert [row.row.name for row in free][:2] == ["best part", "sum of cosines"]
    column = TABLES["table4"].columns[0]
    for row in free:
        assert (results.ours(row, column) is None) is bool(row.remark("audiocaps"))
        assert results.table.paper(row.row, column) is None
    assert free[0].heading("audiocaps").startswith("best part (")
    names = [row.name for row in parse_rows("ImageBind", TABLES["table4"].rows)]
    only = measure(
        TABLES["table4"], open_session(), parse_rows("ImageBind", rows=TABLES["table4"].rows)
    )
    assert [row.row.name for row in only.rows] == names
