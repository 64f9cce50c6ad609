"""Choices that are kept in the cache: made again if their file is lost, damaged or read-only."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from reactions.core.paths import cache_root

_FORMAT = 1


class KeptChoices:
    """A JSON file of choices about one thing, such as a device.

    Args:
        subject: a folder of the cache.
        name: of the thing; what a file cannot be called becomes a hyphen.
    """

    def __init__(self, subject: str, name: str) -> None:
        self.path = (
            cache_root() / subject / (re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") + ".json")
        )

    def get(self, key: str) -> dict[str, Any]:
        """Return what was kept under a key; empty if nothing was, or it cannot be read."""
        return self.all().get(key, {})

    def keep(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep something as JSON; where nothing can be written, nothing is kept."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            choices = self.all() | {key: dict(entry)}
            text = json.dumps({"format": _FORMAT, "choices": choices}, indent=1)
            folder = self.path.parent
            with tempfile.NamedTemporaryFile("w", dir=folder, delete=False) as stream:
                stream.write(text + "\n")
            # Whole or not at all: other processes read it meanwhile.
            Path(stream.name).replace(self.path)

    def all(self) -> dict[str, dict[str, Any]]:
        """Return what was kept, by key."""
        try:
            content = json.loads(self.path.read_text())
            choices = content["choices"] if content["format"] == _FORMAT else {}
            return {key: entry for key, entry in choices.items() if isinstance(entry, dict)}
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            return {}
