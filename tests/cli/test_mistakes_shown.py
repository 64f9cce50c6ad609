"""Mistakes are shown in the width there is; the system's errors are not tracebacks."""

import errno
import json

import pytest
from in_process import offline_in, runner

from molspace_cli import mistakes
from reactions.core.errors import LanguageError, UsageError


@pytest.fixture
def molspace(tmp_path, monkeypatch, capsys):
    offline_in(tmp_path, monkeypatch)
    (tmp_path / "notes.txt").write_text("mine")

    return runner(monkeypatch, capsys)


LONG = "x" * 5000


@pytest.mark.parametrize(
    "line",
    [
        ("plan", LONG),
        ("plan", "ImageBind + Cr(CLAP_m)", "--lab", LONG),
        ("plan", "ImageBind + Cr(CLAP_m)", "--data", LONG),
        ("plan", "ImageBind + Cr(CLAP_m)", "--seed", LONG),
        ("data", "list", "--data", LONG),
        ("show", LONG),
        ("pull", "o/n", "--out", LONG),
        ("import", "freebind", LONG),
        ("import", "cmcr", LONG),
        ("lab", "sample", "--out", LONG),
        ("lab", "train", "--out", LONG),
    ],
)
def test_what_is_too_long_is_cut_and_no_traceback(molspace, line):
    code, out, err = molspace(*line)
    assert code in (2, 3, 4)
    assert out == ""
    assert err.startswith("error: ")
    assert max(map(len, err.splitlines())) < 600
    code, _, err = molspace(*line, "--json") if line[0] != "lab" else (2, "", "{}")
    assert line[0] == "lab" or json.loads(err.splitlines()[-1])["schema"] == "molspace.error/1"


@pytest.mark.parametrize(
    "line",
    [
        ("plan", "ImageBind + Cr(CLAP_m)", "--data", ""),
        ("data", "list", "--data="),
        ("spaces", "info", "CLAP_m", "--lab", ""),
        ("react", "ImageBind + Cr(CLAP_m)", "--out", ""),
        ("eval", "--task", ""),
        ("lab", "train", "--out", ""),
    ],
)
def test_an_option_with_an_empty_value_is_refused(molspace, line):
    code, out, err = molspace(*line)
    assert (code, out) == (2, "")
    assert " is empty\n" in err
    assert "variable of the shell" in err


@pytest.mark.parametrize("value", ["nan", "1e400", "-1"])
@pytest.mark.parametrize("option", ["--older-than", "--max-size"])
def test_numbers_that_mean_nothing_are_refused(molspace, option, value):
    code, _, err = molspace("cache", "gc", option, value)
    assert code == 2
    number = {"1e400": "inf"}.get(value, value)
    assert err.startswith(f"error: {option}: '{number}'")


@pytest.mark.parametrize("command", ["sample", "train"])
def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_computed(molspace, command):
    code, out, err = molspace("lab", command, "--out", "notes.txt/x")
    assert (code, out) == (4, "")
    assert err.startswith("error: cannot write to notes.txt/x")


def test_the_system_s_errors_name_the_path_and_the_reason():
    error = mistakes.system_error(PermissionError(errno.EACCES, "Permission denied", "/a"))
    assert error.lines()[:2] == ["cannot use '/a'", "  why: Permission denied"]
    assert error.exit_code == 4
    error = mistakes.system_error(OSError(errno.ENAMETOOLONG, "File name too long", "/a"))
    assert isinstance(error, UsageError)
    assert "report it" in mistakes.system_error(OSError("odd")).fix


@pytest.mark.parametrize("columns", [40, 80])
def test_the_caret_stays_under_the_mistake_in_a_narrow_terminal(monkeypatch, columns):
    monkeypatch.setattr(mistakes, "_columns", lambda: columns)
    text = " & ".join(f"Cr(CLAP_{i})" for i in range(40))
    for name in ("CLAP_0", "CLAP_17", "CLAP_39"):
        error = LanguageError("no", text=text, column=text.index(f"({name})") + 1, width=len(name))
        _, source, caret = mistakes.error_text(error).splitlines()
        assert max(len(source), len(caret)) <= columns
        start = caret.index("^")
        assert source[start : start + len(name)] == name
        assert caret.count("^") == len(name)


def test_a_short_source_stays_as_it_is():
    error = LanguageError("no", text="A + Cr(B)", column=7, fix="x")
    assert mistakes.error_text(error) == "error: " + "\n".join(error.lines())
