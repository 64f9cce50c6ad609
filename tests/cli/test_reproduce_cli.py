"""``molspace reproduce``: what is offered, and what slips get before anything runs."""

import json

import pytest
from in_process import offline_in, runner

TABLES = [f"table{n}" for n in range(3, 10)]
FIGURES = [f"figure{n}" for n in range(3, 7)]
UNIBIND = ["unibind-table2", "unibind-zero-shot"]


@pytest.fixture
def molspace(tmp_path, monkeypatch, capsys):
    offline_in(tmp_path, monkeypatch)

    return runner(monkeypatch, capsys, "reproduce")


def test_every_table_and_figure_is_a_command(molspace):
    code, out, _ = molspace("--help")
    assert code == 0
    for name in (
        *TABLES,
        *FIGURES,
        *UNIBIND,
        "all",
        "findings",
        "unibind-findings",
        "unibind-curve",
    ):
        assert f" {name} " in out


@pytest.mark.parametrize("name", [*TABLES, *FIGURES, *UNIBIND, "all"])
def test_each_says_what_it_is_and_how_it_ends(molspace, name):
    code, out, _ = molspace(name, "--help")
    text = " ".join(out.split())
    assert code == 0
    assert "Exits with 3 if the lab has nothing that could be measured." in text
    assert ("--out" in text) is (name not in (*TABLES, *UNIBIND))
    assert ("--rows" in text) is (name in TABLES)


@pytest.mark.parametrize(
    ("line", "what", "fix"),
    [
        ("figure7", "molspace reproduce has no command 'figure7'", "figure"),
        ("table10", "molspace reproduce has no command 'table10'", "table"),
        ("table9 --rows DrOur", "--rows: unknown row 'DrOur'", "did you mean 'Dr Ours'"),
        ("table8 --rows ,", "--rows names none", "--rows"),
        ("table4 --bundle C-MRC=x", "--bundle: unknown row 'C-MRC'", "did you mean 'C-MCR'?"),
        ("table4 --bundle C-MCR", "--bundle 'C-MCR' is not ROW=DIR", '--bundle "ROW=DIR"'),
        ("table4 --bundle =x", "--bundle '=x' is not ROW=DIR", "--bundle"),
        ("table4 --bundle A=x --bundle A=y", "--bundle names 'A' twice", "leave one"),
        ("all --bundle Dr=x", "--bundle: unknown row 'Dr'", "Dr Ours"),
        ("figure5 --grid 0:2:0.1", "--grid: the factor 2 is outside 0 to 1", ""),
        ("figure5 --grid 0:1:0.001", "1,002,001 settings x 6 tasks are many", "larger steps"),
        ("all --grid 0:1:0.01", "40,804 settings x 6 tasks are many", "larger steps"),
        ("figure5 --grid half", "--grid: 'half' is not a list of factors", "0:1:0.1"),
        ("findings --only 11", "--only: there is no finding '11'", "--only 7,8"),
        ("findings --only ,", "--only names no finding", "--only 7,8"),
        ("unibind-findings --only 7", "--only: there is no finding '7' of UniBind's", "U1a"),
        ("unibind-findings --only U2x", "--only: there is no finding 'U2x'", "did you mean 'U2'"),
        ("unibind-findings --only ,", "--only names no finding", "--only U1,U3"),
        ("unibind-table2 --hit pairs", "--hit", "pair"),
        ("unibind-table2 --kb kbb", "lab 'mini' has no knowledge base 'kbb'", "did you mean 'kb'"),
        (
            "unibind-zero-shot --kb kbb",
            "lab 'mini' has no knowledge base 'kbb'",
            "did you mean 'kb'",
        ),
        ("unibind-zero-shot --space PointBin", "unknown space 'PointBin'", "did you mean"),
    ],
)
def test_slips(molspace, line, what, fix):
    code, out, err = molspace(*line.split(), "--lab", "mini")
    assert (code, out) == (2, "")
    assert f"error: {what}" in err
    assert fix in err
    assert "Traceback" not in err


def test_a_file_in_the_place_of_out(molspace, tmp_path):
    (tmp_path / "taken").write_text("", encoding="utf-8")
    code, out, err = molspace("figure5", "--out", "taken", "--json")
    assert (code, out) == (4, "")
    assert json.loads(err.splitlines()[-1])["why"] == "a file has this name"


def test_figures_of_a_lab_that_has_nothing(molspace):
    code, out, err = molspace("figure5", "--lab", "paper", "--json", "-q")
    assert code == 3
    body = json.loads(out)
    assert (body["schema"], body["surfaces"]) == ("molspace.figure5/1", [])
    assert body["lacks"]
    assert "nothing could be measured on lab 'paper'" in err
