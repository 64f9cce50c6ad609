"""How tables among inputs are read: which columns hold what, which rows are taken."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from reactions.core.addresses import Entry, is_url
from reactions.core.errors import UsageError
from reactions.core.storage import open_binary
from reactions.core.text_lines import MAX_LINE_BYTES, NoLinesError, read_lines
from reactions.core.types import Modality
from reactions.data.column_names import FILE_NAMES, guessed, named_after
from reactions.data.media_columns import column_kind
from reactions.data.parquet_rows import ParquetTable
from reactions.data.sources.caption_tables import caption_column
from reactions.data.sources.config import Source
from reactions.data.sources.json_records import columns_of as fields_of
from reactions.data.sources.row_plan import composed_of
from reactions.data.sources.table_headers import header_of
from reactions.data.sources.text_values import parse_json
from reactions.labs.given_columns import by_ending, folder_of, no_column, read_columns, read_where
from reactions.labs.known_layouts import file_names, known_layout
from reactions.modalities.registry import get, names
from reactions.modalities.text import TEXT

IDS: Final = ("id", "key", "__key__")
"""Columns of ids."""


@dataclass(frozen=True)
class TableReading:
    """What is said of the tables among inputs.

    Attributes:
        columns: ``MODALITY=COLUMN`` texts; a modality may have several columns.
        id_column: of the items' ids; "" tells it by its name.
        where: ``COLUMN=VALUE`` texts: the rows that are taken.
        folder: where their paths start; "" is beside each.
    """

    columns: tuple[str, ...] = ()
    id_column: str = ""
    where: tuple[str, ...] = ()
    folder: str = ""

    @property
    def is_given(self) -> bool:
        """Whether anything is said."""
        return self != AS_NAMED


AS_NAMED: Final = TableReading()
"""Columns say by their names what they hold."""


@dataclass(frozen=True)
class TableColumns:
    """What the columns of one table hold.

    Attributes:
        header: all of its columns.
        media: columns of each modality that is read, plain or composed; captions come last.
        id_column: of ids; "" for none.
        is_id_given: whether a person named it.
        where: which rows are taken, as for ``Source``.
        folder: where its paths start.
        notices: what was guessed.
    """

    header: tuple[str, ...]
    media: Mapping[Modality, tuple[str, ...]]
    id_column: str
    is_id_given: bool
    where: tuple[tuple[str | int, tuple[str, ...]], ...]
    folder: Path
    notices: tuple[str, ...]

    @property
    def source(self) -> Source:
        """The table as a source of all these columns."""
        columns = tuple(column for names in self.media.values() for column in names)
        return Source(columns=columns, id_column=self.id_column, where=self.where)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Columns that are not read."""
        columns: list[str | int] = [*self.source.columns, *(column for column, _ in self.where)]
        read = {field for column in columns for field in composed_of(column) or [str(column)]}
        return tuple(name for name in self.header if name not in read | {self.id_column})


def columns_of(
    table: Path,
    called: str,
    modalities: Collection[Modality],
    only: Modality | None,
    reading: TableReading,
) -> TableColumns:
    """Return what a table's columns hold of what a space embeds.

    Args:
        table: on this machine.
        called: what the user calls it.
        modalities: that the space embeds.
        only: the modality that is taken; None takes all.
        reading: what is said of it.

    Raises:
        UsageError: it does not say what its columns hold, or holds nothing that is embedded.
        MissingError: a folder or package is missing.
        DataError: the table cannot be read.
    """
    header = header_of(table)
    chosen = read_where(reading.where, header, table)
    folder = folder_of(reading.folder, table)
    if reading.id_column and reading.id_column not in header:
        raise no_column(reading.id_column, header, table)
    notices: list[str] = []
    media = read_columns(reading.columns, header, table)
    if not_embedded := [m for m in media if m not in modalities or only not in (None, m)]:
        raise UsageError(
            f"'{called}': {not_embedded[0]} is not embedded",
            why=f"the space embeds {', '.join(modalities)}"
            + (f", {only} is asked for" * bool(only)),
            fix="leave its column out of --columns",
        )
    if not media:
        found = _guess(table, called, header, only, chosen, folder, notices)
        media = {m: names for m, names in found.items() if m in modalities and only in (None, m)}
        if not media:
            raise UsageError(
                f"'{called}' holds nothing that the space embeds, as far as its columns say",
                why=f"its columns: {', '.join(header) or 'none'}"
                + (f"; they hold {', '.join(found)}" if found else "")
                + f"; the space embeds {', '.join(modalities)}",
                fix="say what they hold: --columns MODALITY=COLUMN, such as --columns image=path",
                path=str(table),
            )
    # As in evaluation sets, texts come last: they are found by what they belong to.
    in_order = sorted(media, key=lambda modality: get(modality).inline)
    return TableColumns(
        tuple(header),
        {modality: tuple(media[modality]) for modality in in_order},
        reading.id_column or next((name for name in IDS if name in header), ""),
        bool(reading.id_column),
        tuple((column, tuple(values)) for column, values in chosen.items()),
        folder,
        tuple(notices),
    )


