"""What a mistyped command line gets: one look, what, why and fix, and exit code 2."""

import json
import os
import subprocess
import sys

import pytest
from in_process import offline_in, runner


@pytest.fixture
def molspace(tmp_path, monkeypatch, capsys):
    offline_in(tmp_path, monkeypatch)

    return runner(monkeypatch, capsys)


SLIPS = [
    ("evl", "molspace has no command 'evl'", "did you mean 'eval' or 'env'?"),
    ("kb import a.csv", "molspace kb import has no command 'a.csv'", "one of: table, unibind"),
    ("spaces lst", "molspace spaces has no command 'lst'", "did you mean 'list'?"),
    ("reproduce finding", "molspace reproduce has no command 'finding'", "'findings'"),
    ("eval", "nothing to score on", "--task TASK"),
    ("react", "molspace react needs EXPR|FILE.rxn|-", "molspace react --help"),
    ("push X", "molspace push needs ORG/NAME", "molspace push --help"),
    ("lab train", "molspace lab train needs --out", "--out DIR"),
    ("eval --tsk esc50", "molspace eval has no option '--tsk'", "did you mean '--task'?"),
    ("eval --bundle b", "molspace eval has no option '--bundle'", "--space   (all options"),
    ("search i q --space b", "molspace search has no option '--space'", "--bundle   (all options"),
    ("plan A --log-file a.l --log-file b.l", "--log-file is given twice", "leave one out"),
    ("sweep a --task b --space c", "'a' and --space c both say what to use", "leave one of"),
    ("eval a --task b --space c", "'a' and --space c both say what to use", "leave one of"),
    ("eval --task esc50 --task clotho", "--task is given twice", "--task esc50,clotho"),
    ("infer a --experts A --experts=B", "--experts is given twice", "--experts A,B"),
    ("search i q -k 5 -k 6", "-k is given twice", "leave one of them out"),
    ("index B a.png --out x --out y", "--out is given twice", "leave one of them out"),
    ("react A --seed 1 --seed 2", "--seed is given twice", "leave one of them out"),
    ("push a b --space c", "'a' and --space c both say what to use", "leave one of them out"),
    ("push --space c", "molspace push needs ORG/NAME", "molspace push --help"),
    ("index --out x", "molspace index build needs BUNDLE|EXPR|NAME|URI", "index build --help"),
    ("eval --qqqqq x", "molspace eval has no option '--qqqqq'", "molspace eval --help"),
    ("react X --track --quiet", "--track needs a value", "--track VALUE --quiet"),
    ("eval --task --space ImageBind", "--task needs a value", "--task=--space"),
    ("--json eval", "molspace has no option '--json'", "molspace COMMAND --json"),
    ("cache --older-than 3", "molspace cache has no option '--older-than'", "cache COMMAND"),
    ("plan --draw dto A", "--draw: 'dto' is not one of mermaid, dot", "did you mean 'dot'?"),
    ("infer --format nyp", "--format: 'nyp' is not one of safetensors, npy", "'npy'"),
    ("react A --precision half", "--precision: 'half' is not one of fast, exact", "--precision"),
    ("react A --seed x", "--seed: 'x' is not a whole number", "--seed 5"),
    ("react A --seed=1.5", "--seed: '1.5' is not a whole number", "--seed 5"),
    ("react A --seed", "--seed needs a value", "--seed"),
    ("cache gc --older-than x", "--older-than: 'x' is not a number", "--older-than 0.5"),
    ("reproduce findings --seeds 0", "--seeds: '0' is too small", "2 or more"),
    ("serve --port 99999", "--port: '99999' is too large", "a number from 0 to 65535"),
    ("serve --port -1", "--port: '-1' is too small", "a number from 0 to 65535"),
    ("plan A --pace 0", "--pace: '0' is too small", "1 or more"),
    ("infer --batch-size -3", "--batch-size: '-3' is too small", "1 or more"),
    ("show --json=3", "--json takes no value", "--json alone"),
    ("react A + B", "molspace react: unexpected argument '+ B'", 'molspace react "A + Cr(B)"'),
    ("show a b", "molspace show: unexpected argument 'b'", "molspace show --help"),
]


@pytest.mark.parametrize(("line", "what", "fix"), SLIPS)
def test_a_slip_gets_what_and_fix_and_exit_code_2(molspace, line, what, fix):
    code, out, err = molspace(*line.split())
    assert (code, out) == (2, "") or line.startswith("--json")
    first, *rest = err.splitlines()
    if line.startswith("--json"):
        error = json.loads(err)
        assert what in error["what"]
        assert fix in error["fix"]
        return
    assert first.startswith(f"error: {what}")
    assert rest[-1].startswith("  fix: ")
    assert fix in rest[-1]
    assert "Usage:" not in err


