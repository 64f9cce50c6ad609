"""The items of evaluation sets of one's own, good and bad, from a table or from folders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.errors import DataError
from reactions.core.file_names import as_stored, nfc
from reactions.core.local_files import is_dir, is_file
from reactions.core.storage import entry_of, walk
from reactions.core.types import Modality
from reactions.data.sources.captions import captions_in
from reactions.data.sources.sides import Side, file_name, set_apart
from reactions.data.sources.table_rows import SUFFIXES, TableRow, read_table_rows
from reactions.eval.own_set import OwnSet
from reactions.eval.registry import Folders
from reactions.modalities.registry import get
from reactions.modalities.suffixes import sort_out


class ItemReader:
    """Reads the items of one set; no file of a medium is opened yet.

    Args:
        own: the set.
        folders: where it may lie.

    Attributes:
        table: the file that lists the items; None for folders.
        remarks: what was guessed of the table.

    Raises:
        MissingError: the table, or the folder of its files, is not there.
        DataError: the table is of another kind.
    """

    def __init__(self, own: OwnSet, folders: Folders) -> None:
        self._own = own
        self._folders = folders
        self.remarks: list[str] = []
        self.table: Entry | None = None
        if own.table:
            path = own.find(own.table, folders)
            if path.suffix.lower() not in SUFFIXES or not is_file(path):
                raise DataError(
                    f"cannot read '{path}' as the table of task '{own.task.name}'",
                    why=f"it does not end in {', '.join(SUFFIXES)}",
                    fix='folders of files need no path, but one a modality: audio = "sounds"',
                    path=str(path),
                )
            self.table = entry_of(path)
            self._media_folder = own.find(own.folder, folders) if own.folder else path.parent

    def pairs(self) -> tuple[Side, Side]:
        """Return left and right items of retrieval; the owner of each right one is a left one.

        Raises:
            MissingError: a folder is not there.
            DataError: the table is damaged, a folder has two files of one name, or it is empty.
        """
        left, right = self._folder_pairs() if self.table is None else self._table_pairs()
        self._refuse_empty(left)
        return left, right

    def labelled(self) -> Side:
        """Return the items of a classification with their classes; good ones have at least one.

        Raises:
            MissingError: the folder is not there.
            DataError: the table is damaged, or it is empty.
        """
        side = self._class_folders() if self.table is None else self._table_classes()
        self._refuse_empty(side)
        return side

    def id_of(self, name: str) -> str:
        """Return an item's id, which is unique among all sets."""
        return f"{self._own.task.name}/{name}"

    # --- tables ---

    def _rows(self, columns: Sequence[str | int]) -> Iterator[tuple[str, str, str, TableRow]]:
        """Yield (id, name of the file, why it has none, row); the first column names the file."""
        assert self.table is not None  # or nothing asks for rows
        source = replace(self._own.source, columns=tuple(columns))
        rows = read_table_rows(self.table, source, self.remarks)
        for number, row in enumerate(rows, start=1):
            name, why = "", row.why
            if not why:
                name, why = file_name(row.values[0])
            yield self.id_of(row.id or name or f"row {number}"), name, why, row

    def _table_pairs(self) -> tuple[Side, Side]:
        (query, (column, *_)), (other, columns) = self._own.media
        left, right = Side(query), Side(other)
        names: dict[str, str] = {}
        n_right: dict[str, int] = {}
        inline = get(other).inline
        for id, name, why, row in self._rows((column, *columns)):
            if not why and names.setdefault(id, name) != name:
                why = f"its id is that of '{names[id]}', which is another file"
            if why:
                left.add(set_apart(id, row), row.place, why=why)
                continue
            if id not in n_right:
                n_right[id] = 0
                entry, why = self._file(name)
                left.add(id, row.place, entry=entry, why=why)
            values = dict(enumerate(row.values[1:]))
            for text, fault in captions_in(values, range(len(values))):
                right_id = f"{id}/{n_right[id]}"
                n_right[id] += 1
                if inline or fault:
                    right.add(right_id, row.place, text=text, why=fault, owner=id)
                else:
                    entry, fault = self._file(text)
                    right.add(right_id, row.place, entry=entry, why=fault, owner=id)
        return left, right

    def _table_classes(self) -> Side:
        ((modality, (column, *_)),) = self._own.media
        side = Side(modality)
        row_of: dict[str, int] = {}
        several = self._own.task.kind == "multilabel"
        for id, name, why, row in self._rows((column, *self._own.classes)):
            labels: list[str] = []
            if not why:
                labels, why = self._labels(row.values[1:])
            if not why and not several and len(labels) > 1:
                why = f'it has {len(labels)} classes; if that is meant: kind = "multilabel"'
            if not why and id in row_of:
                if several:
                    known = side.labels[row_of[id]]
                    known += [label for label in labels if label not in known]
                    continue
                why = f"'{name}' is listed twice"
            if why:
                side.add(set_apart(id, row), row.place, why=why)
                continue
            row_of[id] = len(side.ids)
            entry, why = self._file(name)
            side.add(id, row.place, entry=entry, why=why, labels=labels)
        return side

    def _labels(self, values: Sequence[object]) -> tuple[list[str], str]:
        """Return the classes in a row's columns, and why there are none."""
        columns = dict(enumerate(values))
        texts = captions_in(columns, range(len(columns)))
        separator = self._own.separator
        names = [
            part for text, _ in texts for part in (text.split(separator) if separator else [text])
        ]
        labels = list(dict.fromkeys(name.strip() for name in names if name.strip()))
        return labels, "" if labels else f"its class: {texts[0][1] or 'empty'}"

    def _file(self, name: str) -> tuple[Entry | None, str]:
        path = as_stored(self._media_folder / name)
        return (entry_of(path), "") if is_file(path) else (None, f"there is no file '{path}'")

    # --- folders ---

    def _files(self, modality: Modality, folder: str) -> tuple[Path, list[Entry], dict[str, int]]:
        """Return a folder, its files of a modality, and how many others it has, by ending."""
        path = self._own.find(folder, self._folders)
        if not is_dir(path):
            raise DataError(
                f"'{path}', of task '{self._own.task.name}', is not a folder",
                fix=f'{modality} = "FOLDER"; or, for a table: path = "{folder}", and '
                f'{modality} = "COLUMN"',
                path=str(path),
            )
        everything = walk(str(path))
        return path, *sort_out(everything, modality)

    def _class_folders(self) -> Side:
        ((modality, (folder, *_)),) = self._own.media
        path, files, others = self._files(modality, str(folder))
        side = Side(modality, others=others)
        for file in files:
            name = nfc(file.name)
            label, below, _ = name.partition("/")
            why = "" if below else f"it lies in '{path}' itself, not in the folder of a class"
            side.add(
                self.id_of(name), file.url, entry=file, why=why, labels=[label] if below else []
            )
        return side

    def _folder_pairs(self) -> tuple[Side, Side]:
        (query, (left_folder, *_)), (other, (right_folder, *_)) = self._own.media
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
        path, files, others = self._files(modality, folder)
        by_name: dict[str, Entry] = {}
        for file in files:
            name = nfc(file.name.rpartition(".")[0])
            if (first := by_name.setdefault(name, file)) is not file:
                raise DataError(
                    f"two {modality} files of task '{self._own.task.name}' are called '{name}'",
                    why=f"'{first.name}' and '{file.name}' in '{path}'",
                    fix="remove one: files are matched by their names without the ending",
                    path=str(path),
                )
        return by_name, Side(modality, others=others)

    def _refuse_empty(self, side: Side) -> None:
        if not side.ids:
            folders = [str(column) for _, columns in self._own.media for column in columns]
            raise DataError(
                f"no items of task '{self._own.task.name}'",
                why=f"'{self.table.url}' has no rows"
                if self.table
                else f"there is no {' or '.join(m for m, _ in self._own.media)} in "
                f"{' and '.join(folders)}",
                fix=f"correct [tasks.{self._own.task.name}] in the lab file",
                task=self._own.task.name,
            )
