"""Hints on how to install optional packages work without a release of molspace."""

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from reactions.core.extras import install_extra

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", [name for name in EXTRAS if name not in ("all", "paper", "test")])
def test_every_extra_is_installed_by_its_packages(extra):
    command = install_extra(extra)
    assert command.startswith("pip install ")
    for package in EXTRAS[extra]:
        assert re.match(r"[\w.-]+", package)[0] in command
    assert "molspace" not in command


def test_what_is_unknown_or_not_installed_is_taken_from_a_clone(monkeypatch):
    assert install_extra("no-such") == "pip install '.[no-such]' in a clone of molspace"

    def missing(name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(metadata, "requires", missing)
    assert install_extra("hub") == "pip install '.[hub]' in a clone of molspace"


def test_nothing_says_to_install_a_release():
    search = subprocess.run(
        ["git", "grep", "-nE", r"pip install ['\"]?molspace", "--", ":!tests", ":!CHANGELOG.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert search.stdout == ""
