import json

import pytest
from report_lab import HEADLINE, TinyLab, tiny_session, use_fakes

from molspace_cli import opening
from molspace_cli.__main__ import main
from molspace_cli.report import summed
from reactions.experiments.report.page import SECTIONS
from reactions.experiments.report.product_report import Omission
from reactions.run.events import PlanStarted


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A function that runs a command on the tiny lab: exit code, stdout, stderr."""
    use_fakes(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TinyLab, "parse_tasks", _few, raising=False)
    session = tiny_session(tmp_path / "store")
    monkeypatch.setattr(opening, "open_session", lambda *args, **options: session)

    def command(*arguments):
        monkeypatch.setattr("sys.argv", ["molspace", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return exited.value.code or 0, out, err

    command.session = session
    return command


def _few(lab, text):
    from reactions.eval.registry import parse_tasks

    return parse_tasks("esc50,coco" if text == "freebind,own" else text, [])


def test_a_page_is_written_and_what_is_missing_is_said(run, tmp_path):
    code, out, err = run("report", HEADLINE, "--task", "esc50", "--out", "page.html")
    assert (code, out) == (0, "page.html\n")
    assert "missing: no modality gaps" in err
    assert "lab: mini (tiny)" in err
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_json_says_what_was_written(run, tmp_path):
    code, out, _ = run("report", HEADLINE, "--json", "-q")
    assert code == 0
    body = json.loads(out)
    assert body["schema"] == "molspace.report/1"
    assert body["path"] == str(tmp_path / "report.html")
    assert body["size_bytes"] == (tmp_path / "report.html").stat().st_size
    assert body["sections"] == list(SECTIONS)
    assert body["tasks"] == ["esc50", "coco"]
    assert body["lab"] == "mini (tiny)"
    assert all(set(entry) == {"section", "what", "why", "fix"} for entry in body["missing"])


def test_an_existing_file_is_refused_before_anything_runs(run, tmp_path):
    (tmp_path / "report.html").write_text("mine")
    events = []
    run.session.events = events.append
    code, out, err = run("report", HEADLINE)
    assert (code, out) == (2, "")
    assert "'report.html' already exists" in err
    assert "--overwrite" in err
    assert not any(isinstance(event, PlanStarted) for event in events)
    assert (tmp_path / "report.html").read_text() == "mine"
    code, _, _ = run("report", HEADLINE, "--task", "esc50", "--overwrite")
    assert code == 0
    assert (tmp_path / "report.html").read_text() != "mine"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["CLAP_m"], "'CLAP_m' is a space, not a reaction"),
        (["ImageBind + Dr(InternVLL)"], "did you mean 'InternVL'?"),
        (["./nowhere"], "no bundle at ./nowhere"),
        ([HEADLINE, "--task", "esc5"], "did you mean 'esc50'?"),
        ([HEADLINE, "--map", "umpa"], "umap"),
        ([HEADLINE, "--cached"], "is not trained yet"),
        ([HEADLINE, "--out", "."], "is a folder"),
    ],
)
def test_mistakes_are_plain_and_write_nothing(run, tmp_path, arguments, words):
    code, out, err = run("report", *arguments)
    assert code in (2, 3)
    assert out == ""
    assert words in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*.html"))


def test_cached_shows_a_trained_reaction_and_runs_nothing(run):
    assert run("report", HEADLINE, "--task", "esc50", "-q")[0] == 0
    code, _, err = run("report", HEADLINE, "--task", "esc50,coco", "--cached", "--overwrite")
    assert code == 0
    assert "missing: coco is left out: its score is not in the cache" in err
    assert "done in" not in err


def test_tasks_that_are_left_out_for_one_reason_are_summed():
    why, fix = "its score is not in the cache", "molspace report without --cached"
    lacks = [Omission("map", "no map", "none is available")]
    lacks += [Omission("scores", f"{task} is left out", why, fix) for task in "abd"]
    lacks.insert(3, Omission("scores", "c is left out", "no data"))
    assert summed(lacks) == [
        ("no map", "none is available", ""),
        ("3 tasks are left out, a, b, d", why, fix),
        ("c is left out", "no data", ""),
    ]
