"""The environment variables that molspace reads, and the choices that some of them make.

A choice is made by an option or an argument, else by a variable, else by the lab file, else by a
default: flag > environment > ``./molspace.toml`` > default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from reactions.core.errors import MolspaceError, UsageError, did_you_mean, suggestion

AnError = TypeVar("AnError", bound=MolspaceError)

LAB: Final = "MOLSPACE_LAB"
DEVICE: Final = "MOLSPACE_DEVICE"
PRECISION: Final = "MOLSPACE_PRECISION"

PRECISIONS: Final = ("fast", "exact")

VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        LAB: "name or file of the lab, where --lab is not given",
        DEVICE: "where to run, where --device is not given",
        PRECISION: "fast or exact, where --precision is not given",
        "MOLSPACE_DATA": "folder of evaluation sets, where --data is not given",
        "MOLSPACE_WEIGHTS": "folder of weights, a folder a space",
        "MOLSPACE_CACHE": "folder, or URL, of results that can be computed again",
        "MOLSPACE_OFFLINE": "1: nothing is fetched",
        "MOLSPACE_TRUST_REMOTE_CODE": "pins of code that may run, with commas between",
        "MOLSPACE_WORKERS": "threads that prepare items",
        "XDG_CACHE_HOME": "parent of molspace's cache",
        "XDG_DATA_HOME": "parent of molspace's bundles and agreements",
    }
)
"""What users may set, and what it says. Python programs read the same."""


_PREFIX = "MOLSPACE_"


def value_of(variable: str) -> str | None:
    """Return a variable's value, without blanks around it; None if it is not set, or empty."""
    return os.environ.get(variable, "").strip() or None


def chosen_lab(given: str | None = None) -> str | None:
    """Return the lab that was given, else ``$MOLSPACE_LAB``."""
    return given if given is not None else value_of(LAB)


def chosen_precision(given: str | None = None) -> str | None:
    """Return the precision that was given, else ``$MOLSPACE_PRECISION``; None leaves the lab's.

    Raises:
        UsageError: the variable holds something else.
    """
    if given is not None:
        return given
    value = value_of(PRECISION)
    if value is None or value.lower() in PRECISIONS:
        return value and value.lower()
    raise UsageError(
        f"{PRECISION} is '{value}'", why="it sets the precision", fix=suggestion(value, PRECISIONS)
    )


def from_variable(error: AnError, variable: str) -> AnError:
    """Return an error about a value that a variable holds, naming the variable."""
    return type(error)(
        f"{variable}: {error.what}",
        why=error.why,
        fix=error.fix or f"unset {variable}",
        **error.fields,
    )


def mistyped_variables() -> dict[str, str]:
    """Return the variables that are set and are nearly called as one of ours, and which that is.

    What begins as ours and is like none of them may belong to an installed package.
    """
    known_names = [name.removeprefix(_PREFIX) for name in VARIABLES if name.startswith(_PREFIX)]
    near = {
        name: did_you_mean(name[len(_PREFIX) :], known_names, limit=1)
        for name in os.environ
        if name.upper().startswith(_PREFIX) and name not in VARIABLES
    }
    return {name: _PREFIX + names[0] for name, names in near.items() if names}
