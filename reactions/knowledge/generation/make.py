"""Knowledge bases made by a generator: estimated, asked for, and written as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from reactions.core.errors import DataError, UsageError
from reactions.core.local_files import exists, writable_folder
from reactions.knowledge.base import Description, KnowledgeMetadata, KnowledgeTable, WriterModel
from reactions.knowledge.files import check_writable_name, open_knowledge, write_knowledge
from reactions.knowledge.generation.base import GenerationStopped, Generator, shown
from reactions.knowledge.generation.engine import Engine
from reactions.knowledge.generation.jobs import DescriptionJob
from reactions.knowledge.generation.journal import SUFFIX, AnswerJournal
from reactions.knowledge.generation.screening import Rules
from reactions.knowledge.generation.settings import (
    TOKENS_PER_ATTACHMENT,
    Bounds,
    Expectation,
    expect,
    tokens_of,
)
from reactions.knowledge.generation.subjects import Outcome


@dataclass
class Made:
    """What came of a run.

    Attributes:
        path: of the knowledge base.
        table: its rows.
        outcome: what was asked, kept and dropped.
        journal: where the answers are kept, for another run to go on; None if all is there.
    """

    path: Path
    table: KnowledgeTable
    outcome: Outcome
    journal: Path | None = None

    @property
    def is_complete(self) -> bool:
        """Whether everything that was wanted is there."""
        return not self.outcome.short


@dataclass
class GenerationRun:
    """A knowledge base that is about to be made.

    Attributes:
        job: what is to be described.
        generator: by what.
        out: the file.
        bounds: of the run.
        journal: answers of earlier runs.
    """

    job: DescriptionJob
    generator: Generator
    out: Path
    bounds: Bounds
    journal: AnswerJournal
    token_limit: int
    notices: list[str] = field(default_factory=list)

    def expectation(self) -> Expectation:
        """Return what is left to do, if no row is dropped."""
        sizes: list[int] = []
        keys = {subject.key for subject in self.job.subjects}
        answered = sum(key in keys for key, _ in self.journal.answers)
        for subject in self.job.subjects:
            missing, number, batch = subject.count, 0, self.job.making.batch
            while missing > 0:
                recorded = self.journal.answers.get((subject.key, number))
                size = min(batch, missing) if recorded is None else len(recorded.rows)
                if recorded is None:
                    sizes.append(size)
                missing -= size
                number += 1
                if recorded is not None and number > subject.count:
                    break  # answers without rows
        attached = bool(self.job.modality) and not getattr(self.generator, "sees_items", False)
        tokens_in = tokens_of(self.job.example) + TOKENS_PER_ATTACHMENT * attached
        return expect(sizes, tokens_in, answered, self.bounds)

    def run(
        self,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
        on_wait: Callable[[str], None] = lambda text: None,
    ) -> Made:
        """Ask for what is missing, and write the file.

        Args:
            on_progress: see ``Engine``.
            on_wait: likewise.

        Raises:
            GenerationStopped: a bound was reached, or the generator no longer answers; what was
                answered is kept.
            MolspaceError: nothing can be asked or written, or what was written cannot be read;
                what was answered is kept.
            KeyboardInterrupt: the user ended it; what was answered is kept.
        """
        engine = Engine(
            self.generator,
            self.journal,
            self.job.making,
            self.bounds,
            on_progress=on_progress,
            on_wait=on_wait,
        )
        try:
            outcome = asyncio.run(engine.run(self.job.subjects))
        except KeyboardInterrupt:
            n_answers = len(self.journal.answers)
            raise KeyboardInterrupt(
                f"{n_answers:,} answers are kept in {self.journal.path}; the same command goes on"
                if n_answers
                else "nothing was answered yet"
            ) from None
        finally:
            self.journal.close()
        if not outcome.n_rows and outcome.failed and not self.journal.answers:
            raise GenerationStopped(
                f"{self.generator.place} gives no usable answers",
                why=f"{len(outcome.failed)} of {len(self.job.subjects)} failed; the last: "
                + list(outcome.failed.values())[-1],
                fix="the same command when it answers again",
                troubles=dict(outcome.troubles),
            )
        if not outcome.n_rows:
            reasons = {**outcome.dropped, **outcome.troubles}
            raise GenerationStopped(
                "no description is left",
                why=", ".join(f"{reason} {n:,}" for reason, n in reasons.items()),
                fix=f"look at the answers in {self.journal.path}, and change the prompt or the "
                "generator   (--restart throws them away)",
                dropped=dict(outcome.dropped),
            )
        table = KnowledgeTable(str(self.out), self._rows(outcome), self._metadata(outcome))
        write_knowledge(self.out, table.rows(), table.metadata)
        # Answers are kept until it is certain that what they became can be used.
        open_knowledge(self.out)
        complete = not outcome.short
        if complete:
            self.journal.path.unlink(missing_ok=True)
        return Made(self.out, table, outcome, None if complete else self.journal.path)

    def _rows(self, outcome: Outcome) -> Iterator[Description]:
        job = self.job
        for subject in job.subjects:
            for number, row in enumerate(outcome.rows[subject.key]):
                yield Description(
                    id=subject.key if job.modality else f"{subject.key}/{number}",
                    category=subject.category,
                    description=row.text,
                    source=job.source,
                    modality=job.modality,
                    model=row.model or self.generator.name,
                    prompt=row.prompt,
                    seed=row.seed,
                )

    def _metadata(self, outcome: Outcome) -> KnowledgeMetadata:
        model_names = dict.fromkeys(row.model for rows in outcome.rows.values() for row in rows)
        prompts = self.job.prompts
        return KnowledgeMetadata(
            dataset=self.job.dataset,
            prompts=tuple(filter(None, (*prompts.templates, prompts.system))),
            models=tuple(
                WriterModel(self.generator.name, revision, self.generator.licence)
                for revision in model_names
            ),
            token_limit=self.token_limit,
            items=self.job.items,
            dropped={reason: n for reason, n in outcome.dropped.items() if n},
        )


def begin(
    job: DescriptionJob,
    generator: Generator,
    out: Path,
    bounds: Bounds,
    *,
    rules: Rules | None = None,
    restart: bool = False,
    overwrite: bool = False,
) -> GenerationRun:
    """Prepare to make a knowledge base: nothing is asked yet.

    Args:
        job: what is to be described.
        generator: by what.
        out: ends in ``.parquet``.
        bounds: of the run.
        rules: those of the job.
        restart: throw away what earlier runs were answered.
        overwrite: replace a file that is there.

    Raises:
        UsageError: the file is there, or earlier answers are to other questions.
        DataError: the name ends in something else.
        MissingError: the generator cannot answer: a package, a key or weights are missing.
    """
    check_writable_name(out)
    path = out.with_name(out.name + SUFFIX)
    if exists(out) and not overwrite and not exists(path):
        raise UsageError(
            f"'{out}' is there already", fix="--overwrite   or another --out", path=str(out)
        )
    if out.is_dir():
        raise DataError(f"cannot write '{out}'", why="it is a folder", path=str(out))
    writable_folder(out.parent, "knowledge bases", "another --out")
    generator.prepare()
    _refuse_unanswerable(job, generator)
    journal = AnswerJournal(path, job.settings, restart=restart)
    notices = [*job.notices, *journal.notices, *generator.notices()]
    limit = (rules or Rules()).token_limit
    return GenerationRun(job, generator, out, bounds, journal, limit, notices)


def _refuse_unanswerable(job: DescriptionJob, generator: Generator) -> None:
    """Refuse what a generator knows that it can never describe.

    Raises:
        UsageError: there is something; the error names it.
    """
    why_not = getattr(generator, "why_not", None)
    if why_not is None:
        return
    reasons = {
        subject.key: why
        for subject in job.subjects
        if (why := why_not(subject.category, subject.item))
    }
    if reasons:
        first, why = next(iter(reasons.items()))
        raise UsageError(
            f"'{shown(generator)}' cannot describe '{first}'"
            + (f" and {len(reasons) - 1:,} more of '{job.dataset}'" if len(reasons) > 1 else ""),
            why=why[0],
            fix=why[1],
            generator=generator.name,
        )
