"""How optional packages are installed: by their own names, wherever molspace is from."""

from __future__ import annotations

import re
from importlib import metadata

_EXTRA = re.compile(r"extra\s*==\s*['\"]([\w-]+)['\"]")


def install_extra(extra: str) -> str:
    """Return the command that installs what one of our extras brings.

    Args:
        extra: its name in ``pyproject.toml``.
    """
    try:
        requirements = metadata.requires("molspace") or []
    except metadata.PackageNotFoundError:  # run from a checkout that was never installed
        requirements = []
    needed = []
    for requirement in requirements:
        package, _, marker = requirement.partition(";")
        condition = _EXTRA.search(marker)
        if condition and condition[1] == extra:
            package = package.strip()
            needed.append(f"'{package}'" if re.search(r"[<>=\[]", package) else package)
    if not needed:
        return f"pip install '.[{extra}]' in a clone of molspace"
    return f"pip install {' '.join(needed)}"
