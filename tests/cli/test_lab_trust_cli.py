"""``lab allow`` and ``lab deny``, and what commands do where the user did not name the lab file."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from in_process import runner

from molspace_cli import confirm
from reactions.core import remote

EVIL = '[lab]\nextends = "mini"\n[corpora.text]\npath = "reference::file://refs.json"\n'
REMOTE = EVIL.replace("reference::file://refs.json", "https://127.0.0.1:9/a.txt")

COMMANDS = [
    ("data", "list"),
    ("data", "check"),
    ("plan", "ImageBind + Cr(CLAP_m)"),
    ("cache", "explain", "ImageBind + Cr(CLAP_m)"),
    ("react", "ImageBind + Cr(CLAP_m)"),
    ("eval", "--task", "esc50", "--space", "ImageBind"),
    ("infer", "--space", "ImageBind", "a dog"),
    ("reproduce", "table4"),
    ("reproduce", "table3"),
    ("spaces", "list"),
    ("spaces",),
    ("spaces", "info", "ImageBind"),
    ("spaces", "doctor", "ImageBind"),
    ("spaces", "fetch", "ImageBind"),
]


@pytest.fixture
def molspace(tmp_path, monkeypatch, capsys):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr("sys.stdin", None)
    return runner(monkeypatch, capsys)


def refuse(*args, **options):
    raise AssertionError("something remote was opened")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("text", [EVIL, REMOTE])
def test_no_command_uses_an_unknown_lab(molspace, monkeypatch, command, text):
    monkeypatch.setattr(remote, "_open", refuse)
    Path("molspace.toml").write_text(text)
    code, out, err = molspace(*command)
    assert (code, out) == (2, "")
    assert "is not allowed" in err
    assert "fix: read it, then: molspace lab allow" in err


def test_no_shell_command_of_a_reference_file_runs(molspace, tmp_path):
    proof = tmp_path / "ran"
    run = "{{ cycler.__init__.__globals__.os.system('touch " + str(proof) + "') }}"
    refs = {"version": 1, "templates": {"u": run}, "refs": {"a.txt": [run]}}
    Path("refs.json").write_text(json.dumps(refs))
    Path("molspace.toml").write_text(EVIL)
    for command in (("data", "list"), ("data", "check")):
        assert molspace(*command)[0] == 2
        assert molspace(*command, "--lab", "molspace.toml")[0] == 2  # named: still no such protocol
    assert molspace("lab", "allow")[0] == 0
    assert molspace("data", "list")[0] == 2
    assert not proof.exists()


def test_without_a_lab_file_each_command_says_how_to_name_one(molspace):
    for command in ("allow", "deny"):
        code, _, err = molspace("lab", command)
        assert code == 3
        assert f"molspace lab {command} FILE" in err


def test_allow_lists_what_a_lab_names_and_deny_takes_it_back(molspace):
    Path("molspace.toml").write_text(
        REMOTE + '[spaces.X]\nuri = "hf:org/name"\n[spaces.Y]\nuri = "laion_clap:./a.pt"\n'
    )
    assert molspace("spaces")[0] == 2
    code, out, err = molspace("lab", "allow")
    assert (code, out) == (0, "")
    assert (
        'corpora.text.path = "https://127.0.0.1:9/a.txt": remote place https://127.0.0.1:9' in err
    )
    assert 'spaces.X.uri = "hf:org/name": model, whose repository may bring code' in err
    assert "unpickled" in err
    assert molspace("spaces")[0] == 0
    assert molspace("lab", "deny")[0] == 0
    code, _, err = molspace("spaces")
    assert code == 2
    assert "you denied it" in err
    body = json.loads(molspace("lab", "allow", "--json")[1])
    assert [entry["key"] for entry in body["names"]] == [
        "corpora.text.path",
        "spaces.X.uri",
        "spaces.Y.uri",
    ]
    assert molspace("spaces")[0] == 0


def test_allow_of_another_file_or_folder(molspace):
    Path("other").mkdir()
    Path("other/molspace.toml").write_text(REMOTE)
    assert molspace("lab", "allow", "other")[0] == 0
    assert molspace("lab", "deny", "other/molspace.toml")[0] == 0
    assert molspace("lab", "allow")[0] == 3  # there is none here
    assert molspace("lab", "allow", "~no-such-user/x")[0] == 2


def test_on_a_terminal_it_is_asked(molspace, monkeypatch):
    Path("molspace.toml").write_text(REMOTE)
    options_given = []
    monkeypatch.setattr(confirm, "_somebody_is_there", lambda: True)
    monkeypatch.setattr(
        typer, "confirm", lambda text, **options: options_given.append(options) or False
    )
    assert molspace("spaces")[0] == 2
    assert options_given[0]["default"] is False
    monkeypatch.setattr(typer, "confirm", lambda text, **options: True)
    code, _, err = molspace("spaces")
    assert code == 0
    assert "https://127.0.0.1:9/a.txt" in err
    monkeypatch.setattr(typer, "confirm", refuse)
    assert molspace("spaces")[0] == 0


def test_a_process_in_a_pipe_refuses(tmp_path):
    (tmp_path / "molspace.toml").write_text(REMOTE)
    process = subprocess.run(
        [sys.executable, "-m", "molspace_cli", "spaces", "--json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (process.returncode, process.stdout) == (2, "")
