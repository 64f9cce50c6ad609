"""Messages on a terminal are wrapped between words; in a pipe a message is a line."""

import io
import json
import sys

import pytest

from molspace_cli.console import print_json, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


def shown_on(monkeypatch, line, stream):
    # Not a fixture: pytest puts its own stream in place before each phase of a test.
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "40")
    say(line)
    return stream.getvalue()


LINE = "trains on: audio 6,000 rows (mini audio); image 6,000 rows; text 12,000 rows"


def test_lines_are_wrapped_between_words(monkeypatch):
    lines = shown_on(monkeypatch, LINE, Terminal()).splitlines()
    assert lines == [
        "trains on: audio 6,000 rows (mini",
        "  audio); image 6,000 rows; text 12,000",
        "  rows",
    ]


@pytest.mark.parametrize(
    "line", ["  fix: " + "word " * 20 + "x", '{"a": "' + "b " * 40 + '"}', "x" * 90]
)
def test_commands_objects_and_endless_words_stay_whole(monkeypatch, line):
    assert shown_on(monkeypatch, line, Terminal()) == f"{line}\n"


def test_a_pipe_gets_whole_lines(monkeypatch):
    assert shown_on(monkeypatch, LINE, io.StringIO()) == f"{LINE}\n"


def test_json_has_no_numbers_that_json_has_not(capsys):
    print_json("x", {"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": 2}})
    assert json.loads(capsys.readouterr().out) == {
        "schema": "molspace.x/1",
        "a": None,
        "b": [None, 1.5],
        "c": {"d": 2},
    }
