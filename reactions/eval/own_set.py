"""Evaluation sets that a lab file describes without code: what they are and where they lie."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MissingError
from reactions.core.file_names import as_stored
from reactions.core.local_files import exists
from reactions.core.storage import entry_of, find
from reactions.core.types import Modality
from reactions.data.hub.files import dataset_files
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.eval.registry import Folders
from reactions.eval.task import Task


@dataclass(frozen=True, slots=True)
class OwnSet:
    """An evaluation set, as a lab file describes it.

    Attributes:
        task: its description and protocol.
        base: folder that relative paths start from, unless a folder of data has them.
        media: modality to its columns of the table; without a table, to its folder. The modality
            of the queries, or left items, comes first.
        table: a csv, tsv, jsonl or parquet file, annotations, a tar, or a pattern of parquet files
            or tars; "" for folders.
        folder: where the files lie that the table names; "" means beside it.
        classes: columns of the table that hold the class, or the classes.
        separator: what separates several classes in one field; "" where a field holds one.
        literal: whether texts and classes of the table may look like paths.
        by_id: modalities whose columns hold ids of embeddings, not texts or names of files.
        source: how the table is written, its column of ids, what is left out.
    """

    task: Task
    base: Path
    media: tuple[tuple[Modality, tuple[str | int, ...]], ...]
    table: str = ""
    folder: str = ""
    classes: tuple[str | int, ...] = ()
    separator: str = ""
    literal: bool = False
    by_id: frozenset[Modality] = frozenset()
    source: Source = field(default_factory=Source)

    def tables(
        self, folders: Folders, remarks: list[str] | None = None, on_progress: OnProgress = silent
    ) -> list[Entry]:
        """Return the files that list the items, in order; [] where folders hold them.

        Args:
            folders: where they may lie.
            remarks: gets a sentence for each thing that was chosen.
            on_progress: as a data set is fetched.

        Raises:
            MissingError: they are nowhere that they may lie, or must not be fetched now.
            UsageError: revision, configuration or split of a data set are unclear.
            DataError: a pattern names other files than parquet, or a file cannot be looked at.
        """
        if self.source.dataset is not None:
            modalities = [modality for modality, _ in self.media]
            return dataset_files(
                self.source.dataset,
                modalities,
                on_progress=on_progress,
                remarks=[] if remarks is None else remarks,
            )
        if not self.table:
            return []
        try:
            return [entry_of(self.find(self.table, folders))]
        except MissingError:
            if not any(c in self.table for c in "*?[{"):
                raise
        folder, _, pattern = self.table.rpartition("/")
        files = find(f"{self.find(folder or '.', folders)}/{pattern}")
        ending = ".tar" if self.table.endswith(".tar") else ".parquet"
        if other_file := next((file for file in files if not file.name.endswith(ending)), None):
            raise DataError(
                f"the pattern '{self.table}' of task '{self.task.name}' names '{other_file.name}'",
                why="several tables of a set are .parquet files, or all are .tar",
                path=other_file.url,
            )
        return files

    def shards(self, folders: Folders) -> list[Entry]:
        """Return the tars that hold the items; [] where a table or folders do.

        Raises:
            MolspaceError: as of ``tables``.
        """
        if not self.table.endswith(".tar") and self.source.dataset is None:
            return []
        files = self.tables(folders)
        return files if all(file.name.endswith(".tar") for file in files) else []

    @property
    def fix(self) -> str:
        """What to do where its data cannot be used."""
        if self.table and self.table == self.task.source:  # scored by itself: eval --pairs
            return f"correct '{self.table}'"
        return f"correct [tasks.{self.task.name}] in the lab file"

    @property
    def if_ids(self) -> str:
        """What to do, beside, where what was taken for names of files may be ids."""
        if not self.table or self.by_id or self.table.endswith(".tar"):
            return ""
        return "; if they are ids of embeddings: --by-id, or by_id = true in a lab file"

    def find(self, name: str, folders: Folders) -> Path:
        """Return a table or folder of the set.

        Args:
            name: a path, absolute or relative.
            folders: where the set may lie; beside the lab file comes last.

        Raises:
            MissingError: it is nowhere that it may lie.
        """
        task = self.task.name
        places = [place for folder in folders.of(task) for place in (folder / task, folder)]
        paths = dict.fromkeys(as_stored(place / name) for place in (*places, self.base))
        for path in paths:
            if exists(path):
                return path
        raise MissingError(
            f"no data for task '{task}': there is no '{name}'",
            why=f"looked for {', '.join(map(str, paths))}",
            fix=f"correct [tasks.{task}] in the lab file, or say where the set lies: "
            f'[data.{task}] with path = "FOLDER", or --data FOLDER',
            task=task,
            looked=[str(path) for path in paths],
        )
