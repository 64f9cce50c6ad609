"""Which rows of an output of ``infer`` are of which modality, and the ids of their items."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError
from reactions.core.types import Modality

Groups = dict[Modality, tuple[NDArray[np.int64], list[str], int]]
"""Rows, ids, and how many ids are numbers of lines, of each modality."""


@dataclass
class ItemRows:
    """What ``Groups`` holds, while lines are read."""

    # Eight bytes a row, where a list of integers takes several times that.
    rows: array[int] = field(default_factory=lambda: array("q"))
    ids: list[str] = field(default_factory=list)
    n_numbered: int = 0


def add_record(
    groups: dict[Modality, ItemRows], path: Path, record: dict[str, Any], row: int
) -> None:
    """Add a row by its id and modality (DataError without them)."""
    id, modality = record.get("id"), record.get("modality")
    if not (isinstance(id, str) and id and isinstance(modality, str) and modality):
        raise bad_line(path, row, "it needs an 'id' and a 'modality', both texts")
    group = groups.setdefault(modality, ItemRows())
    group.rows.append(row)
    group.ids.append(id)
    group.n_numbered += record.get("numbered") is True


def settled(groups: dict[Modality, ItemRows]) -> Groups:
    """Return groups that no row is added to any more."""
    return {
        modality: (np.array(group.rows, np.int64), group.ids, group.n_numbered)
        for modality, group in groups.items()
    }


def bad_line(path: Path, row: int, why: str) -> DataError:
    """Return the error for a row that infer cannot have written."""
    return DataError(
        f"cannot read line {row + 1} of '{path}'",
        why=why,
        fix="copy what infer wrote once more",
        path=str(path),
        row=row,
    )
