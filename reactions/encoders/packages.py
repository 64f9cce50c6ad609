"""Optional packages that models need: whether they are installed, and their import."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from typing import Any

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra


def need_package(package: str, uri: str, extra: str = "") -> None:
    """Check that a package is installed, without importing it.

    Raises:
        MissingError: it is not; the fix names our optional dependencies that bring it.
    """
    # What is loaded first: find_spec raises ValueError over a module without a spec.
    if package not in sys.modules and importlib.util.find_spec(package) is None:
        raise _no_package(package, uri, extra, f"{package} is not installed")


def import_package(package: str, uri: str, extra: str = "") -> Any:
    """Import what a model needs.

    Args:
        package: module to import.
        uri: what needs it, for the message: a model, a file, ``"the report"``, ``"--track DIR"``.
        extra: our optional dependencies that bring it; "" where it is installed by itself.

    Raises:
        MissingError: it is not installed, or what is installed does not fit together.
    """
    need_package(package.partition(".")[0], uri, extra)
    try:
        return importlib.import_module(package)
    # Builds of torch, torchvision and torchaudio that do not belong together say so as either.
    except (ImportError, RuntimeError) as error:
        why = " ".join(str(error).split())
        raise _no_package(package, uri, extra, f"{package} cannot be loaded: {why}") from error


def _no_package(package: str, uri: str, extra: str, why: str) -> MissingError:
    fix = install_extra(extra) if extra else f"pip install {package}"
    # An option, a call or what has an article is not the name of a file or a model.
    is_name = not uri.startswith(("--", "the ", "molspace ")) and not uri.endswith("()")
    needing = f"'{uri}'" if is_name else uri
    return MissingError(f"{needing} needs the package {package}", why=why, fix=fix, package=package)