@pytest.mark.parametrize(("line", "what", "fix"), SLIPS)
def test_with_json_the_same_is_one_object_with_its_schema(molspace, line, what, fix):
    words = line.split()
    code, out, err = molspace(*words, "--json") if words[-1] != "--seed" else molspace(*words)
    if words[-1] == "--seed":
        return
    error = json.loads(err.splitlines()[-1])
    assert error["schema"] == "molspace.error/1"
    assert error["error"] == "UsageError"
    assert error["what"]
    assert error["fix"]
    assert (code, out) == (2, "")


@pytest.mark.parametrize(
    "line",
    [
        "spaces info Imagebind",
        "spaces fetch Imagebind",
        "spaces doctor Imagebind",
        "plan Imagebind+Cr(CLAP_m)",
        "react Imagebind+Cr(CLAP_m)",
        "cache explain Imagebind+Cr(CLAP_m)",
        "eval --task esc50 --space Imagebind",
        "infer --space Imagebind --out x.npy text",
    ],
)
def test_an_unknown_space_is_the_same_mistake_everywhere(molspace, line):
    code, out, err = molspace(*line.split())
    assert (code, out) == (2, "")
    assert "error: unknown space 'Imagebind'" in err
    assert "did you mean 'ImageBind'?" in err


@pytest.mark.parametrize(
    "line",
    [
        "spaces list",
        "spaces info CLAP_m",
        "spaces fetch CLAP_m",
        "spaces doctor CLAP_m",
        "plan ImageBind+Cr(CLAP_m)",
        "react ImageBind+Cr(CLAP_m)",
        "cache explain ImageBind+Cr(CLAP_m)",
        "eval --task esc50",
        "infer text",
        "data list",
        "data check",
        "reproduce table3",
        "reproduce findings",
    ],
)
def test_an_unknown_lab_is_the_same_mistake_everywhere(molspace, line):
    code, out, err = molspace(*line.split(), "--lab", "minni", "--json")
    assert (code, out) == (3, "")
    error = json.loads(err.splitlines()[-1])
    assert error["schema"] == "molspace.error/1"
    assert "did you mean 'mini'?" in error["fix"]


@pytest.mark.parametrize("line", ["plan A", "react A", "eval --task esc50", "infer x"])
def test_an_unknown_device_or_precision_is_reported_by_its_option(molspace, line):
    if not line.startswith("plan"):
        code, _, err = molspace(*line.split(), "--device", "gpu0")
        assert code == 2
        assert "gpu0" in err
        assert "fix: " in err
    if not line.startswith("infer"):
        code, _, err = molspace(*line.split(), "--precision", "half")
        assert code == 2
        assert err.startswith("error: --precision: 'half'")


def test_json_after_two_dashes_is_text(molspace):
    code, _, err = molspace("react", "--", "A +", "--json")
    assert code == 2
    assert err.startswith("error: ")


def test_a_broken_off_question_is_an_interruption(molspace, monkeypatch):
    import typer

    from molspace_cli import react

    def ask(*args, **more):
        raise typer.Abort

    monkeypatch.setattr(react, "confirm", ask)
    code, out, err = molspace("react", "ImageBind + Cr(CLAP_m)", "--quiet")
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"


def test_no_argument_at_all_shows_the_help(molspace):
    for words in ((), ("reproduce",), ("data",)):
        code, out, err = molspace(*words)
        assert (code, out) == (2, "")
        assert err.startswith("Usage: molspace")


@pytest.mark.parametrize("command", [("spaces",), (), ("cache",), ("reproduce",), ("infer",)])
@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_help_is_as_wide_as_the_terminal_and_cuts_nothing(molspace, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, out, _ = molspace(*command, "--help")
    assert code == 0
    # Examples are copied: their lines stay whole.
    wrapped = [line for line in out.splitlines() if not line.startswith("    molspace ")]
    assert max(map(len, wrapped)) <= columns
    assert "..." not in out.replace("[ARGS]...", "").replace("[INPUT]...", "").replace(
        ",...", ""
    ).replace('"id": ...', "").replace("[,TASK...]", "").replace("]...", "")
    if columns == 120:
        assert max(map(len, out.splitlines())) > 80 or command in [("cache",), ("reproduce",)]


def test_a_pipe_gets_80_columns():
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    process = subprocess.run(
        [sys.executable, "-m", "molspace_cli", "spaces", "--help"],
        capture_output=True,
        text=True,
        env=env,
        check=True,
    )
    assert max(map(len, process.stdout.splitlines())) <= 80
    assert "whether their weights are on this machine." in " ".join(process.stdout.split())
