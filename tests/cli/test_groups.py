"""Options that several commands take are declared once, and mean the same everywhere."""

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from molspace_cli.app import app
from molspace_cli.groups import Group, grouped


@dataclass(frozen=True)
class Where(Group):
    place: Annotated[str, typer.Option("--place")] = "here"
    deep: Annotated[bool, typer.Option("--deep")] = False


@dataclass(frozen=True)
class When(Where):
    hour: Annotated[int, typer.Option("--hour", min=0)] = 12


calls = []


@grouped
def command(name: str, loud: bool = False, *, when: When, last: int = 1) -> None:
    """Do it."""
    calls.append((name, loud, when, last))


def test_the_fields_of_a_group_stand_where_the_group_does():
    assert list(inspect.signature(command).parameters) == [
        *("name", "loud", "place", "deep", "hour", "last")
    ]
    assert command.__doc__ == "Do it."


def test_a_command_gets_its_group_whole():
    calls.clear()
    command("a")
    command("b", loud=True, place="there", last=2)
    small = typer.Typer()
    small.command()(command)
    assert CliRunner().invoke(small, ["c", "--deep", "--hour", "3"]).exit_code == 0
    assert CliRunner().invoke(small, ["c", "--hour", "-1"]).exit_code == 2
    assert calls == [
        ("a", False, When(), 1),
        ("b", True, When(place="there"), 2),
        ("c", False, When(deep=True, hour=3), 1),
    ]


def test_an_argument_that_nobody_declared_is_refused():
    with pytest.raises(TypeError):
        command("a", when=When())


OF_THEIR_OWN = {
    **{option: {"sweep", "tune"} for option in ("--sigma", "--lambda", "--experts")},
    "--all": {"sweep", "report"},
    "--seeds": {"sweep", "report", "reproduce unibind-findings", "reproduce unibind-curve"},
    "--from": {"reproduce unibind-findings", "reproduce unibind-curve"},
    "--only": {"reproduce unibind-findings"},
    "--overwrite": {"sweep", "report", "infer", "export", "mteb"},
    "--task": {"report"},
    "--batch-size": {"mteb"},
    "--keep": {"tune"},
    "--hit": {"reproduce unibind-table2"},
    "--space": {"reproduce unibind-zero-shot", "infer"},
    "--classes": {"kb build", "infer"},
    "--modality": {"infer", "index build", "index remove"},
    "--text": {"infer", "search"},
    "--bundle": {"search", "index remove", "index dedupe", "index compact"},
    "--corpus": {"kb describe", "index build"},
    "--prompt": {"kb build", "kb describe"},
    "--prompts": {"kb build"},
    "--token-limit": {"kb check"},
    "--dry-run": {"push"},
    "--lab": {
        *("reproduce findings", "reproduce unibind-findings", "reproduce unibind-curve"),
        *("import freebind", "import cmcr", "import exmcr", "import unibind"),
    },
    "--seed": {"lab train"},
    "--out": {
        *("export", "index build", "mteb"),
        *("sweep", "tune", "report", "infer", "import freebind", "lab sample", "lab train"),
        *("kb build", "kb describe", "kb merge", "kb export"),
        *("kb import table", "kb import unibind"),
        *(f"reproduce {name}" for name in ("all", *(f"figure{n}" for n in range(3, 7)))),
    },
}
"""Commands that mean something else by an option than the others do."""


def options_of(command, path=()):
    for name, below in getattr(command, "commands", {}).items():
        yield from options_of(below, (*path, name))
    for param in command.params:
        if param.param_type_name == "option" and path:
            yield param.opts[-1], " ".join(path), (param.help, param.metavar, param.default)


def test_an_option_means_the_same_in_every_command():
    meanings: dict = {}
    for option, path, meaning in options_of(typer.main.get_command(app)):
        if path not in OF_THEIR_OWN.get(option, ()):
            meanings.setdefault(option, {}).setdefault(str(meaning), []).append(path)
    assert len(meanings["--weights"]) == 1
    assert sum(map(len, meanings["--weights"].values())) > 8
    assert {option: paths for option, paths in meanings.items() if len(paths) > 1} == {}
