"""What is said of a table on the command line: columns, rows to take, where its files lie."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.local_files import expand_user, is_dir
from reactions.core.storage import entry_of
from reactions.core.types import Modality
from reactions.data.column_names import FILE_NAMES
from reactions.data.sources.config import Source
from reactions.data.sources.row_plan import composed_of
from reactions.data.sources.table_rows import read_table_rows
from reactions.modalities import registry
from reactions.modalities.suffixes import modality_of

_SAMPLED_ROWS: Final = 100


def read_columns(
    columns: Sequence[str], header: Sequence[str], table: Path, *, also: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Read ``MODALITY=COLUMN`` texts; a column may be composed of others.

    Args:
        columns: the texts.
        header: the columns that the table has.
        table: for messages.
        also: names that may stand in place of a modality's.

    Raises:
        UsageError: a text is not of this form, or names what is not there.
    """
    columns_given: dict[str, list[str]] = {}
    names = [*registry.names(), *also]
    for text in columns:
        name, equals, column = text.partition("=")
        if not equals or not column:
            raise UsageError(
                f"--columns {text}", fix="--columns MODALITY=COLUMN, such as audio=wav"
            )
        if name not in names:
            raise UsageError(f"--columns: '{name}' is not a modality", fix=suggestion(name, names))
        for field in composed_of(column) or [column]:
            if field not in header:
                raise no_column(field, header, table)
        columns_given.setdefault(name, []).append(column)
    return columns_given


def read_where(texts: Sequence[str], header: Sequence[str], table: Path) -> dict[str, list[str]]:
    """Read ``COLUMN=VALUE`` texts: the values by column.

    Raises:
        UsageError: a text is not of this form, or the table has no such column.
    """
    chosen: dict[str, list[str]] = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not equals or not value:
            raise UsageError(f"--where {text}", fix="--where COLUMN=VALUE, such as split=test")
        if column not in header:
            raise no_column(column, header, table)
        chosen.setdefault(column, []).append(value)
    return chosen


def folder_of(folder: str | Path, table: Path) -> Path:
    """Return the folder that a table's paths start from: beside it, if none is given.

    Raises:
        MissingError: it is not there.
    """
    if not folder:
        return table.parent
    path = expand_user(str(folder)).absolute()
    if not is_dir(path):
        raise MissingError(f"there is no folder '{path}'", fix="correct --folder", path=str(path))
    return path


def by_ending(names: Sequence[str], table: Path) -> dict[Modality, list[str]]:
    """Return a column of files by the endings of its first values; {} where they do not agree."""
    files = [name for name in names if name.casefold() in FILE_NAMES]
    if len(files) != 1:
        return {}
    rows = read_table_rows(entry_of(table), Source(columns=(files[0],)), [])
    modalities = {
        modality_of(str(row.values[0])) for row in islice(rows, _SAMPLED_ROWS) if not row.why
    }
    if len(modalities) != 1 or not (modality := modalities.pop()):
        return {}
    return {modality: files}


def no_column(column: str, header: Sequence[str], table: Path) -> UsageError:
    """Return the error for a column that a table does not have."""
    return UsageError(
        f"'{table.name}' has no column '{column}'",
        why=f"its columns: {', '.join(header)}",
        fix=suggestion(column, header),
    )
