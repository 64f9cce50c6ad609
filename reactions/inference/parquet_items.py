"""Items of parquet files: media in their columns, and captions beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from reactions.core.addresses import Entry
from reactions.core.errors import UsageError
from reactions.core.storage import open_binary
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem
from reactions.data.media_columns import column_kind, feature_type
from reactions.data.parquet_rows import ParquetTable
from reactions.data.scan_cache import TableCache
from reactions.data.sources.caption_tables import caption_column
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.data.sources.text_values import row_id
from reactions.inference.place_contents import PlaceContents
from reactions.modalities.registry import get, names
from reactions.modalities.suffixes import modality_of
from reactions.modalities.text import TEXT

if TYPE_CHECKING:
    import pyarrow as pa

_IDS: Final = ("id", "key", "__key__")
"""Columns of ids."""

_BLOCK_ROWS: Final = 256
_LOOKED_AT: Final = 100
"""Rows whose names of files are looked at where a column does not say what it holds."""


class ParquetItems:
    """The items of a parquet file, by modality: media of a column each, then captions.

    An item's id is that of its row, from a column ``id``, ``key`` or ``__key__``. Without one, and
    where ids repeat or none can be used, all are called by the file and the row's number, which is
    not an id of their own.

    Args:
        file: the parquet file.
        called: what the user calls it.
        modalities: that the space embeds.
        only: the modality that is taken; None takes all.
        tables: remembers what earlier scans found.

    Raises:
        UsageError: it does not say what its columns hold, or holds nothing that is embedded.
        DataError: it is damaged.
        MissingError: pyarrow is not installed.
    """

    def __init__(
        self,
        file: Entry,
        called: str,
        modalities: Collection[Modality],
        only: Modality | None = None,
        *,
        tables: TableCache,
    ) -> None:
        self._called, self._url = called, file.url
        with open_binary(file.url) as stream:
            table = ParquetTable(file, stream, "items")
            header = list(table.schema.names)
            columns = _columns(table, only)
            id_column = next((name for name in _IDS if name in header), "")
            self._why_numbers = _why_numbers(table, id_column) if id_column else ""
        self._id_column = "" if self._why_numbers else id_column
        embedded = {m: c for m, c in columns.items() if m in modalities and only in (None, m)}
        if not embedded:
            raise UsageError(
                f"'{called}' holds nothing that the space embeds",
                why=f"its columns: {', '.join(header) or 'none'}"
                + (f"; they hold {', '.join(columns)}" if columns else "")
                + f"; the space embeds {', '.join(modalities)}",
                fix="say what its media are: --modality NAME; or name columns in a lab file, and "
                "give --corpus",
                path=file.url,
            )
        self._left_out = [
            name for name in header if name not in (*embedded.values(), self._id_column)
        ]
        self._columns = embedded
        self._corpora: list[SourceCorpus] = [
            open_corpus(
                called,
                modality,
                [
                    Source(
                        paths=(file.url,),
                        columns=(column,),
                        id_column=self._id_column,
                        max_bad=1.0,
                    )
                ],
                tables=tables,
            )
            for modality, column in embedded.items()
        ]

    def __iter__(self) -> Iterator[Item | Problem]:
        """Yield the items, and a problem for each row that cannot be one.

        Raises:
            DataError: the file has changed.
        """
        for corpus in self._corpora:
            for start in range(0, len(corpus), _BLOCK_ROWS):
                for item in corpus.items(start, start + _BLOCK_ROWS):
                    own_id = item.own_id
                    id = item.id if own_id else f"{self._called}:{item.id}"
                    yield replace(item, id=id, origin=self._url)
            for bad in corpus.bad():
                yield Problem(0, bad.place, bad.why)

    @property
    def contents(self) -> PlaceContents:
        """Which columns were read, and which were left out."""
        read = [
            f"{len(corpus)} {corpus.modality} (column '{self._columns[corpus.modality]}')"
            for corpus in self._corpora
        ]
        ids = f"ids of the column '{self._id_column}'" if self._id_column else "ids are numbers"
        ids += f": {self._why_numbers}" if self._why_numbers else ""
        rest = f"; left out: {', '.join(self._left_out)}" if self._left_out else ""
        counts = {corpus.modality: len(corpus) for corpus in self._corpora}
        sentence = f"{self._called} holds {', '.join(read)}; {ids}{rest}"
        return PlaceContents(self._called, "parquet", counts, {}, sentence, tuple(self._left_out))


def _why_numbers(table: ParquetTable, column: str) -> str:
    """Return why a column's ids cannot be those of items; "" if they can."""
    ids: set[str] = set()
    n_repeated = 0
    for number, row in enumerate(table.rows([column]), start=1):
        id, fault = row_id(row, column, number)
        if not fault:
            n_repeated += id in ids
            ids.add(id)
    if not ids:
        return f"no value of the column '{column}' is a text or a whole number"
    rows = "1 row repeats" if n_repeated == 1 else f"{n_repeated} rows repeat"
    return f"{rows} an id of the column '{column}'" if n_repeated else ""


def _columns(table: ParquetTable, only: Modality | None) -> dict[Modality, str]:
    """Return the column of each modality that a file holds.

    Raises:
        UsageError: several columns hold one modality.
    """
    columns: dict[Modality, str] = {}
    schema = table.schema
    for name in schema.names:
        modality = _modality(table, schema, name, only)
        if modality is None:
            continue
        if modality in columns:
            raise UsageError(
                f"which column holds the {modality}?",
                why=f"'{columns[modality]}' and '{name}' may be meant",
                fix=f"name it in a lab file, [corpora.{modality}] with path and column, and give "
                f"--corpus {modality} to molspace index",
            )
        columns[modality] = name
    header = list(schema.names)
    number = caption_column(header)
    if number is not None and column_kind(schema, header[number]) == "string":
        columns[TEXT.name] = header[number]
    return columns


def _modality(
    table: ParquetTable, schema: pa.Schema, name: str, only: Modality | None
) -> Modality | None:
    """Return what a column of media holds: as declared, by its name, or by its files' names."""
    kind = column_kind(schema, name)
    if kind == "other":
        return None
    declared = feature_type(schema, name)
    media = [modality for modality in names() if not get(modality).inline]
    for modality in media:
        if declared == modality or name.casefold() in {modality, *get(modality).aliases}:
            return modality
    if kind == "struct":
        modalities: set[Modality | None] = set()
        for number, row in enumerate(table.rows([name], [0] if table.group_rows else [])):
            path = (row[name] or {}).get("path")
            modalities.add(modality_of(path) if isinstance(path, str) else None)
            if number >= _LOOKED_AT:
                break
        if len(modalities) == 1 and (only_one := modalities.pop()) is not None:
            return only_one
    return only if kind != "string" and only != TEXT.name else None
