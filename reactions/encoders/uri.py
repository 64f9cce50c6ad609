"""The options of a space's URI: ``SCHEME:REST?key=value&...``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode

from reactions.core.errors import MissingError, suggestion
from reactions.encoders.derived import OPTIONS

PRECISIONS = ("fp32", "bf16", "fp16")
"""Element types that a URI may ask a model to compute in; results are float32 always."""


def split_options(uri: str, known: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Split ``SCHEME:REST?key=value&...`` into ``REST`` and its options.

    Raises:
        MissingError: an option is unknown, or the precision is none.
    """
    rest, _, query = uri.partition(":")[2].partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    for key in options:
        if key not in known:
            raise MissingError(
                f"unknown option '{key}' in \"{uri}\"",
                fix=suggestion(key, [*known, *OPTIONS]),
                uri=uri,
            )
    precision = options.get("precision", PRECISIONS[0])
    if precision not in PRECISIONS:
        raise MissingError(
            f"unknown precision '{precision}' in \"{uri}\"",
            fix=suggestion(precision, PRECISIONS),
            uri=uri,
        )
    return rest, options


def join_options(uri: str, options: Mapping[str, str], *, precision: str = PRECISIONS[0]) -> str:
    """Return a URI with its options, sorted; without those that say nothing.

    Args:
        uri: without options.
        options: as ``split_options`` returns them.
        precision: what holds where none is said.
    """
    usual = ("precision", precision)
    kept_options = sorted((k, v) for k, v in options.items() if v and (k, v) != usual)
    return f"{uri}?{urlencode(kept_options, safe='/')}" if kept_options else uri
