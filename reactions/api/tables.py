"""Tables of a caller's own as evaluation sets."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from reactions.core.errors import UsageError
from reactions.eval.task import Task
from reactions.labs.table_tasks import Kind, table_task
from reactions.session import Session


@dataclass(frozen=True)
class GivenTables:
    """Tables to score on.

    Attributes:
        files: kind and path of each.
        columns: ``MODALITY=COLUMN`` texts.
        templates: prompts for classes.
        ids: the column of ids.
        separator: between several classes of an item.
        folder: where paths in them start.
        where: ``COLUMN=VALUE`` texts.
        by_id: whether columns hold ids of embeddings, or the modalities whose columns do.
    """

    files: tuple[tuple[Kind, str], ...]
    columns: tuple[str, ...]
    templates: tuple[str, ...]
    ids: str | None
    separator: str
    folder: str
    where: tuple[str, ...]
    by_id: bool | tuple[str, ...] = False

    @classmethod
    def of(
        cls,
        pairs: str | os.PathLike[str] | None,
        labels: str | os.PathLike[str] | None,
        columns: Mapping[str, str | Sequence[str]] | None,
        templates: Sequence[str],
        ids: str | None,
        separator: str,
        folder: str | os.PathLike[str] | None = None,
        where: Mapping[str, str | Sequence[str]] | None = None,
        by_id: bool | str | Sequence[str] = False,
    ) -> Self:
        """Read the arguments of a call.

        Raises:
            UsageError: some do not go together.
        """
        arguments: tuple[tuple[Kind, str | os.PathLike[str] | None], ...]
        arguments = (("pairs", pairs), ("labels", labels))
        files = tuple((kind, os.fspath(path)) for kind, path in arguments if path is not None)
        if isinstance(templates, str):
            raise UsageError("templates takes a list", fix='templates=["a photo of a {class}."]')
        about = bool(
            columns or templates or separator or ids is not None or folder or where or by_id
        )
        if about and not files:
            raise UsageError(
                "columns, templates, ids, by_id, separator, folder and where say how a table is "
                "read",
                fix="pairs=FILE or labels=FILE",
            )
        if about and len(files) > 1:
            raise UsageError(
                "columns and the like are of one table",
                fix="give pairs and labels in two calls, or describe both in a lab file",
            )
        return cls(
            files,
            _texts(columns or {}),
            tuple(templates),
            ids,
            separator,
            os.fspath(folder) if folder else "",
            _texts(where or {}),
            _by_id(by_id),
        )

    def add_to(self, session: Session) -> tuple[Session, tuple[Task, ...], list[str]]:
        """Return a session whose lab has the tables as tasks, these, and what was guessed.

        Raises:
            MissingError: there is no such file.
            UsageError: it is not clear which columns are meant, or one is not there.
            DataError: a table cannot be read.
        """
        tasks: list[Task] = []
        notes: list[str] = []
        for kind, path in self.files:
            loaded = table_task(
                session.lab,
                path,
                kind,
                columns=self.columns,
                templates=self.templates,
                id_column=self.ids,
                separator=self.separator,
                folder=self.folder,
                where=self.where,
                by_id=self.by_id,
            )
            session = replace(session, lab=loaded.lab)
            tasks.append(loaded.task)
            notes += loaded.notices
        return session, tuple(tasks), notes


def _by_id(by_id: bool | str | Sequence[str]) -> bool | tuple[str, ...]:
    if isinstance(by_id, bool):
        return by_id
    names = [by_id] if isinstance(by_id, str) else by_id
    if not isinstance(names, Collection) or not all(isinstance(name, str) for name in names):
        raise UsageError(f"by_id is {by_id!r}", fix='by_id=True, or modalities: by_id=["image"]')
    return tuple(names)


def _texts(values: Mapping[str, str | Sequence[str]]) -> tuple[str, ...]:
    """Return ``KEY=VALUE`` texts, several of a key that has several values."""
    return tuple(
        f"{key}={value}"
        for key, several in values.items()
        for value in ([several] if isinstance(several, str) else several)
    )
