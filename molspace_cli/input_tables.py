"""Options that say how tables are read, by ``infer``, ``index`` and ``eval --pairs``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli.groups import Group

if TYPE_CHECKING:
    from reactions.inference.table_reading import TableReading

Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns",
        metavar="MODALITY=COLUMN",
        help="Which column of a table is what, where its name does not say it: audio=wav, "
        'text=title, class=species (of --labels), composed "audio=Y{youtube_id}.wav". Repeatable.',
    ),
]
IdColumn = Annotated[
    str | None,
    typer.Option(
        "--id", metavar="COLUMN", help="Of a table: the items' ids.  [default: file names]"
    ),
]
Folder = Annotated[
    str | None,
    typer.Option(
        "--folder",
        metavar="FOLDER",
        help="Of a table: where its paths start.  [default: beside it]",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE",
        help="Of a table: take these rows alone, such as split=test. Repeatable; several values of "
        "a column are all taken.",
    ),
]


@dataclass(frozen=True)
class InputTableOptions(Group):
    """How tables among inputs are read."""

    columns: Columns = None
    id: IdColumn = None
    folder: Folder = None
    where: Where = None

    def reading(self, inputs: Sequence[str]) -> TableReading:
        """Return what the options say of tables.

        Args:
            inputs: as they were typed.

        Raises:
            UsageError: an option says how tables are read, and no table is among the inputs.
        """
        from reactions.core.errors import UsageError
        from reactions.inference.arguments import MANIFEST_SUFFIXES
        from reactions.inference.place_kinds import TABLES, place_kind
        from reactions.inference.table_reading import TableReading

        reading = TableReading(
            tuple(self.columns or ()), self.id or "", tuple(self.where or ()), self.folder or ""
        )
        is_table = any(
            place_kind(text) == "data set"
            or text.lower().endswith((*MANIFEST_SUFFIXES, *TABLES, ".parquet"))
            for text in inputs
        )
        if reading.is_given and not is_table:
            raise UsageError(
                "--columns, --id, --folder and --where say how a table is read",
                why="no table is among the inputs",
                fix="give one: .csv, .tsv, .json, .jsonl, .parquet, or what datasets saved",
            )
        return reading
