"""The versions for machines without a GPU: CPU builds, of releases that fit together."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINES = [
    line
    for line in (ROOT / "constraints" / "cpu.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
PINS = dict(re.match(r"([\w-]+)==(\S+)", line).groups() for line in LINES if "==" in line)


def number(version):
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def test_every_pin_is_a_cpu_build_where_there_are_others():
    assert set(PINS) == {"torch", "torchvision"}
    assert all(version.endswith("+cpu") for version in PINS.values())
    assert all('sys_platform != "darwin"' in line for line in LINES if "==" in line)


def test_they_come_from_the_index_that_publishes_them():
    (index,) = (line for line in LINES if line.startswith("-"))
    assert index == "--extra-index-url https://download.pytorch.org/whl/cpu"


def test_the_pinned_torch_is_one_that_the_project_allows():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (floor,) = (text for text in project["dependencies"] if text.startswith("torch"))
    assert number(PINS["torch"]) >= number(floor.partition(">=")[2])


def test_the_pinned_torchvision_wants_the_pinned_torch():
    try:
        installed = metadata.distribution("torchvision")
    except metadata.PackageNotFoundError:
        pytest.skip("torchvision is not installed")
    if number(installed.version) != number(PINS["torchvision"]):
        pytest.skip("another torchvision is installed")
    requirement = next(text for text in installed.requires if re.match(r"torch\b", text))
    assert number(requirement) == number(PINS["torch"])


@pytest.mark.parametrize("page", ["README.md", "docs/install.md"])
def test_the_documentation_says_how(page):
    assert "pip install -c constraints/cpu.txt" in (ROOT / page).read_text(encoding="utf-8")


OLDEST = dict(
    re.match(r"([\w-]+)==(\S+)", line).groups()
    for line in (ROOT / "constraints" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    if "==" in line and not line.startswith("#")
)


def floors():
    """Return the lowest version that each package may have, by any of the project's needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for text in (*project["dependencies"], *extras["parquet"], *extras["media"], *extras["report"]):
        name, _, floor = text.partition(">=")
        yield name.partition("[")[0].lower(), floor


def test_the_oldest_versions_are_those_that_the_project_allows():
    floor_by_name = {name: floor for name, floor in floors() if name != "torch"}
    assert set(floor_by_name) <= set(OLDEST)
    for name, floor in floor_by_name.items():
        # A release of the same minor version: 1.2 was never released, 1.2.1 was.
        digits = number(floor)
        assert number(OLDEST[name])[: len(digits)] == digits, name
