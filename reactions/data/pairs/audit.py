"""What pairs should not hold: the same pair twice, and items that are evaluated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from reactions.core.types import Modality
from reactions.data.audit import EXAMPLES, DataFinding, content_marks, others, undecodable
from reactions.data.pairs.config import VIDEO
from reactions.data.pairs.corpora import SourcePairs
from reactions.data.sources.config import OnProgress, silent
from reactions.data.sources.corpus import SourceCorpus
from reactions.modalities.registry import suffixes
from reactions.modalities.suffixes import suffix_of
from reactions.modalities.videos.files import SUFFIXES

_BLOCK_ROWS = 1 << 14
_ODD = np.uint64(0x9E3779B97F4A7C15)

_LEAST_NAME = 8
"""Shorter names, and bare numbers, are given by everybody."""


def left_out(pairs: SourcePairs) -> DataFinding | None:
    """Return what is left out because a half is missing or cannot be used."""
    return undecodable(pairs.name, pairs.skipped, pairs.skipped.sentence("pairs"))


def other_files(pairs: SourcePairs) -> DataFinding | None:
    """Return what lies beside videos and is none."""
    return others(pairs.name, pairs.others, VIDEO, pairs.skipped.n_rows)


def repeated_pairs(pairs: SourcePairs) -> DataFinding | None:
    """Find pairs of which every side repeats that of one earlier pair, by content."""
    sides = [content_marks(corpus) for corpus in pairs.sides]
    marks = np.zeros(len(pairs), np.uint64)
    for side in sides:
        marks = marks * _ODD + side
    comparable = np.logical_and.reduce([side != 0 for side in sides])
    _, first, counts = np.unique(marks[comparable], return_index=True, return_counts=True)
    count = int((counts - 1).sum())
    if not count:
        return None
    ids = pairs.sides[0].ids()
    rows = np.flatnonzero(comparable)
    examples = []
    for where in np.sort(first[counts > 1])[:EXAMPLES]:
        again = rows[np.flatnonzero(marks[comparable] == marks[comparable][where])[:2]]
        examples.append({"ids": [ids[row] for row in again]})
    return DataFinding(
        "duplicates",
        pairs.name,
        f"{count} of {len(pairs)} pairs repeat an earlier one ({100 * count / len(pairs):.2g} %)",
        count=count,
        total=len(pairs),
        examples=tuple(examples),
    )


def leaked(
    pairs: SourcePairs,
    evaluated: Mapping[str, Sequence[SourceCorpus]],
    *,
    on_progress: OnProgress = silent,
) -> list[DataFinding]:
    """Find pairs that evaluation sets have: by the contents of files, and by names.

    Names are those of items and of files, without folders and endings, if they are long enough not
    to be everybody's. Clips are not files, so of videos only names are compared.

    Args:
        pairs: to look through.
        evaluated: task to its scanned corpora.
        on_progress: of the progress.

    Returns:
        A finding for each set that shares items with the pairs.
    """
    marks = {} if pairs.clips else {m: content_marks(pairs.corpus(m)) for m in pairs.modalities}
    own_names = _names_of(pairs.sides)
    findings = []
    for number, (task, corpora) in enumerate(evaluated.items()):
        on_progress("evaluation sets for pairs", number, len(evaluated))
        by_side = {m: _shared(marks[m], corpora, m) for m in marks}
        names = set[str]().union(*_names_of([c for c in corpora if c.modality in pairs.modalities]))
        by_name = np.fromiter(
            (not names.isdisjoint(row_names) for row_names in own_names), bool, len(pairs)
        )
        is_leaked = np.logical_or.reduce([by_name, *by_side.values()])
        if not is_leaked.any():
            continue
        counts = Counter({f"{m} by content": int(rows.sum()) for m, rows in by_side.items()})
        counts["by name"] = int(by_name.sum())
        how = ", ".join(f"{n} {what}" for what, n in counts.items() if n)
        count = int(is_leaked.sum())
        ids = pairs.sides[0].ids()
        findings.append(
            DataFinding(
                "leakage",
                pairs.name,
                f"{count} of {len(pairs)} pairs are in {task}, which is also evaluated: {how}",
                count=count,
                total=len(pairs),
                task=task,
                examples=tuple({"id": ids[row]} for row in np.flatnonzero(is_leaked)[:EXAMPLES]),
            )
        )
    on_progress("evaluation sets for pairs", len(evaluated), len(evaluated))
    return findings


def _shared(
    marks: NDArray[np.uint64], corpora: Iterable[SourceCorpus], modality: Modality
) -> NDArray[np.bool_]:
    corpus_marks = [content_marks(corpus) for corpus in corpora if corpus.modality == modality]
    if not corpus_marks:
        return np.zeros(len(marks), bool)
    shared: NDArray[np.bool_] = np.isin(marks, np.concatenate(corpus_marks)) & (marks != 0)
    return shared


def _names_of(corpora: Sequence[SourceCorpus]) -> list[set[str]]:
    """Return the names of each row: of corpora of equal length together, else one after another."""
    rows: list[set[str]] = []
    for corpus in corpora:
        corpus_names = list(_names(corpus))
        if len(corpus_names) == len(rows):
            rows = [names | more for names, more in zip(rows, corpus_names, strict=True)]
        else:
            rows += corpus_names
    return rows


def _names(corpus: SourceCorpus) -> Iterator[set[str]]:
    ids = corpus.written_ids()
    for start in range(0, len(corpus), _BLOCK_ROWS):
        for item in corpus.items(start, start + _BLOCK_ROWS):
            id, _ = next(ids)
            names = {id, getattr(item.value, "member", ""), _place(item.value)}
            yield {name for name in map(_stem, names) if _tells(name)}


def _place(value: object) -> str:
    member = getattr(value, "member", "")
    return "" if isinstance(value, str | None) or member else str(getattr(value, "url", value))


def _stem(name: str) -> str:
    name = name.rpartition("/")[2]
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix in suffixes() or suffix in SUFFIXES else name


def _tells(name: str) -> bool:
    return len(name) >= _LEAST_NAME and not name.isdigit()
