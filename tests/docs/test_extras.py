"""Extras: each has a line in docs/install.md, and messages name only those that exist."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOR_USERS = set(EXTRAS) - {"test"}
CODE = [path for top in ("reactions", "molspace_cli") for path in (ROOT / top).rglob("*.py")]
PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
_NAMED = re.compile(r"(?:molspace|(?<=[ \"'])\.)\[([a-z][a-z,\- ]*)\]")


def parts(extra):
    """Return the extras of ours that an extra takes in."""
    required = [Requirement(text) for text in EXTRAS[extra]]
    return {
        name
        for requirement in required
        if requirement.name == "molspace"
        for name in requirement.extras
    }


def test_every_extra_has_a_line_and_every_line_an_extra():
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8")
    lines = set(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE))
    assert lines == FOR_USERS


def test_all_has_all_and_paper_has_what_published_models_need():
    reached = parts("all") | parts("paper")
    assert reached | {"all"} == FOR_USERS
    others = {"all", "paper", "lora", "video", "report", "map", "track", "generate", "pandas"}
    others |= {"search", "serve", "export", "media", "jpeg", "mteb", "ray", "sentence-transformers"}
    others |= {"s3", "datasets"}
    others |= {"lance"}
    assert parts("paper") == FOR_USERS - others


@pytest.mark.parametrize("path", [*CODE, *PAGES], ids=lambda path: path.name)
def test_extras_that_are_named_exist(path):
    text = path.read_text(encoding="utf-8")
    names_used = {name.strip() for names in _NAMED.findall(text) for name in names.split(",")}
    assert names_used <= set(EXTRAS)


def test_extras_that_code_asks_for_exist():
    """The third argument of what checks for packages, and constants called EXTRA."""
    extras_asked = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="need_package" | "import_package")):
                    extra = node.args[2:3] + [k.value for k in node.keywords if k.arg == "extra"]
                    extras_asked |= {
                        constant.value for constant in extra if isinstance(constant, ast.Constant)
                    }
                case ast.Assign(
                    targets=[ast.Name(id="EXTRA")], value=ast.Constant(value=str(name))
                ):
                    extras_asked.add(name)
    assert {"hf", "track"} <= extras_asked
    assert extras_asked <= FOR_USERS


def test_tests_take_the_versions_that_users_get():
    floors = {}
    for extra in FOR_USERS - {"all", "paper"}:
        for text in EXTRAS[extra]:
            floors.setdefault(Requirement(text).name, str(Requirement(text).specifier))
    for text in EXTRAS["test"]:
        required = Requirement(text)
        assert str(required.specifier) == floors.get(required.name, str(required.specifier)), text
