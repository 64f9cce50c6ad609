"""Values of records, by their JSON types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_MAX_CHARS = 4096


def a_list(what: str, value: Any) -> list[Any]:
    """Return a value that must be a list; ValueError names what is not."""
    if not isinstance(value, list):
        raise ValueError(f"{what} is {type(value).__name__}, not a list")
    return value


def a_mapping(what: str, value: Any) -> Mapping[str, Any]:
    """Return a value that must be an object; ValueError names what is not."""
    if not isinstance(value, dict):
        raise ValueError(f"{what} is {type(value).__name__}, not an object")
    return value


def a_text(what: str, value: Any, *, least: int = 0, most: int = _MAX_CHARS) -> str:
    """Return a value that must be a text of so many characters; ValueError names what is not."""
    if not isinstance(value, str) or not least <= len(value) <= most:
        raise ValueError(f"{what} is {value!r:.40}, not a text of {least} to {most:,} characters")
    return value
