"""``{"bytes": ..., "path": ...}``: the form in which Hugging Face data sets keep media."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reactions.core.errors import MediaError
from reactions.core.types import Modality


def is_media_struct(value: object) -> bool:
    """Return whether a value has the form of such a struct."""
    return isinstance(value, Mapping) and bool(value) and set(value) <= {"bytes", "path"}


def value_of(struct: Mapping[str, Any], modality: Modality) -> bytes | Path:
    """Return what a struct holds, still encoded: its bytes, or, where there are none, its path.

    Args:
        struct: with ``bytes``, ``path`` or both; the path of bytes is only their name.
        modality: of the media, for messages.

    Raises:
        MediaError: it holds neither, or values of other types.
    """
    encoded, path = struct.get("bytes"), struct.get("path")
    if isinstance(encoded, bytes | bytearray | memoryview):
        if not len(encoded):
            raise MediaError(f"the {modality} has 0 bytes", path=str(path or ""))
        return bytes(encoded)
    if encoded is not None:
        raise MediaError(
            f"the bytes of the {modality} are of the type {type(encoded).__name__}",
            why="a struct of media has {'bytes': bytes or None, 'path': text or None}",
            path=str(path or ""),
        )
    if isinstance(path, str | Path) and str(path):
        return Path(path)
    raise MediaError(
        f"the {modality} has neither bytes nor a path",
        why="a struct of media has {'bytes': bytes or None, 'path': text or None}",
        fix="leave the row out",
    )
