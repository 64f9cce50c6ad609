"""What an argument that stands for many items held, and what of it was left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class PlaceContents:
    """What was found at one argument.

    Attributes:
        place: the argument, or the name of the file.
        kind: of place.
        taken: how many were taken: items by modality, or ``files`` of a folder or pattern.
        left_out: how many files were not, by their endings.
        sentence: all of it, for people; of many endings it names the most frequent.
        columns_left_out: columns of a table that were not read.
    """

    place: str
    kind: Literal["folder", "pattern", "tar", "parquet", "table"]
    taken: Mapping[str, int]
    left_out: Mapping[str, int]
    sentence: str
    columns_left_out: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.sentence

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        facts: dict[str, Any] = {
            "input": self.place,
            "kind": self.kind,
            "taken": dict(self.taken),
            "left_out": dict(self.left_out),
        }
        if self.kind in ("parquet", "table"):
            facts["columns_left_out"] = list(self.columns_left_out)
        return facts
