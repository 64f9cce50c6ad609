"""Escapes in names, ids, labels and arguments reach no terminal, and odd names end no command."""

import json
import os
from pathlib import Path

import pytest
from command_line import molspace

ESC = "\x1b]0;owned\x07\x1b[2J\u202e\x9b31m"
SIGNS = ("\x1b", "\x07", "\u202e", "\x9b")


def run(cwd, *arguments, stdin=b"", encoding="utf-8"):
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    process = molspace(*arguments, cwd=cwd, stdin=stdin, env=env, is_text=False)
    out, err = (text.decode("utf-8", "replace") for text in (process.stdout, process.stderr))
    assert "Traceback" not in err
    assert not [sign for sign in SIGNS if sign in out or sign in err]
    return process.returncode, out, err


@pytest.fixture
def lab(tmp_path):
    import numpy as np

    (tmp_path / "x").mkdir()
    np.save(tmp_path / "x" / "text.npy", np.eye(3, dtype=np.float32))
    (tmp_path / "x" / "text.ids.json").write_text(json.dumps([f"{ESC}{i}" for i in range(3)]))
    text = json.dumps(ESC)
    (tmp_path / "molspace.toml").write_text(
        f"[lab]\nlabel = {text}\n[spaces.{text}]\npath = 'x'\n[spaces.X]\npath = 'x'\n"
        f"[corpora.text]\npath = {text}\n",
        encoding="utf-8",
    )
    return tmp_path


def test_names_and_labels_of_a_lab(lab):
    code, out, _ = run(lab, "spaces")
    assert code == 0
    assert r"\x1b]0;owned\x07" in out
    run(lab, "data", "list")
    run(lab, "data", "check")
    run(lab, "spaces", "info", ESC)
    body = json.loads(run(lab, "spaces", "--json")[1])
    assert ESC in [space["name"] for space in body["spaces"]]


def test_ids_as_json_lines(lab):
    query = json.dumps({"id": f"{ESC}1", "text": None}).encode()
    code, out, _ = run(lab, "infer", "--space", "X", "--format", "jsonl", stdin=query)
    assert code == 0
    assert json.loads(out)["id"] == f"{ESC}1"


@pytest.mark.parametrize(
    "arguments",
    [
        ("react", f"ImageBind + Cr({ESC})"),
        ("react", ESC),
        ("plan", f'"{ESC}"'),
        ("spaces", "info", ESC),
        ("show", ESC),
        ("data", "list", "--lab", ESC),
        ("data", "list", "--data", ESC),
        ("infer", "--space", ESC, "x"),
        ("eval", "--task", ESC),
        (ESC,),
        ("plan", f"--{ESC}"),
        ("plan", "ImageBind", "--seed", ESC),
        ("plan", "ImageBind", "--precision", ESC),
        ("push", ESC, "me/x"),
        ("pull", ESC),
    ],
)
def test_arguments(tmp_path, arguments):
    code, _, err = run(tmp_path, *arguments)
    assert code in (2, 3, 4)
    assert err
    assert run(tmp_path, *arguments, "--json")[0] in (2, 3, 4)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("react", b"\xff\xfe"),
        ("plan", b"ImageBind + Cr(\xff)"),
        ("spaces", "info", b"\xff:\xfe"),
        ("show", b"\xff"),
        ("data", "list", "--lab", b"\xff.toml"),
        (b"\xff",),
    ],
)
def test_arguments_that_are_not_text(tmp_path, arguments, encoding):
    assert run(tmp_path, *arguments, encoding=encoding)[0] in (2, 3, 4)


def test_a_path_in_a_pipe_keeps_its_bytes(tmp_path):
    folder = os.fsencode(tmp_path) + b"/s\xff"
    process = molspace("lab", "sample", "--out", folder, is_text=False)
    assert process.returncode == 0, process.stderr
    assert Path(os.fsdecode(process.stdout.strip())).is_file()
