"""What searches find, and what an index was given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactions.api.counting import cut_json
from reactions.api.results import Cell, ResultList, ResultTable, jsonable
from reactions.core.types import Modality
from reactions.data.manifest import Problem
from reactions.search.added import Added
from reactions.search.hits import Hit


@dataclass(frozen=True, slots=True)
class QueryHits:
    """What one query found.

    Attributes:
        query: what to call it.
        modality: of the query.
        hits: nearest first.
    """

    query: str
    modality: Modality
    hits: tuple[Hit, ...]


class SearchHits(ResultList[QueryHits]):
    """What each query found, in the order of the queries.

    Attributes:
        directory: of the index.
        factors: ``{"sigma CLAP_m": {"audio": 0.5}}``, as they act.
    """

    def __init__(
        self,
        directory: Path,
        lab: str,
        hits: Sequence[QueryHits],
        factors: Mapping[str, Mapping[str, float]],
    ) -> None:
        self.directory = directory
        self.lab = lab
        self.factors = factors
        self._entries = tuple(hits)

    @property
    def title(self) -> str:
        """The index."""
        return f"search in {self.directory}"

    @property
    def columns(self) -> tuple[str, ...]:
        """A row a hit."""
        return ("query", "query_modality", "rank", "score", "modality", "label", "id", "source")

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield the hits of all queries."""
        for query_hits in self._entries:
            for hit in query_hits.hits:
                item = hit.item
                facts = (item.modality, item.label, item.id, item.source)
                yield query_hits.query, query_hits.modality, hit.rank, hit.score, *facts

    def to_json(self) -> dict[str, Any]:
        """Return it as an object for ``json.dumps``."""
        return {
            "index": str(self.directory),
            "lab": self.lab,
            "factors": jsonable(self.factors),
            "queries": [
                {
                    "query": query_hits.query,
                    "modality": query_hits.modality,
                    "hits": [hit.to_json() for hit in query_hits.hits],
                }
                for query_hits in self._entries
            ],
            **cut_json(self.items_cut),
        }


class IndexSummary(ResultTable):
    """What an index has, and what was done to it; ``search`` takes it as the index.

    Attributes:
        directory: where it lies.
        counts: modality to items it has.
        added: modality to items that are new.
        replaced: modality to items whose contents had changed.
        kept: items that were there already.
        skipped: items that could not be embedded.
        problems: why, of each.
        free: factors that a search chooses.
        fixed: factors that stay as trained.
    """

    def __init__(self, result: Added, problems: Sequence[Problem]) -> None:
        self.directory = result.index.directory
        self.lab = result.index.record.lab
        self.counts = dict(result.index.counts)
        self.added, self.replaced = dict(result.added), dict(result.replaced)
        self.kept, self.skipped = result.kept, result.skipped
        self.problems = tuple(problems)
        self.free, self.fixed = result.index.record.free, result.index.record.fixed
        self.notices = tuple(f"{problem.id} is left out: {problem.message}" for problem in problems)
        self.notices += tuple(result.notices)
        if self.fixed:
            self.notices += (f"{', '.join(self.fixed)}: fixed as trained, a projector follows",)

    def __fspath__(self) -> str:
        return str(self.directory)

    @property
    def title(self) -> str:
        """Where it is, and what was not embedded."""
        return f"index {self.directory}   {self.kept:,} there already, {self.skipped:,} left out"

    @property
    def columns(self) -> tuple[str, ...]:
        """A row a modality."""
        return ("modality", "items", "added", "replaced")

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield the modalities."""
        for modality, n in self.counts.items():
            yield modality, n, self.added.get(modality, 0), self.replaced.get(modality, 0)
