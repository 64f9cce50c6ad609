"""docs/extending.md: its files are installed as they stand, and its commands run."""

import os
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from command_line import molspace
from installed import install
from media_files import image_bytes, put

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"# ([\w.]+)\n")

INTRODUCTION, *SECTIONS = re.split(r"(?m)^## ", PAGE)
SECTIONS = {section.partition("\n")[0]: section for section in SECTIONS}


def files_of(text):
    """Return name to content of the files of a section."""
    blocks = ((_NAME.match(body), body) for kind, body in _BLOCK.findall(text) if kind != "console")
    return {name.group(1): body for name, body in blocks}


def commands_of(text):
    """Return the arguments of the commands of a section."""
    for kind, body in _BLOCK.findall(text):
        if kind == "console":
            yield from (line.removeprefix("$ ") for line in body.splitlines())


def install_files(folder, files):
    """Write a section's modules, and the metadata that installing its package would leave."""
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    install(folder, "mine", project["entry-points"])
    for name, body in files.items():
        put(folder / name, body)


def data(folder):
    """Write what the examples embed and are scored on."""
    put(folder / "sets/postcards/postcards.csv", "file,text\na.png,sea\nb.png,hills\n")
    put(folder / "sea.pal", "0044ff\n00ffcc\n")
    for seed, name in enumerate("ab"):
        put(folder / f"sets/postcards/images/{name}.png", image_bytes(seed))


@pytest.mark.parametrize("section", SECTIONS)
def test_the_example_works_as_it_stands(section, tmp_path):
    files = {**files_of(INTRODUCTION), **files_of(SECTIONS[section])}
    install_files(tmp_path, files)
    data(tmp_path)
    commands = list(commands_of(SECTIONS[section]))
    assert commands
    for command in commands:
        assert command.startswith("molspace ")
        result = molspace(
            *shlex.split(command)[1:],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout


def test_every_group_has_a_section_and_an_example():
    groups = set(re.findall(r"`(molspace\.\w+)`", INTRODUCTION))
    groups_shown = set(re.findall(r'entry-points\."?(molspace\.\w+)', PAGE))
    assert groups == groups_shown
