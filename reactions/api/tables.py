"""Tables of a caller's own as evaluation sets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
    """

    files: tuple[tuple[Kind, str], ...]
    columns: tuple[str, ...]
    templates: tuple[str, ...]
    ids: str | None
    separator: str

    @classmethod
    def of(
        cls,
        pairs: str | os.PathLike[str] | None,
        labels: str | os.PathLike[str] | None,
        columns: Mapping[str, str | Sequence[str]] | None,
        templates: Sequence[str],
        ids: str | None,
        separator: str,
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
        about = bool(columns or templates or separator or ids is not None)
        if about and not files:
            raise UsageError(
                "columns, templates, ids and separator describe a table",
                fix="pairs=FILE or labels=FILE",
            )
        if about and len(files) > 1:
            raise UsageError(
                "columns and the like are of one table",
                fix="give pairs and labels in two calls, or describe both in a lab file",
            )
        named_columns = [
            f"{name}={column}"
            for name, names in (columns or {}).items()
            for column in ([names] if isinstance(names, str) else names)
        ]
        return cls(files, tuple(named_columns), tuple(templates), ids, separator)

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
            )
            session = replace(session, lab=loaded.lab)
            tasks.append(loaded.task)
            notes += loaded.notices
        return session, tuple(tasks), notes
