"""eval, infer and show say which bundle they use, and why."""

import json

import pytest
from bundles import record_of, tensors_of
from fakes import CG, IB, cr
from in_process import runner

from reactions.inference.embedder import Embedder
from reactions.labs.lab_file import load_lab
from reactions.products.bundles.bundle import write_bundle
from reactions.products.bundles.current import set_current


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    return runner(monkeypatch, capsys, stdin=b"")


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a bundle, of the mini lab, and a folder below it."""
    folder = tmp_path / "project"
    (folder / "below").mkdir(parents=True)
    monkeypatch.chdir(folder)
    space = cr(IB, CG)
    bundle = write_bundle(tmp_path / "made", record_of(space), tensors_of(space))
    set_current(bundle, load_lab("mini"))
    # Its spaces have no weights; what matters is which bundle is asked to embed.
    monkeypatch.setattr(Embedder, "by_id", frozenset())
    return folder, bundle


def test_infer_says_which_bundle_and_why(project, run, monkeypatch):
    folder, bundle = project
    _, _, err = run("infer", "a dog", "--format", "jsonl")
    assert err.splitlines()[0] == f"bundle: {bundle} (the last one made in {folder}, lab: mini)"
    _, _, err = run("infer", "a dog", "--format", "jsonl", "--quiet")
    assert "bundle:" not in err
    monkeypatch.chdir(folder / "below")
    _, _, err = run("infer", "a dog", "--format", "jsonl", "--quiet")
    assert "bundle:" not in err
    _, _, err = run("infer", "a dog", "--format", "jsonl")
    assert err.splitlines()[0] == f"bundle: {bundle} (the last one made in {folder}, lab: mini)"
    _, _, err = run("infer", "a dog", "--format", "jsonl", "--space", str(bundle))
    assert err.splitlines()[0] == f"bundle: {bundle} (as given)"


def test_eval_says_which_bundle_and_why(project, run):
    folder, bundle = project
    _, _, err = run("eval", "--task", "esc50")
    assert f"bundle: {bundle} (the last one made in {folder}, lab: mini)\n" in err


def test_show_says_which_bundle_and_why(project, run):
    folder, bundle = project
    code, out, err = run("show", "--json")
    assert (code, json.loads(out)["path"]) == (0, str(bundle))
    assert err == f"bundle: {bundle} (the last one made in {folder}, lab: mini)\n"
    code, _, err = run("show", str(bundle), "--json")
    assert (code, err) == (0, "")


@pytest.mark.parametrize("command", [["infer", "a dog"], ["eval", "--task", "esc50"], ["show"]])
def test_another_folder_and_another_lab_get_none(project, run, tmp_path, monkeypatch, command):
    folder, bundle = project
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    code, out, err = run(*command)
    assert (code, out) == (3, "")
    assert "error: there is no current bundle here" in err
    option = "molspace show" if command == ["show"] else "--space"  # show has no option for it
    assert f"{option} {bundle}" in err
    monkeypatch.chdir(folder)
    (folder / "molspace.toml").write_text('[lab]\nname = "own"\nextends = "mini"\n')
    if command != ["show"]:  # which has no lab
        code, out, err = run(*command)
        assert (code, out) == (3, "")
        assert "error: there is no current bundle of lab 'own' here" in err
        assert f"fix: --lab mini   or   --space {bundle}" in err
