"""Packages as installing them leaves them: their metadata, and their modules."""

import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from media_files import put


def install(
    site: Path,
    package: str,
    groups: Mapping[str, Mapping[str, str]],
    module: str = "",
) -> None:
    """Write a package of version 1.0 into a folder.

    Args:
        site: the folder, to be on the path of modules.
        package: its name.
        groups: group of entry points to their names and what they name.
        module: contents of the module of the same name; "" writes none.
    """
    lines: list[str] = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    info = site / f"{package}-1.0.dist-info"
    put(info / "entry_points.txt", "\n".join(lines) + "\n")
    put(info / "METADATA", f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    if module:
        put(site / f"{package}.py", module)


def install_example(site: Path, example: Path) -> None:
    """Install one of our examples, a folder with ``pyproject.toml`` and a module."""
    (module,) = example.glob("*.py")
    groups = tomllib.loads((example / "pyproject.toml").read_text())["project"]["entry-points"]
    install(site, module.stem, groups, module.read_text())


@contextmanager
def installing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Put a folder on the path of modules; forget afterwards what was imported from it."""
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]
