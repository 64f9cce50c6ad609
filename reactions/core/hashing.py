"""Digests: canonical JSON for keys, streamed SHA-256 for files.

A preimage is type-tagged canonical JSON, so that ``1``, ``1.0`` and ``"1"`` never
collide and the order in which a mapping was filled never matters.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

JSON = Any
_CHUNK_BYTES = 1 << 20


def canonical(value: JSON) -> str:
    """Serialise a JSON-able value to its one canonical text.

    Mappings are sorted by key, floats are written with ``repr`` (and so differ
    from integers), tuples count as lists.

    Raises:
        TypeError: the value is not JSON-able, or a float is not finite.
    """
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _plain(value: JSON) -> JSON:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{value!r} has no canonical form")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"mapping key {key!r} is not a string")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no canonical form")


def digest(tag: str, value: JSON) -> str:
    """Return the SHA-256 (64 hex digits) of a tagged canonical value.

    Args:
        tag: names what is hashed (``"step"``, ``"corpus"``), so that equal values
            of different kinds get different digests.
        value: anything ``canonical`` takes.
    """
    text = f"molspace:{tag}\n{canonical(value)}"
    # A path may hold bytes that are not UTF-8, which Python carries as lone surrogates.
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of a file's bytes, read in 1 MiB chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            sha.update(chunk)
    return sha.hexdigest()


def bytes_digest(data: bytes | memoryview) -> str:
    """Return the SHA-256 (64 hex digits) of bytes in memory."""
    return hashlib.sha256(data).hexdigest()
