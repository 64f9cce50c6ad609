"""Messages on a terminal are wrapped between words; in a pipe a message is a line."""

import io
import sys

import pytest

from molspace_cli.console import say


class Terminal(io.StringIO):
    def isatty(self):
        return True


def said(monkeypatch, line, stream):
    # Not a fixture: pytest puts its own stream in place before each phase of a test.
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("COLUMNS", "40")
    say(line)
    return stream.getvalue()


LINE = "trains on: audio 6,000 rows (mini audio); image 6,000 rows; text 12,000 rows"


def test_lines_are_wrapped_between_words(monkeypatch):
    lines = said(monkeypatch, LINE, Terminal()).splitlines()
    assert lines == [
        "trains on: audio 6,000 rows (mini",
        "  audio); image 6,000 rows; text 12,000",
        "  rows",
    ]


@pytest.mark.parametrize(
    "line", ["  fix: " + "word " * 20 + "x", '{"a": "' + "b " * 40 + '"}', "x" * 90]
)
def test_commands_objects_and_endless_words_stay_whole(monkeypatch, line):
    assert said(monkeypatch, line, Terminal()) == f"{line}\n"


def test_a_pipe_gets_whole_lines(monkeypatch):
    assert said(monkeypatch, LINE, io.StringIO()) == f"{LINE}\n"
