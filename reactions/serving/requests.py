"""Requests in JSON, read strictly: what is unknown or of another type is refused."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from reactions.core.errors import UsageError, suggestion
from reactions.products.tree import Adjustment
from reactions.serving.bench import Bench, Probe
from reactions.serving.factors import read_adjustment
from reactions.serving.limits import TooLarge

_SETTINGS = ("sigma", "lambda", "experts")
_QUERY = 'give "text", "upload", or "index", "modality" and "number"'


def read_object(content: bytes, keys: Collection[str]) -> dict[str, Any]:
    """Read the body of a request.

    Raises:
        UsageError: it is not a JSON object, or has other keys.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError("the request is not JSON", why=str(error)[:200]) from None
    if not isinstance(body, dict):
        raise UsageError("the request must be a JSON object")
    return _only(body, {*keys, *_SETTINGS}, "the request")


def _only(body: dict[str, Any], keys: Collection[str], what: str) -> dict[str, Any]:
    for key in body:
        if key not in keys:
            raise UsageError(f"{what} has no '{key[:80]}'", fix=suggestion(key[:80], keys))
    return body


def read_settings(bench: Bench, body: dict[str, Any]) -> Adjustment:
    """Read factors and experts, and check that they fit the product.

    Raises:
        UsageError: they do not.
    """
    adjustment = read_adjustment(
        bench.target.space, body.get("sigma"), body.get("lambda"), body.get("experts")
    )
    bench.acting(adjustment)
    return adjustment


def read_asked(bench: Bench, value: Any) -> Probe:
    """Read what is asked about.

    Raises:
        UsageError: it is nothing, or too long.
        NotThere: it is a file that is no longer held.
    """
    if not isinstance(value, dict):
        raise UsageError("there is no query", fix=_QUERY)
    _only(value, ("text", "upload", "index", "modality", "number"), "a query")
    kinds = [name for name in ("text", "upload", "number") if name in value]
    if len(kinds) != 1:
        raise UsageError("a query is one thing", fix=_QUERY)
    if kinds == ["text"]:
        text = _string(value, "text")
        if not bench.takes_text:
            raise UsageError("this space does not embed text", fix="drop a file")
        if not text.strip():
            raise UsageError("the text is empty", fix="type something")
        if len(text) > bench.limits.text:
            raise TooLarge(
                f"the text has {len(text)} characters",
                why=f"at most {bench.limits.text} are taken",
                fix="shorten it",
            )
        return Probe("text", "text", text=text)
    if kinds == ["upload"]:
        upload = bench.uploads.get(_string(value, "upload"))
        return Probe("upload", upload.modality, upload=upload)
    return Probe(
        "item",
        _string(value, "modality"),
        index=integer(value, "index", 0, low=0, high=1 << 20),
        number=integer(value, "number", 0, low=0, high=1 << 60),
    )


def read_many(bench: Bench, value: Any, most: int) -> list[Probe]:
    """Read several things that are asked about.

    Raises:
        UsageError: they are none, or too many.
    """
    if not isinstance(value, list) or not value:
        raise UsageError("there are no items", fix=f'"items": [...], each as a query: {_QUERY}')
    if len(value) > most:
        raise TooLarge(f"{len(value)} items", why=f"at most {most} are compared", fix="take fewer")
    return [read_asked(bench, entry) for entry in value]


def integer(body: dict[str, Any], name: str, default: int, *, low: int, high: int) -> int:
    """Read a whole number.

    Raises:
        UsageError: it is something else, or out of bounds.
    """
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UsageError(f"'{name}' must be a whole number from {low} to {high}")
    return value


def names(body: dict[str, Any], name: str) -> Sequence[str] | None:
    """Read a list of names; None where it is not given.

    Raises:
        UsageError: it is something else.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise UsageError(f"'{name}' must be a list of names")
    return list(dict.fromkeys(value))


def _string(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise UsageError(f"'{name}' must be a string")
    return value
