"""What a command acts on: its first argument, or ``--space``, in every command alike."""

import json
import sys

import numpy as np
import pytest
import typer
from in_process import runner
from indexed import load_fake, target_at
from PIL import Image

from molspace_cli.app import app
from reactions import session


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "load_encoder", load_fake)
    target_at(tmp_path / "bundle")
    target_at(tmp_path / "other")
    (tmp_path / "photos").mkdir()
    for number, name in enumerate(("cat.png", "dog.png")):
        pixels = np.full((4, 4, 3), number * 50, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    return runner(monkeypatch, capsys, stdin=b"")


def leaves(command, path=()):
    for name, below in getattr(command, "commands", {}).items():
        yield from leaves(below, (*path, name))
    if not getattr(command, "commands", {}):
        yield " ".join(path), command


def test_whatever_names_a_product_takes_both_forms():
    product = ("BUNDLE", "BUNDLE|EXPR", "BUNDLE|EXPR|NAME|URI")
    with_argument = {
        name
        for name, command in leaves(typer.main.get_command(app))
        for param in command.params
        if param.param_type_name == "argument" and param.metavar in product
    }
    with_option = {
        name
        for name, command in leaves(typer.main.get_command(app))
        if any("--space" in param.opts for param in command.params)
    }
    assert {"eval", "sweep", "tune", "show", "report", "serve", "mteb", "export"} < with_argument
    assert with_argument | {"infer", "reproduce unibind-zero-shot"} == with_option


def test_both_forms_do_the_same(run):
    outputs = [run("show", *form, "--json") for form in (("bundle",), ("--space", "bundle"))]
    assert outputs[0] == outputs[1]
    assert outputs[0][0] == 0
    code, _, err = run("show", "bundle", "--space", "other")
    assert (code, "'bundle' and --space other both say what to use" in err) == (2, True)


def test_what_follows_the_option_are_the_other_arguments(run):
    code, out, err = run("index", "--space", "bundle", "photos", "--out", "idx", "--json")
    assert (code, json.loads(out)["counts"]) == (0, {"image": 2}), err
    code, _, err = run("index", "bundle", "photos", "--space", "other", "--out", "idx2")
    assert (code, "'bundle' and --space other both say" in err) == (2, True)
    code, _, err = run("push", "--space", "bundle", "no-name", "--dry-run")
    assert (code, "'no-name'" in err) == (2, True)


class TestAFileOnStdin:
    """It is not read where there are arguments, which is said; of pipes nothing can be said."""

    NOTE = "note: stdin is a file and is not read"

    @pytest.fixture
    def infer(self, run, tmp_path, monkeypatch):
        (tmp_path / "lines.txt").write_text("rain\nsnow\n")

        def infer(*arguments, read=False):
            with (tmp_path / "lines.txt").open() as stdin:
                monkeypatch.setattr(sys, "stdin", stdin)
                if read:
                    stdin.buffer.read()
                return run(*arguments, stdin=None)

        return infer

    def test_infer(self, infer):
        used = ("infer", "--space", "bundle", "--format", "jsonl")
        assert self.NOTE in infer(*used, "hail")[2]
        assert self.NOTE not in infer(*used, "hail", "--quiet")[2]
        assert self.NOTE not in infer(*used, "hail", "-")[2]
        assert self.NOTE not in infer(*used)[2]
        assert self.NOTE not in infer(*used, "hail", read=True)[2]

    def test_search(self, infer, run):
        assert run("index", "bundle", "photos", "--out", "idx")[0] == 0
        assert self.NOTE in infer("search", "idx", "rain")[2]
        assert self.NOTE in infer("search", "idx", "--text", "rain")[2]
        assert self.NOTE not in infer("search", "idx", "rain", "--quiet")[2]
        assert self.NOTE not in infer("search", "idx")[2]
        code, out, _ = infer("search", "idx", "rain", "--json")
        assert (code, len(json.loads(out)["notices"])) == (0, 1)

    def test_a_pipe(self, run):
        code, _, err = run("infer", "--space", "bundle", "--format", "jsonl", "hail", stdin=b"rain")
        assert (code, self.NOTE in err) == (0, False)


@pytest.mark.parametrize(
    "line",
    [
        ("infer", "hail", "--space", "bundle", "--format", "jsonl"),
        ("infer", "hail", "rain", "--space", "bundle", "--compare"),
        ("index", "bundle", "photos", "--out", "idx"),
        ("search", "ready", "rain"),
    ],
    ids=" ".join,
)
def test_quiet_leaves_results_alone(run, line):
    assert run("index", "bundle", "photos", "--out", "ready", "--quiet") == (0, "ready\n", "")
    code, out, err = run(*line, "--quiet")
    assert (code, err, out != "") == (0, "", True)


def test_infer_says_the_factors_and_experts_it_used(run):
    used = ("infer", "hail", "--space", "bundle", "--format", "jsonl")
    _, _, err = run(*used, "--sigma", "CLAP_m:0.25,0.5", "--experts", "CLAP_m,InternVL")
    (line,) = (line for line in err.splitlines() if "sigma" in line)
    assert "sigma CLAP_m: audio 0.25, text 0.5" in line
    assert "lambda" in line
    assert line.endswith("experts: CLAP_m, InternVL")
    *_, line, note = run(*used)[2].splitlines()
    assert line.endswith("experts: all")
    assert note.endswith("is not known"), "these encoders do not say what they leave out"
    assert run(*used, "--quiet")[2] == ""