def lists_files(file: Entry) -> bool:
    """Return whether a parquet file of this machine names files, and no media lie in it.

    A column that is called by a modality's own name holds it, one way or the other.

    Raises:
        DataError: it is damaged.
        MissingError: pyarrow is not installed.
    """
    if is_url(file.url):
        return False
    with open_binary(file.url) as stream:
        schema = ParquetTable(file, stream, "items").schema
    columns = [name for name in schema.names if column_kind(schema, name) == "string"]
    if any(column_kind(schema, name) in ("struct", "bytes") for name in schema.names):
        return False
    own_names = {name for m in names() for name in (m, *get(m).aliases) if not get(m).inline}
    if any(name.casefold() in own_names for name in columns):
        return False
    by_name = any(not get(modality).inline for modality in guessed(columns))
    return by_name or bool(by_ending(columns, Path(file.url)))


def holds_records(path: Path) -> bool:
    """Return whether a file of lines holds records that are no items, but have usual columns.

    An item's line names its modality (``reactions.data.manifest``); a record may well call its file
    ``file_name`` and its text ``caption``. The first line decides.
    """
    if path.suffix.lower() not in (".jsonl", ".ndjson"):
        return False
    try:
        with path.open("rb") as stream:
            first = next((line for _, line in read_lines(stream) if line.strip()), b"")
    except (OSError, UnicodeDecodeError, NoLinesError):  # reported when it is read
        return False
    record, _ = parse_json(first) if len(first) <= MAX_LINE_BYTES else (None, "")
    if not isinstance(record, dict) or not {*record}.isdisjoint(names()):
        return False
    header = fields_of([record])
    return bool(guessed(header)) or any(name.casefold() in FILE_NAMES for name in header)


def _guess(
    table: Path,
    called: str,
    header: Sequence[str],
    only: Modality | None,
    chosen: Mapping[str, Sequence[str]],
    folder: Path,
    notices: list[str],
) -> dict[Modality, list[str]]:
    """Return columns by their names, by the endings of their values, or by a known layout.

    Raises:
        UsageError: several columns hold one modality, or files are called in several ways.
    """
    found = guessed(header)
    for modality in (only,) if only else ():
        matching = [name for name in header if named_after(modality, name)]
        if modality not in found and len(matching) > 1:
            raise UsageError(
                f"which column of '{called}' holds the {modality}?",
                why=f"{', '.join(matching)} may be meant",
                fix=f"--columns {modality}={matching[0]}",
            )
    if TEXT.name not in found and (number := caption_column(header)) is not None:
        found[TEXT.name] = [header[number]]
    if all(get(modality).inline for modality in found):
        layout = known_layout(header)
        files = [name for name in header if name.casefold() in FILE_NAMES]
        if only and not get(only).inline and len(files) == 1:
            found[only] = files
        elif ending := by_ending(header, table):
            found |= ending
        elif layout is not None and not (only and get(only).inline):
            notices.append(f"the columns are those of {layout.title}")
            found |= {modality: [column] for modality, column in layout.media.items()}
            for modality in layout.called:
                pattern, there = file_names(table, header, layout, modality, folder, chosen)
                found[modality] = [pattern]
                notices.append(f"files called {pattern}, of which {there}")
    return found
