"""Values of lab files, checked."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reactions.core.errors import UsageError, suggestion

_TYPE_NAMES: Mapping[type, str] = {
    bool: "true or false",
    dict: "a table",
    float: "a number",
    int: "a whole number",
    list: "a list",
    str: "a string",
}


def table_of(data: Mapping[str, Any], key: str, path: Path) -> Mapping[str, Any]:
    """Return a table of a file, empty if it is not there.

    Raises:
        UsageError: it is something else.
    """
    value = data.get(key, {})
    if not isinstance(value, Mapping):
        raise UsageError(f"{path}: '{key}' is not a table", fix=f"write [{key}]")
    return value


def typed(value: Any, wanted: type, path: Path, key: str) -> Any:
    """Return a value that has the type wanted; whole numbers count as numbers, true does not.

    Raises:
        UsageError: it has another type; the message calls it ``key``.
    """
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        raise UsageError(f"{path}: {key} must be {_TYPE_NAMES[wanted]}, not {reprlib.repr(value)}")
    return value


def check_keys(data: Any, known: Any, path: Path, prefix: str) -> None:
    """Check that a table has no unknown keys.

    Raises:
        UsageError: it has one, or is not a table.
    """
    if not isinstance(data, Mapping):
        raise UsageError(f"{path}: '{prefix.rstrip('.')}' is not a table")
    for key in data:
        if key not in known:
            raise UsageError(f"{path}: unknown key {prefix}{key}", fix=suggestion(key, list(known)))
