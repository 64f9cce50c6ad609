"""Items of tables: files that their columns name, and texts; a row may have several of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.types import Item, Modality
from reactions.data.manifest import Problem
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.parquet_media import FoundMedia
from reactions.data.sources.sides import file_name, named_file
from reactions.data.sources.stems import Stems
from reactions.data.sources.table_media import read_media_rows
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.text_values import captions_in
from reactions.inference.place_contents import PlaceContents
from reactions.inference.table_reading import TableReading, columns_of
from reactions.modalities.registry import get


class TableItems:
    """The items of a table, row by row.

    What belongs together has one id: that of the column of ids, where one is named, or one is
    called so and each of its ids is that of one file; else the name of the file, as the table has
    it; else the table and the number of the row, which is not an id of its own. Rows of one file
    are one item, with the captions of all of them: ``ID/0``, ``ID/1``, where there are several.

    The table is read twice, first for the ids.

    Args:
        file: a table of this machine.
        called: what the user calls it.
        modalities: that the space embeds.
        only: the modality that is taken; None takes all.
        reading: what is said of its columns.
        by_id: modalities that the space looks up by ids: their files need not be there.
        tables: remembers what earlier scans found.

    Raises:
        UsageError: it does not say what its columns hold, or holds nothing that is embedded.
        MissingError: a folder or package is missing.
        DataError: it is damaged.
    """

    def __init__(
        self,
        file: Entry,
        called: str,
        modalities: Collection[Modality],
        only: Modality | None = None,
        *,
        reading: TableReading,
        by_id: Collection[Modality] = (),
        tables: TableCache,
    ) -> None:
        self._file, self._called, self._tables = file, called, tables
        self._by_id = by_id
        self._columns = columns_of(Path(file.url), called, modalities, only, reading)
        self._folder = reading.folder and str(self._columns.folder)
        media = self._columns.media
        self._modalities = [m for m, names in media.items() for _ in names]
        self._stems = {modality: Stems(modality) for modality in media}
        self._counts: Counter[Modality] = Counter()
        self._n_repeated = 0
        self._remarks: list[str] = []
        self._id_column, self._why_ids = self._ids()
        self._n_texts = self._count_texts()

    def __iter__(self) -> Iterator[Item | Problem]:
        """Yield the items, and a problem for each row, or field of one, that cannot be one.

        Raises:
            DataError: the table is damaged, or no row is one of those that are asked for.
        """
        contents: dict[tuple[str, Modality], str] = {}
        texts_seen: Counter[str] = Counter()
        for number, row in enumerate(self._rows(self._source, self._tables), start=1):
            if row.why:
                yield Problem(0, row.place, row.why)
                continue
            key, is_own = self._key(row, number)
            at = 0
            for modality, names in self._columns.media.items():
                values = row.values[at : at + len(names)]
                at += len(names)
                if get(modality).inline:
                    yield from self._texts(key, is_own, modality, values, row, texts_seen)
                    continue
                for place, value in enumerate(values):
                    id = key if len(names) == 1 else f"{key}/{place}"
                    yield from self._medium(id, is_own, modality, value, row, contents)

    @property
    def contents(self) -> PlaceContents:
        """Which columns were read, and which were left out."""
        read = [
            f"{self._counts[modality]} {modality} (column {_quoted(names)})"
            for modality, names in self._columns.media.items()
        ]
        ids = f"ids of the column '{self._id_column}'" if self._id_column else self._why_ids
        left_out = self._columns.left_out
        left_out += (self._columns.id_column,) * (self._columns.id_column != self._id_column)
        rest = [f"left out: {', '.join(left_out)}"] if left_out else []
        if self._n_repeated:
            rest.insert(0, f"{self._n_repeated} rows name a file of a row before")
        gone = [m for m in self._columns.media if not get(m).inline and not self._counts[m]]
        rest += [f"no {m} file is there; --folder FOLDER says where they lie" for m in gone]
        remarks = dict.fromkeys([*self._columns.notices, *self._remarks])
        sentence = "; ".join([f"{self._called} holds {', '.join(read)}", ids, *rest, *remarks])
        return PlaceContents(self._called, "table", dict(self._counts), {}, sentence, left_out)

    # --- ids ---

    @property
    def _source(self) -> Source:
        return replace(self._columns.source, id_column=self._id_column)

    def _rows(self, source: Source, tables: TableCache | None) -> Iterator[TableRow]:
        modalities = [*self._modalities, *[None] * (len(source.columns) - len(self._modalities))]
        self._remarks.clear()
        return read_media_rows(
            self._file,
            source,
            modalities[: len(source.columns)],
            tables=tables,
            remarks=self._remarks,
        )

    def _ids(self) -> tuple[str, str]:
        """Return the column of ids, or "" and what stands in its place."""
        column = self._columns.id_column
        names_files = not get(self._modalities[0]).inline
        otherwise = "ids are names of files" if names_files else "ids are numbers of rows"
        if self._columns.is_id_given or not column:
            return column, otherwise
        ids_of: dict[str, str] = {}
        n_named = 0
        for number, row in enumerate(self._rows(self._columns.source, None), start=1):
            if row.why:
                continue
            n_named += 1
            name = self._name(row) or str(number)
            if ids_of.setdefault(row.id, name) != name:
                return "", f"{otherwise}: the column '{column}' repeats '{row.id[:40]}'"
        if len(set(ids_of.values())) < len(ids_of):
            return "", f"{otherwise}: some have several in the column '{column}'"
        return (column, "") if n_named else ("", f"{otherwise}: '{column}' has no ids")

    def _count_texts(self) -> Counter[str]:
        """Return how many captions each key has."""
        counts: Counter[str] = Counter()
        n_media = sum(not get(modality).inline for modality in self._modalities)
        if n_media == len(self._modalities):
            return counts
        for number, row in enumerate(self._rows(self._source, None), start=1):
            if not row.why:
                counts[self._key(row, number)[0]] += len(_captions(row.values[n_media:]))
        return counts

    def _key(self, row: TableRow, number: int) -> tuple[str, bool]:
        """Return what the items of a row are called, and whether that is an id of their own."""
        if row.id:
            return row.id, True
        name = self._name(row)
        return (name, True) if name else (f"{self._called}:{number}", False)

    def _name(self, row: TableRow) -> str:
        """Return the name of a row's first file; "" where fields hold texts, or media."""
        if get(self._modalities[0]).inline or isinstance(row.values[0], FoundMedia):
            return ""
        return file_name(row.values[0])[0]

    # --- items ---

    def _medium(
        self,
        id: str,
        is_own: bool,
        modality: Modality,
        value: object,
        row: TableRow,
        contents: dict[tuple[str, Modality], str],
    ) -> Iterator[Item | Problem]:
        if isinstance(value, FoundMedia):
            found, written = value, value.cell.tag if value.cell else value.name
        else:
            written, why = file_name(value)
            found = FoundMedia(row.place, written, why=why)
        first = contents.get((id, modality))
        if not found.why and first is not None:
            self._n_repeated += first == written
            if first != written:
                yield Problem(0, row.place, f"its id is that of '{first}', which is another file")
            return
        if not found.why:
            contents[id, modality] = written
        if modality in self._by_id and is_own:
            self._counts[modality] += 1
            yield Item(id, modality, None, is_own, self._file.url)
            return
        if not found.why and found.cell is None and found.entry is None:
            entry, why = named_file(written, self._file, self._folder, stems=self._stems[modality])
            found = FoundMedia(row.place, written, entry=entry, why=why)
        if found.why:
            yield Problem(0, row.place, found.why)
            return
        self._counts[modality] += 1
        content = found.cell or Path(found.entry.url if found.entry else written)
        yield Item(id, modality, content, is_own, self._file.url)

    def _texts(
        self,
        key: str,
        is_own: bool,
        modality: Modality,
        values: Sequence[object],
        row: TableRow,
        seen: Counter[str],
    ) -> Iterator[Item | Problem]:
        for text, why in _captions(values):
            id = key if self._n_texts[key] == 1 else f"{key}/{seen[key]}"
            seen[key] += 1
            if why:
                yield Problem(0, row.place, why)
            else:
                self._counts[modality] += 1
                yield Item(id, modality, text, is_own, self._file.url)


def _captions(values: Sequence[object]) -> list[tuple[str, str]]:
    fields: dict[int, object] = dict(enumerate(values))
    return captions_in(fields, range(len(fields)))


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
