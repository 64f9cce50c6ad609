"""Options of ``eval`` for tables of one's own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from molspace_cli import options
from molspace_cli.groups import Group
from molspace_cli.input_tables import Columns, Folder, IdColumn, Where

if TYPE_CHECKING:
    from reactions.eval.task import Task
    from reactions.session import Session


@dataclass(frozen=True)
class TableOptions(Group):
    """A table of pairs, or of labelled items."""

    pairs: Annotated[
        str | None,
        typer.Option(
            "--pairs",
            metavar="FILE",
            help="Score retrieval, both ways, on a table (csv, tsv, jsonl, parquet) with a pair a "
            "row: a column for each of two modalities, of paths or texts. Also annotations: json "
            "of COCO, Karpathy and others, lists of captions.",
        ),
    ] = None
    labels: Annotated[
        str | None,
        typer.Option(
            "--labels",
            metavar="FILE",
            help="Score classification on a table with a file and its class in each row.",
        ),
    ] = None
    columns: Columns = None
    template: options.ClassTemplates = None
    id: IdColumn = None
    by_id: Annotated[
        bool,
        typer.Option(
            "--by-id",
            help="Columns hold ids of folders of embeddings, not paths or texts, and classes are "
            "the ids of their texts: no file of an item is needed.",
        ),
    ] = False
    separator: Annotated[
        str | None,
        typer.Option(
            "--separator", metavar="TEXT", help="Between several classes in one field of --labels."
        ),
    ] = None
    folder: Folder = None
    where: Where = None
    max_bad: Annotated[
        float | None,
        typer.Option(
            "--max-bad",
            metavar="SHARE",
            min=0,
            max=1,
            help="How many of the items may be unusable, such as clips that are gone.  "
            "[default: 0.01]",
        ),
    ] = None

    @property
    def is_given(self) -> bool:
        """Whether there is a table."""
        return self.pairs is not None or self.labels is not None

    def add_to(self, session: Session) -> tuple[Session, tuple[Task, ...], list[str]]:
        """Return a session whose lab has the tables as tasks, these, and what to say of them.

        Raises:
            UsageError: options do not go together, or a table is not clear.
        """
        from reactions.core.errors import UsageError
        from reactions.labs.table_tasks import table_task

        about = (
            *(self.columns, self.template, self.id, self.separator),
            *(self.folder, self.where, self.by_id or None, self.max_bad),
        )
        is_said = any(value is not None for value in about)
        if not self.is_given:
            if is_said:
                raise UsageError(
                    "--columns, --template, --id, --by-id, --separator, --folder, --where and "
                    "--max-bad say how a table is read",
                    fix="--pairs FILE or --labels FILE",
                )
            return session, (), []
        if self.pairs is not None and self.labels is not None and is_said:
            raise UsageError(
                "--columns and the like are of one table",
                fix="give --pairs and --labels in two runs, or describe both in a lab file",
            )
        tasks: list[Task] = []
        messages: list[str] = []
        for kind, path in (("pairs", self.pairs), ("labels", self.labels)):
            if path is None:
                continue
            added = table_task(
                session.lab,
                path,
                kind,  # type: ignore[arg-type]
                columns=self.columns or (),
                templates=self.template or (),
                id_column=self.id,
                separator=self.separator or "",
                folder=self.folder or "",
                where=self.where or (),
                by_id=self.by_id,
                max_bad=self.max_bad,
            )
            session = replace(session, lab=added.lab)
            tasks.append(added.task)
            messages += [f"note: {notice}" for notice in added.notices]
            messages.append("to keep it as a task, in molspace.toml:")
            messages.append("\n".join(f"  {line}" for line in added.toml.split("\n")))
        return session, tuple(tasks), messages
