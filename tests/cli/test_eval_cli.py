import json
from types import SimpleNamespace

import command_line
import published_sets as published
import pytest
from media_files import put

from molspace_cli import confirm, evaluate, opening
from reactions.core.errors import MissingError
from reactions.core.hashing import digest
from reactions.eval.registry import parse_tasks
from reactions.labs.lab_file import load_lab
from reactions.session import Session
from reactions.store import Store


def molspace(folder, *arguments):
    return command_line.molspace(*arguments, cwd=folder)


def test_all_goes_on_without_what_is_missing_or_damaged(tmp_path):
    published.esc50(tmp_path / "sets/esc50")
    published.vggss(tmp_path / "sets/vggss")
    put(tmp_path / "sets/vggss/vggss.json", "no json")
    result = molspace(
        *(tmp_path, "eval", "--task", "all", "--space", "ImageBind", "--data", "sets", "--json")
    )
    assert result.returncode == 0, result.stderr
    (record,) = json.loads(result.stdout)["results"]
    assert (record["task"], record["n"]) == ("esc50", 4)
    assert record["classes"]["n"] == 3
    assert "note: clotho is left out: no data for task 'clotho'" in result.stderr
    assert "note: vggss is left out: cannot use" in result.stderr


def test_all_of_nothing_is_an_error(tmp_path):
    (tmp_path / "sets").mkdir()
    result = molspace(tmp_path, "eval", "--task", "all", "--space", "CLAP_g", "--data", "sets")
    assert result.returncode == MissingError.exit_code == 3
    assert "no task is left to be evaluated" in result.stderr
    assert "CLAP_g cannot do vggss, flickrnet, coco, flickr30k, imagenet" in result.stderr


def test_a_named_task_without_data_stays_an_error(tmp_path):
    (tmp_path / "sets").mkdir()
    result = molspace(tmp_path, "eval", "--task", "esc50", "--space", "CLAP_g", "--data", "sets")
    assert result.returncode == 3
    assert "no data for task 'esc50'" in result.stderr


def test_names_of_classes_are_recorded_by_a_digest(tmp_path):
    session = Session(load_lab("mini"), Store(tmp_path), "cpu")
    target = session.target("ImageBind")
    (result,) = session.evaluate(target, parse_tasks("esc50"))
    classes = result.record["classes"]
    names = session.lab.benchmark("esc50").classes
    assert classes == {"n": 50, "digest": digest("classes", list(names))[:12]}
    assert classes["digest"] != digest("classes", [*names[:-1], "owl"])[:12]
    (retrieval,) = session.evaluate(target, parse_tasks("clotho"))
    assert "classes" not in retrieval.record


def test_training_and_scoring_are_both_considered(tmp_path, monkeypatch):
    considered = []
    monkeypatch.setattr(
        confirm,
        "confirm",
        lambda session, planned, *, yes, quiet: considered.append((planned, yes)),
    )
    monkeypatch.setattr(evaluate, "confirm", confirm.confirm)
    session = Session(load_lab("mini"), Store(tmp_path), "cpu")
    monkeypatch.setattr(opening, "open_session", lambda *args, **kwargs: session)

    class Stopped(Exception):
        pass

    def stop(self, targets, **kwargs):
        raise Stopped

    monkeypatch.setattr(Session, "run", stop)
    with pytest.raises(Stopped):
        evaluate.evaluate(task="esc50", space="ImageBind + Cr(CLAP_m)", yes=True, quiet=True)
    ((planned, yes),) = considered
    assert yes
    assert {step.kind for step in planned.steps()} >= {"embed", "collect", "train", "assemble"}
    considered.clear()
    monkeypatch.setattr(Session, "run", lambda self, targets: SimpleNamespace())
    with pytest.raises(TypeError):  # nothing was run
        evaluate.evaluate(task="esc50", space="CLAP_g", quiet=True)
    ((planned, yes),) = considered
    assert not yes
    assert {step.kind for step in planned.steps()} == {"embed", "score"}
    assert planned.corpora == (("esc50", 2000, 2000),)
