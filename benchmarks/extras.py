"""What each extra adds to an installation: packages and megabytes on disk.

    python benchmarks/extras.py [--json FILE]

Counts what is installed beside this Python; an extra with a package that is not here has no size.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from timing import Table, parser, publish

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
NOT_FOR_USERS = ("test",)


def main() -> None:
    arguments = parser(__doc__).parse_args()
    publish([measured()], arguments)


def measured() -> Table:
    base = needed(PROJECT["dependencies"])
    rows: list[tuple[str | float | None, ...]] = []
    for extra in PROJECT["optional-dependencies"]:
        if extra not in NOT_FOR_USERS:
            whole = needed([f"{PROJECT['name']}[{extra}]"])
            added = {name: package for name, package in whole.items() if name not in base}
            missing = sorted(name for name, package in added.items() if package is None)
            size = None if missing else sum(map(megabytes, filter(None, added.values())))
            rows.append((extra, len(added), size, ", ".join(missing) or None))
    notes = ["Beside what molspace itself needs, and without compiled Python files."]
    return Table("Extras", ("extra", "packages", "MB", "not installed here"), rows, notes)


def needed(texts: Iterable[str]) -> dict[str, Distribution | None]:
    """Return what requirements bring, with all that this needs in turn; None is not installed."""
    packages: dict[str, Distribution | None] = {}
    pairs_seen: set[tuple[str, str]] = set()
    pending = [pair for text in texts for pair in asked(text, "")]
    while pending:
        name, extra = pending.pop()
        if (name, extra) in pairs_seen:
            continue
        pairs_seen.add((name, extra))
        if name == PROJECT["name"]:
            requirements = PROJECT["optional-dependencies"].get(extra, PROJECT["dependencies"])
            pending += [pair for text in requirements for pair in asked(text, extra)]
            continue
        if name not in packages:
            try:
                packages[name] = distribution(name)
            except PackageNotFoundError:
                packages[name] = None
        if package := packages[name]:
            pending += [pair for text in package.requires or () for pair in asked(text, extra)]
    return packages


def asked(text: str, extra: str) -> Iterator[tuple[str, str]]:
    """Yield (name, extra) of a requirement that holds for an extra; "" is the package alone."""
    required = Requirement(text)
    if required.marker is None or required.marker.evaluate({"extra": extra}):
        name = canonicalize_name(required.name)
        yield from ((name, extra_name) for extra_name in ("", *sorted(required.extras)))


def megabytes(package: Distribution) -> float:
    files = (file for file in package.files or () if "__pycache__" not in file.parts)
    paths = (Path(str(file.locate())) for file in files)
    return sum(path.stat().st_size for path in paths if path.is_file()) / 1e6


if __name__ == "__main__":
    main()
