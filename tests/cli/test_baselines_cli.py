"""Training-free rows beside a reaction's scores, as ``eval`` prints them."""

import json
import re
import shutil

import pytest
from twin_lab import twin_session
from typer.testing import CliRunner

from molspace_cli import evaluate, opening
from molspace_cli.app import app
from reactions.core.errors import DataError
from reactions.planning.planner import Planner

REACTION = "A + Cr(B, sigma=0.6)"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOLSPACE_CACHE", str(folder / "cache"))
        patch.setenv("XDG_DATA_HOME", str(folder / "data"))
        session, _ = twin_session(folder)
        session.react(session.check(REACTION))
    shutil.copytree(folder / "cache", folder / "cache without baselines")
    return folder


@pytest.fixture
def run(root, monkeypatch):
    monkeypatch.setenv("MOLSPACE_CACHE", str(root / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(root / "data"))
    monkeypatch.setattr(opening, "open_session", lambda *_, **__: twin_session(root)[0])

    def molspace(*arguments, space=REACTION):
        result = CliRunner().invoke(app, ["eval", "--task", "coco", "--space", space, *arguments])
        assert result.exit_code == 0, result.stderr
        return result

    return molspace


def table(text):
    return [line.split("\t") for line in text.splitlines() if not line.startswith("#")]


def notes(text):
    return [line.removeprefix("# ") for line in text.splitlines() if line.startswith("#")]


def test_what_takes_longer_is_left_out_and_named(run, root, monkeypatch):
    monkeypatch.setenv("MOLSPACE_CACHE", str(root / "cache without baselines"))
    monkeypatch.setattr(evaluate, "WITHIN_S", -1)  # whatever is not in the cache
    output = run().stdout
    assert table(output)[0][3:] == ["sum", "centred sum", "Procrustes"]
    assert {cell for row in table(output)[1:] for cell in row[2:]} == {"-"}
    left_out = [note for note in notes(output) if note.startswith("- ")]
    assert all(note.endswith("; --baselines makes it") for note in left_out)
    names = ", ".join(re.sub(r"( \(\d rows\))?: .*", "", note[2:]) for note in left_out)
    assert sorted(names.split(", ")) == [
        "Procrustes",
        "best part",
        "centred sum of cosines",
        "sum of cosines",
    ]


def test_a_column_for_each_row_and_a_sentence(run):
    output = run("--baselines").stdout
    heading, *rows = table(output)
    assert heading[2].startswith("best part (")
    assert [len(row) for row in rows] == [6] * len(rows)
    (main,) = [row for row in rows if row[0].startswith("* ")]
    values = [float(cell) for cell in main[1:]]
    best = max(range(5), key=values.__getitem__)
    assert best == 3  # or the sentence below is not tried
    assert (
        f"the centred sum of cosines, which trains nothing, scores higher: {main[0][2:]} "
        f"{values[3]:.2f} against {values[0]:.2f}; centre = true under" in "\n".join(notes(output))
    )


def test_json_has_them_beside_what_it_had(run):
    (with_them,) = json.loads(run("--baselines", "--json").stdout)["results"]
    (without_rows,) = json.loads(run("--no-baselines", "--json").stdout)["results"]
    rows = with_them.pop("baselines")
    assert with_them == without_rows
    names = ["best part", "sum of cosines", "centred sum of cosines", "Procrustes"]
    assert [row["name"] for row in rows] == names
    assert all(row["metrics"].keys() == without_rows["metrics"].keys() for row in rows)
    assert sum(rows[1]["weights"].values()) == pytest.approx(1)


def test_without_them_the_table_is_as_it_was(run):
    output = run("--no-baselines").stdout
    assert table(output)[0] == ["metric", "%"]
    assert "trains nothing" not in output


def test_a_space_by_itself_has_none(run):
    output = run("--baselines", space="A").stdout
    assert table(output)[0] == ["metric", "%"]
    assert "baselines" not in json.loads(run("--json", space="A").stdout)["results"][0]


def test_what_a_lab_cannot_make_has_a_reason(run, monkeypatch):
    def refuse(planner, space):
        raise DataError("no corpus for any modality", why="there is none", fix="name one")

    monkeypatch.setattr(Planner, "heads", refuse)
    output = run("--baselines").stdout
    assert table(output)[1][4:] == ["-", "-"]
    reason = "no corpus for any modality: there is none; name one"
    assert [note for note in notes(output) if note.startswith("- ")] == [
        f"- centred sum of cosines, Procrustes (2 rows): {reason}",
    ]
    (record,) = json.loads(run("--baselines", "--json").stdout)["results"]
    assert record["baselines"][3] == {
        "name": "Procrustes",
        "lacks": "no corpus for any modality: there is none",
        "fix": "name one",
    }
