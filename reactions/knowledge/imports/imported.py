"""What an import gives, and what it left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reactions.core.errors import DataError
from reactions.core.types import Corpus, Modality
from reactions.data.corpora import ids_of
from reactions.data.sources.config import MAX_BAD
from reactions.knowledge.base import (
    DescribedCorpus,
    Description,
    KnowledgeMetadata,
    WriterModel,
)

_SHOWN = 3


@dataclass(frozen=True, slots=True)
class ImportedRows:
    """Rows that were read, and what a reader should know of them.

    Attributes:
        rows: in the order of the files.
        dropped: reason to the number of entries that were left out.
        remarks: what was guessed, or is odd; a sentence each.
    """

    rows: tuple[Description, ...]
    dropped: Mapping[str, int]
    remarks: tuple[str, ...]

    def metadata(
        self,
        *,
        dataset: str = "",
        token_limit: int,
        items: Mapping[Modality, DescribedCorpus] | None = None,
    ) -> KnowledgeMetadata:
        """Return what is known of the rows: the models and prompts are those that they name."""
        prompts = dict.fromkeys(row.prompt for row in self.rows if row.prompt)
        models = dict.fromkeys(row.model for row in self.rows if row.model)
        return KnowledgeMetadata(
            dataset=dataset,
            prompts=tuple(prompts),
            models=tuple(WriterModel(model) for model in models),
            token_limit=token_limit,
            items=items or {},
            dropped=self.dropped,
        )


@dataclass
class EntriesRead:
    """Counts entries as they are read, and refuses where too many cannot be used.

    Attributes:
        n: entries so far.
        n_bad: of them that cannot be used.
        faults: why an entry cannot be used, to where the first such entry lies.
        fix: what helps with the first of them; "" where entries have to be corrected.
        dropped: reason to entries that were left out.
    """

    n: int = 0
    n_bad: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    fix: str = ""
    dropped: Counter[str] = field(default_factory=Counter)

    def bad(self, place: str, why: str, fix: str = "") -> None:
        """Count an entry that cannot be used."""
        self.fix = self.fix if self.n_bad else fix
        self.n_bad += 1
        self.dropped["unusable"] += 1
        if len(self.faults) < _SHOWN:
            self.faults.setdefault(why, place)

    def _shown(self) -> str:
        return "; ".join(f"{place}: {why}" for why, place in self.faults.items())

    def check(self, what: str) -> None:
        """Refuse where more than one in a hundred entries cannot be used.

        Args:
            what: was read, for the error.

        Raises:
            DataError: there are too many, or there was nothing.
        """
        if not self.n:
            raise DataError(f"there is nothing to import in {what}", why="it has no entries")
        if self.n_bad > MAX_BAD * self.n:
            raise DataError(
                f"{self.n_bad:,} of {self.n:,} entries of {what} cannot be used",
                why=self._shown(),
                fix=self.fix or "correct them, or remove them",
                n_bad=self.n_bad,
                n_rows=self.n,
            )

    def remarks(self, what: str) -> list[str]:
        """Return a sentence for each reason that entries were left out."""
        reasons = {"unusable": self._shown(), "blank": "a blank description"}
        return [
            f"{what}: entries left out: {count:,} of {self.n:,}, for {reasons[reason]}"
            for reason, count in self.dropped.items()
        ]


def described_by(rows: Sequence[Description], corpus: Corpus, name: str) -> tuple[int, int]:
    """Count items of a corpus's modality that rows describe, and those that the corpus lacks.

    Args:
        rows: of a knowledge base.
        corpus: whose items they may describe.
        name: of the corpus, for the error.

    Returns:
        Different ids of the rows, and how many of them are in the corpus.

    Raises:
        DataError: there are no rows of its modality, or it has none of the items.
    """
    described = dict.fromkeys(row.id for row in rows if row.modality == corpus.modality)
    if not described:
        raise DataError(
            f"no row describes {corpus.modality} items",
            why=f"the items of corpus '{name}' are {corpus.modality}",
            fix="another corpus, or --modality with the one that the rows describe",
            corpus=name,
        )
    ids = set(ids_of(corpus))
    n_found = sum(id in ids for id in described)
    if not n_found:
        row_id, corpus_id = next(iter(described)), min(ids)
        raise DataError(
            f"corpus '{name}' has none of the {len(described):,} described items",
            why=f"rows have ids such as '{row_id}', the corpus such as '{corpus_id}'",
            fix="a corpus whose ids are those of the rows",
            corpus=name,
        )
    return len(described), n_found


def refuse_other_categories(rows: Sequence[Description], what: str) -> None:
    """Refuse rows that put one item into several categories.

    Args:
        rows: of a knowledge base.
        what: they are of, for the error.

    Raises:
        DataError: some do.
    """
    categories: dict[tuple[Modality, str], str] = {}
    conflicts: dict[str, tuple[str, str]] = {}
    for row in rows:
        if row.modality:
            first = categories.setdefault((row.modality, row.id), row.category)
            if first != row.category:
                conflicts.setdefault(row.id, (first, row.category))
    if conflicts:
        shown = [f"'{id}' is '{a}' and '{b}'" for id, (a, b) in list(conflicts.items())[:_SHOWN]]
        raise DataError(
            f"items of {what} in several categories: {len(conflicts):,}",
            why="; ".join(shown),
            fix="an item has one category: correct them",
            n_conflicts=len(conflicts),
        )


def file_list(paths: Sequence[Path]) -> str:
    """Return files for a message."""
    shown = ", ".join(f"'{path}'" for path in paths[:_SHOWN])
    return shown + (f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else "")
