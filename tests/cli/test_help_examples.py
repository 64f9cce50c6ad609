"""Every command's help ends with examples, and each of them is a command line that parses."""

import shlex

import pytest
import typer.main

from molspace_cli import verbosity
from molspace_cli.app import app
from molspace_cli.helptexts import prepare, split_examples


def commands():
    root = typer.main.get_command(app)

    def walk(command, path):
        below = getattr(command, "commands", {})
        if not below:
            yield path, command
        for name, subcommand in below.items():
            yield from walk(subcommand, (*path, name))

    return dict(walk(root, ()))


COMMANDS = commands()


def examples_of(command):
    return split_examples(command.help or "")[1]


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_a_command_has_examples_that_parse(path):
    examples = examples_of(COMMANDS[path])
    assert examples, "its docstring ends with 'Examples:' and command lines"
    root = typer.main.get_command(app)
    verbosity.add_options(root)
    command = root
    for name in path:
        command = command.commands[name]
    for line in examples:
        assert len(line) <= 76, "whole on a terminal of 80 columns"
        words = shlex.split(line)
        words = words[words.index("|") + 1 :] if "|" in words else words
        for sign in ("<", ">"):
            words = words[: words.index(sign)] if sign in words else words
        path_shown = path if tuple(words[1 : len(path) + 1]) == path else path[:-1]
        if path_shown != path:  # the command of a group that may be left out
            assert (path, words[1]) == (("index", "build"), "index")
        assert tuple(words[: len(path_shown) + 1]) == ("molspace", *path_shown)
        arguments = words[len(path_shown) + 1 :]
        command.make_context("molspace", list(arguments))  # raises for what it does not know


def test_examples_are_printed_as_they_stand(capsys):
    root = prepare(typer.main.get_command(app))
    with pytest.raises(SystemExit):
        root(["cache", "gc", "--help"])
    output = capsys.readouterr().out
    first, other = "molspace cache gc --older-than 30 --dry-run", "molspace cache gc --max-size 20"
    assert f"\n    {first}\n    {other}\n" in output


def test_text_without_examples_stays():
    assert split_examples("Print it.\n\nAll of it.") == ("Print it.\n\nAll of it.", [])
