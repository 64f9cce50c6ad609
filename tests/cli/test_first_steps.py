"""What a new user types first, and what is said where it does not fit."""

from __future__ import annotations

import io
import sys

import pytest
from in_process import runner

from molspace_cli.console import shortened


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("MOLSPACE_CACHE", str(tmp_path / "cache"))

    return runner(monkeypatch, capsys)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_show_names_a_bundle_as_show_does(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("show")

    assert code == 3
    assert "molspace show BUNDLE" in err
    assert "--space" not in err


def test_agreeing_where_there_is_no_lab_file(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    for command in ("allow", "deny"):
        code, _, err = run("lab", command)
        assert code == 3
        assert "error: there is no molspace.toml in this folder" in err
        assert "mini" not in err


def test_a_folder_that_is_not_there_is_not_taken_for_a_uri(run):
    code, _, err = run("plan", "ImageBind + Cr('./nowhere')")

    assert code == 3
    assert "there is no folder" in err
    assert "open_clip:" not in err


def test_a_bundle_that_is_not_there(run):
    for reference in ("./nowhere", "/no/where", "no/where"):
        code, _, err = run("eval", "--task", "esc50", "--space", reference)
        assert code == 3
        assert "why: there is no such folder" in err
        assert "a folder that react printed" in err
    code, _, err = run("eval", "--task", "esc50", "--space", "ImageBind + Cr(open_clip:a/b)")
    assert code == 2
    assert "^" in err  # it is the reaction that is wrong


def test_infer_alone_compares_samples_whatever_files_are_there(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "embeddings.safetensors").write_bytes(b"mine")
    monkeypatch.setattr(sys, "stdin", None)

    code, out, err = run("infer", "--space", "CLAP_m")

    assert code == 0
    assert "sample items" in err
    assert "cosines: audio x text" in out
    assert (tmp_path / "embeddings.safetensors").read_bytes() == b"mine"


@pytest.mark.parametrize("command", [["react"], ["infer"], ["spaces", "info"], ["show"]])
def test_help_has_no_types_of_python(run, command):
    _, out, _ = run(*command, "--help")

    assert not any(word in out for word in ("<str>", "<int>", "<int range>", "<list"))


def test_the_home_folder_is_short_on_a_terminal_alone(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setattr(sys, "stderr", _Terminal())
    assert shortened("bundle: /home/ada/a (in /home/adam)") == "bundle: ~/a (in /home/adam)"
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert shortened("bundle: /home/ada/a") == "bundle: /home/ada/a"
