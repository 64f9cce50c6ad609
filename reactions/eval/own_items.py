"""The items of evaluation sets of one's own, good and bad, from a table or from folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reactions.core.addresses import Entry, is_url
from reactions.core.errors import DataError
from reactions.core.file_names import nfc
from reactions.core.local_files import is_dir, is_file
from reactions.core.storage import walk
from reactions.core.types import Modality
from reactions.data.path_like import file_reason, path_reason
from reactions.data.scan_cache import TableCache
from reactions.data.sources.captions import prefixes_of
from reactions.data.sources.config import OnProgress, silent
from reactions.data.sources.parquet_media import FoundMedia
from reactions.data.sources.sides import Side, file_name, named_file, set_apart
from reactions.data.sources.stems import Stems
from reactions.data.sources.table_media import read_media_rows
from reactions.data.sources.table_row import TableRow
from reactions.data.sources.table_rows import ANNOTATIONS, SUFFIXES
from reactions.data.sources.text_values import captions_in, suffix_of
from reactions.eval.listed_items import NamedPartners, RepeatedItems, ids_in
from reactions.eval.own_set import OwnSet
from reactions.eval.registry import Folders
from reactions.modalities.registry import get
from reactions.modalities.suffixes import sort_out


class ItemReader:
    """Reads the items of one set; no file of a medium is opened yet.

    Args:
        own: the set.
        folders: where it may lie.
        scans: remembers scans of media that lie in tables; None looks at no media.
        on_progress: of the progress of scans.

    Attributes:
        tables: the files that list the items; () for folders.
        remarks: what was guessed of the table.

    Raises:
        MissingError: the table, or the folder of its files, is not there.
        DataError: the table is of another kind.
    """

    def __init__(
        self,
        own_set: OwnSet,
        folders: Folders,
        *,
        scans: TableCache | None,
        on_progress: OnProgress = silent,
    ) -> None:
        self._own_set = own_set
        self._folders = folders
        self._scans = scans
        self._on_progress = on_progress
        self._media_folder = str(own_set.find(own_set.folder, folders)) if own_set.folder else ""
        self._stems = {modality: Stems(modality) for modality, _ in own_set.media}
        self.remarks: list[str] = []
        self.tables = own_set.tables(folders, self.remarks, on_progress)
        for table in self.tables:
            if suffix_of(table) not in (*SUFFIXES, *ANNOTATIONS) or not (
                is_url(table.url) or is_file(Path(table.url))
            ):
                raise DataError(
                    f"cannot read '{table.url}' as the table of task '{own_set.task.name}'",
                    why=f"it does not end in {', '.join((*SUFFIXES, *ANNOTATIONS, '.tar'))}",
                    fix='folders of files need no path, but one a modality: audio = "sounds"',
                    path=table.url,
                )

    def pairs(self) -> tuple[Side, Side]:
        """Return left and right items of retrieval; the owner of each right one is a left one.

        Raises:
            MissingError: a folder is not there.
            DataError: the table is damaged, a folder has two files of one name, or it is empty.
        """
        left, right = self._folder_pairs() if not self.tables else self._table_pairs()
        self._refuse_empty(left)
        return left, right

    def labelled(self) -> Side:
        """Return the items of a classification with their classes; good ones have at least one.

        Raises:
            MissingError: the folder is not there.
            DataError: the table is damaged, or it is empty.
        """
        side = self._class_folders() if not self.tables else self._table_classes()
        self._refuse_empty(side)
        return side

    def id_of(self, name: str) -> str:
        """Return an item's id: unique among all sets, or that of its embeddings as it is."""
        by_id = self._own_set.task.query in self._own_set.by_id
        return name if by_id else f"{self._own_set.task.name}/{name}"

    # --- tables ---

    def _rows(
        self, columns: Sequence[str | int], modalities: Sequence[Modality | None]
    ) -> Iterator[tuple[str, FoundMedia, TableRow, Entry]]:
        """Yield (id, item, row, table): the first column names the item, or holds it."""
        source = replace(self._own_set.source, columns=tuple(columns))
        kinds = [None if m in self._own_set.by_id else m for m in modalities]
        by_id = modalities[0] in self._own_set.by_id
        for table, prefix in zip(self.tables, prefixes_of(self.tables), strict=True):
            rows = read_media_rows(
                table,
                source,
                kinds,
                tables=self._scans,
                on_progress=self._on_progress,
                remarks=self.remarks,
            )
            for number, row in enumerate(rows, start=1):
                item = FoundMedia(row.place, why=row.why)
                if not row.why:
                    item = self._item(row.values[0], modalities[0], table, row.place)
                id = row.id or item.name or f"row {number}"
                yield id if by_id and item.name else self.id_of(prefix + id), item, row, table

    def _item(
        self, value: object, modality: Modality | None, table: Entry, place: str
    ) -> FoundMedia:
        """Return the item that a field names, or holds."""
        if isinstance(value, FoundMedia):
            return value
        if modality in self._own_set.by_id:
            names = ids_in([value])
            if len(names) > 1:
                return FoundMedia(place, why=f"{len(names)} ids, where an item has one")
            return FoundMedia(place, names[0][0], why=names[0][1])
        name, why = file_name(value)
        return FoundMedia(place, name, why=why) if why else self._file(name, modality, table, place)

    def _file(self, name: str, modality: Modality | None, table: Entry, place: str) -> FoundMedia:
        stems = self._stems[modality] if modality else None
        entry, why = named_file(name, table, self._media_folder, stems=stems)
        return FoundMedia(place, name, entry=entry, why=why)

    def _table_pairs(self) -> tuple[Side, Side]:
        (query, (column, *_)), (other, columns) = self._own_set.media
        left, right = Side(query), Side(other)
        items_by_id = RepeatedItems()
        n_right: dict[str, int] = {}
        by_id = self._own_set.by_id
        named = NamedPartners(query, other) if other in by_id else None
        # Texts of items that are named by their embeddings have ids like those of other sets.
        prefix = f"{self._own_set.task.name}/" if query in by_id else ""
        rows = self._rows((column, *columns), (query, *[other] * len(columns)))
        for id, item, row, table in rows:
            id, why = items_by_id.id_of(id, item, row)
            if why:
                left.add(set_apart(id, row), row.place, why=why)
                continue
            if id not in n_right:
                n_right[id] = 0
                left.add(id, row.place, entry=item.entry, cell=item.cell, why=item.why)
            else:
                items_by_id.merge(id, item, row)
            for text, media in self._partners(row.values[1:], other, table, row.place):
                right_id, why = f"{prefix}{id}/{n_right[id]}", media.why
                n_right[id] += 1
                if named is not None:
                    if named.has(id, media.name):
                        continue
                    why = why or named.why_not(id, media.name)
                    right_id = set_apart(right_id, row) if why else media.name
                right.add(
                    right_id,
                    row.place,
                    text=text,
                    entry=media.entry,
                    cell=media.cell,
                    why=why,
                    owner=id,
                )
        items_by_id.part(left)
        if named is not None:
            named.refuse_shared(self._own_set.task.name)
            self.remarks += named.remarks
        return left, right

    def _partners(
        self, values: Sequence[object], modality: Modality, table: Entry, place: str
    ) -> Iterator[tuple[str, FoundMedia]]:
        """Yield what belongs to a left item: texts, or media that fields name or hold."""
        if modality in self._own_set.by_id:
            yield from (("", FoundMedia(place, id, why=why)) for id, why in ids_in(values))
            return
        media = [value for value in values if isinstance(value, FoundMedia)]
        yield from (("", item) for item in media)
        texts = dict(enumerate(v for v in values if not isinstance(v, FoundMedia)))
        if media and not texts:
            return
        for text, why in captions_in(texts, range(len(texts))):
            if why or get(modality).inline:
                yield text, FoundMedia(place, why=why or self._why_no_text(text))
            else:
                yield "", self._file(text, modality, table, place)

    def _table_classes(self) -> Side:
        ((modality, (column, *_)),) = self._own_set.media
        side = Side(modality)
        items_by_id = RepeatedItems()
        row_of: dict[str, int] = {}
        several = self._own_set.task.kind == "multilabel"
        classes = self._own_set.classes
        for id, item, row, _ in self._rows((column, *classes), (modality, *[None] * len(classes))):
            labels: list[str] = []
            id, why = items_by_id.id_of(id, item, row)
            if not why:
                labels, why = self._labels(row.values[1:])
            if not why and not several and len(labels) > 1:
                why = f'it has {len(labels)} classes; if that is meant: kind = "multilabel"'
            why = why or next(filter(None, map(self._why_no_class, labels)), "")
            if not why and id in row_of:
                if several:
                    items_by_id.merge(id, item, row)
                    listed = side.labels[row_of[id]]
                    listed += [label for label in labels if label not in listed]
                    continue
                why = f"'{item.name or id}' is listed twice"
            if why:
                side.add(set_apart(id, row), row.place, why=why)
                continue
            row_of[id] = len(side.ids)
            side.add(id, row.place, entry=item.entry, cell=item.cell, why=item.why, labels=labels)
        items_by_id.part(side)
        return side

    def _labels(self, values: Sequence[object]) -> tuple[list[str], str]:
        """Return the classes in a row's columns, and why there are none."""
        columns = dict(enumerate(values))
        texts = captions_in(columns, range(len(columns)))
        separator = self._own_set.separator
        names = [
            part for text, _ in texts for part in (text.split(separator) if separator else [text])
        ]
        labels = list(dict.fromkeys(name.strip() for name in names if name.strip()))
        return labels, "" if labels else f"its class: {texts[0][1] or 'empty'}"

    def _why_no_text(self, text: str) -> str:
        """Return why a text is taken for a path; "" if it is none, or the set says so."""
        return self._not_taken(text, "" if self._own_set.literal else path_reason(text, None))

    def _why_no_class(self, name: str) -> str:
        """Return why a class is taken for a file's name; they may well have slashes in them."""
        return self._not_taken(name, "" if self._own_set.literal else file_reason(name))

    def _not_taken(self, text: str, reason: str) -> str:
        if not reason:
            return ""
        return (
            f"'{text[:80]}' is not taken for a text: {reason}; if it is one: literal = true under "
            f"[tasks.{self._own_set.task.name}]"
        )

    # --- folders ---

    def _files(self, modality: Modality, folder: str) -> tuple[Path, list[Entry], dict[str, int]]:
        """Return a folder, its files of a modality, and how many others it has, by ending."""
        path = self._own_set.find(folder, self._folders)
        if not is_dir(path):
            raise DataError(
                f"'{path}', of task '{self._own_set.task.name}', is not a folder",
                fix=f'{modality} = "FOLDER"; or, for a table: path = "{folder}", and '
                f'{modality} = "COLUMN"',
                path=str(path),
            )
        everything = walk(str(path))
        return path, *sort_out(everything, modality)

    def _class_folders(self) -> Side:
        ((modality, (folder, *_)),) = self._own_set.media
        path, files, other_kinds = self._files(modality, str(folder))
        side = Side(modality, others=other_kinds)
        for file in files:
            name = nfc(file.name)
            label, below, _ = name.partition("/")
            why = "" if below else f"it lies in '{path}' itself, not in the folder of a class"
            side.add(
                self.id_of(name), file.url, entry=file, why=why, labels=[label] if below else []
            )
        return side

    def _folder_pairs(self) -> tuple[Side, Side]:
        (query, (left_folder, *_)), (other, (right_folder, *_)) = self._own_set.media
        left_files, left = self._by_name(query, str(left_folder))
        right_files, right = self._by_name(other, str(right_folder))
        for name in sorted({*left_files, *right_files}):
            id, file, partner = self.id_of(name), left_files.get(name), right_files.get(name)
            if file is not None and partner is not None:
                left.add(id, file.url, entry=file)
                right.add(id, partner.url, entry=partner, owner=id)
                continue
            # The file that is there is listed, as what lacks its partner.
            lone, lacking = (file, other) if file is not None else (partner, query)
            assert lone is not None  # the name comes from one of the folders
            left.add(id, lone.url, why=f"there is no {lacking} called '{name}'")
        return left, right

    def _by_name(self, modality: Modality, folder: str) -> tuple[dict[str, Entry], Side]:
        path, files, other_kinds = self._files(modality, folder)
        by_name: dict[str, Entry] = {}
        for file in files:
            name = nfc(file.name.rpartition(".")[0])
            if (first := by_name.setdefault(name, file)) is not file:
                raise DataError(
                    f"two {modality} files of task '{self._own_set.task.name}' are called '{name}'",
                    why=f"'{first.name}' and '{file.name}' in '{path}'",
                    fix="remove one: files are matched by their names without the ending",
                    path=str(path),
                )
        return by_name, Side(modality, others=other_kinds)

    def _refuse_empty(self, side: Side) -> None:
        if not side.ids:
            folders = [str(column) for _, columns in self._own_set.media for column in columns]
            raise DataError(
                f"no items of task '{self._own_set.task.name}'",
                why=f"'{self.tables[0].url}' has no rows"
                if self.tables
                else f"there is no {' or '.join(m for m, _ in self._own_set.media)} in "
                f"{' and '.join(folders)}",
                fix=self._own_set.fix,
                task=self._own_set.task.name,
            )
