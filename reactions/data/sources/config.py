"""Where items come from, in words of a lab file; nothing here looks at a disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from reactions.data.hub.config import DatasetPlace
from reactions.modalities.base import CheckDepth

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with a scan's progress: what is scanned, how much is done, how much there is (or 0)."""


COLUMNS = ("caption", "captions", "text", "texts", "sentence", "description", "title")
"""Where captions are looked for, the first that is there, when a lab file names no column."""

MAX_BAD = 0.01
"""Share of a source's items that may be unusable."""


def silent(what: str, done: int, total: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where items of one modality come from, as a lab file says.

    Attributes:
        paths: absolute paths, URLs or patterns of files, shards and folders, in order.
        manifest: a manifest instead.
        dataset: a data set of the hub instead, or a folder that looks like one.
        columns: columns or keys that hold captions, or their numbers in a table, from 0; ()
            looks for the usual names.
        where: of the rows of a table, those are taken that have in each of these columns one of its
            values.
        id_column: column or key that holds ids, or its number; "" numbers the rows.
        header: whether the first row of a csv or tsv file names its columns.
        delimiter: of a csv or tsv file; "" chooses it by suffix and first line.
        quoted: whether its fields may be quoted; None is yes, but for tabs, and a quoted field
            whose lines look like rows is not one.
        member: name of the file in a sample of a shard, such as ``"left.jpg"``; "" takes the
            only one of its kind.
        skip: ids to leave out.
        max_bad: share of items that may be left out because they cannot be used.
        check: how hard to look for damage, at least: what an earlier, harder look found in
            files that did not change since is left out as well.
    """

    paths: tuple[str, ...] = ()
    manifest: Path | None = None
    dataset: DatasetPlace | None = None
    columns: tuple[str | int, ...] = ()
    where: tuple[tuple[str | int, tuple[str, ...]], ...] = ()
    id_column: str | int = ""
    header: bool = True
    delimiter: str = ""
    quoted: bool | None = None
    member: str = ""
    skip: frozenset[str] = field(default=frozenset())
    max_bad: float = MAX_BAD
    check: CheckDepth = "header"
