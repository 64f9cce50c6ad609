"""Answers in JSON, with a schema each, and errors as what, why and fix."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from reactions.core.errors import MissingError, MolspaceError, UsageError
from reactions.serving.lanes import RETRY_AFTER_S
from reactions.serving.limits import Busy, ForeignRequest, NotThere, TooLarge

SCHEMA = 1
"""Version of every answer; raised when a field changes its meaning or goes."""

_STATUS: tuple[tuple[type[MolspaceError], int], ...] = (
    (TooLarge, 413),
    (Busy, 503),
    (ForeignRequest, 403),
    (NotThere, 404),
    (UsageError, 400),
    (MissingError, 424),
)


def json_answer(kind: str, body: Mapping[str, Any], status: int = 200) -> Response:
    """Return an answer: ``{"schema": "molspace.serve-KIND/1", ...}``."""
    text = json.dumps({"schema": f"molspace.serve-{kind}/{SCHEMA}", **body}, allow_nan=False)
    return Response(text, status, media_type="application/json")


def error_answer(error: MolspaceError, status: int | None = None) -> Response:
    """Return an error; the status is that of its type, 422 for media that cannot be used."""
    if status is None:
        status = next((code for kind, code in _STATUS if isinstance(error, kind)), 422)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    text = json.dumps({"schema": f"molspace.error/{SCHEMA}", **error.to_json()}, default=str)
    return Response(text, status, headers, "application/json")
