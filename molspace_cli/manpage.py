"""The manual page, ``man molspace``, made of what ``--help`` is made of.

$ python -m molspace_cli.manpage > docs/molspace.1
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from molspace_cli import verbosity
from molspace_cli.helptexts import split_examples
from reactions.core import errors
from reactions.core.environment import VARIABLES

_EXITS = (
    (errors.EXIT_OK, "done"),
    (errors.EXIT_BUG, "a bug of molspace"),
    (errors.EXIT_USAGE, "a mistake in the command line, a reaction or a lab file"),
    (errors.EXIT_MISSING, "weights, data or a package are missing"),
    (errors.EXIT_STEP_FAILED, "a step failed, or an item was left out"),
    (errors.EXIT_INTERRUPTED, "interrupted"),
)


def manual() -> str:
    """Return the page as roff source."""
    import typer.main

    from molspace_cli.app import app

    root = typer.main.get_command(app)
    alone = list(root.params)
    verbosity.add_options(root)
    everywhere = [param for param in root.params if param not in alone]
    shared = {option for param in everywhere for option in param.opts}
    lines = [
        '.\\" Made by: python -m molspace_cli.manpage',
        '.TH MOLSPACE 1 "" molspace "User Commands"',
        ".SH NAME",
        f"molspace \\- {_text('fuse pre-trained multimodal embedding spaces with one line')}",
        ".SH SYNOPSIS",
        ".B molspace",
        "COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        *_paragraphs(root.help or ""),
        _text("Results go to stdout, messages to stderr. Options stand after their command."),
        ".SH OPTIONS",
        *_options(alone),
        ".SH OPTIONS OF EVERY COMMAND",
        *_options(everywhere),
        *_terms([("-h, --help", "Show what the command does, its options and examples.")]),
        ".SH COMMANDS",
    ]
    for path, command in _leaves(root, ()):
        body, examples = split_examples(inspect.cleandoc(command.help or ""))
        params = [param for param in command.params if not shared & set(param.opts)]
        lines += [f".SS molspace {_text(' '.join(path))}", *_paragraphs(body), *_options(params)]
        if examples:
            lines += [".PP", "Examples:", ".PP", ".EX", *map(_text, examples), ".EE"]
    lines += [".SH ENVIRONMENT", *_terms(VARIABLES.items())]
    lines += [".SH EXIT STATUS", *_terms((str(code), meaning) for code, meaning in _EXITS)]
    return "\n".join(lines) + "\n"


def _leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    below = getattr(command, "commands", {})
    if path and not below:
        yield path, command
    for name in sorted(below):
        yield from _leaves(below[name], (*path, name))


def _options(params: Iterable[Any]) -> Iterator[str]:
    """Yield a term for each parameter, from what typer's versions agree on."""
    for param in params:
        metavar = (param.metavar or param.name.upper()).strip("{}")
        if param.param_type_name == "argument":
            written = metavar
        else:
            names = ", ".join(sorted(param.opts, key=len))
            if param.secondary_opts:
                names += " / " + ", ".join(param.secondary_opts)
            takes_none = param.is_flag or getattr(param, "count", False)
            written = names if takes_none else f"{names} {metavar}"
        yield from _terms([(written, param.help or "")])


def _terms(terms: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in terms:
        yield from (".TP", f".B {_text(term)}", _text(" ".join(meaning.split())) or "\\&")


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in filter(None, text.split("\n\n")):
        yield from (".PP", _text(" ".join(paragraph.split())))


def _text(text: str) -> str:
    """Escape a line: no backslash, hyphen, dot or quote of it means something to roff."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^(?=[.'])", r"\\&", text)


if __name__ == "__main__":
    print(manual(), end="")
