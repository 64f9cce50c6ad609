"""Mistakes in lab files: pydantic's errors as ours, which name the file and the place in it."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from reactions.core.errors import UsageError, suggestion

_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "string_type": "a string",
}

PLACE = "{place}"
"""In a fix: stands for the place, which who raises a mistake does not know."""

_Model = TypeVar("_Model", bound=BaseModel)


def mistake(before: str, after: str, fix: str = "") -> PydanticCustomError:
    """Return what a validator raises: words before and after the place, which it does not know."""
    context = {"before": before, "after": after, "fix": fix}
    return PydanticCustomError("mistake", "{before}...{after}", context)


def checked(model: type[_Model], data: Mapping[str, Any], path: Path) -> _Model:
    """Return the tables of a file, checked.

    Args:
        model: what they may hold.
        data: the tables.
        path: the file, for errors.

    Raises:
        UsageError: a key or a value is wrong; the message names file, place and mistake.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
    what, fix = _explained(first)
    raise UsageError(f"{path}: {what}", fix=fix)


def _explained(error: ErrorDetails) -> tuple[str, str]:
    """Return what is wrong, and the fix."""
    place, value, context = _place(error["loc"]), error["input"], error.get("ctx", {})
    if error["type"] == "mistake":
        return context["before"] + (place + context["after"]).lstrip("."), context["fix"].replace(
            PLACE, place
        )
    if error["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        return f"{place} is '{value}'", suggestion(str(value), choices)
    if error["type"] == "too_short":
        return f"{place} is an empty list", ""
    if error["type"] in _TYPES:
        return f"{place} must be {_TYPES[error['type']]}, not {reprlib.repr(value)}", ""
    return f"{place}: {error['msg']}", ""


def _place(parts: tuple[int | str, ...]) -> str:
    """Return ``corpora.text[1].path``; parts that begin with ``#`` are ours: kinds of tables."""
    keys = [part for part in parts if not str(part).startswith("#")]
    # Which text of a list it is shows from the text itself.
    if len(keys) > 3 and isinstance(keys[-1], int):
        keys.pop()
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys)[1:]
