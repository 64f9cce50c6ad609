"""What a corpus should not hold: the same content twice, and captions it is evaluated on."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reactions.core.file_digests import DigestCache
from reactions.core.scanned import ScannedCorpus
from reactions.core.types import Corpus, Modality
from reactions.data.path_like import path_reason
from reactions.data.sources.config import OnProgress, silent
from reactions.data.sources.skipped import Skipped
from reactions.modalities.registry import content_digest, get
from reactions.modalities.suffixes import describe_others

_BLOCK_ROWS = 1 << 14
EXAMPLES = 5

VERSION = 1
"""Raise it whenever a change here can change what counts as the same text."""

Kind: TypeAlias = Literal[
    "unusable",
    "undecodable",
    "others",
    "duplicates",
    "paths",
    "leakage",
    "unchecked",
    "collapsed",
    "no_ids",
    "unmatched",
    "unread",
]


@dataclass(frozen=True, slots=True)
class DataFinding:
    """Something about a lab's data that its user should know.

    Attributes:
        kind: ``unusable`` is a corpus that cannot be opened,
            ``undecodable`` items are left out, ``others`` are files of other kinds that lie
            beside a corpus's own and are left out, ``duplicates`` are rows whose content an
            earlier row has, ``paths`` are texts that look like paths,
            ``leakage`` are texts that an evaluation set has as captions, and
            pairs whose files or names it has, ``unchecked`` says which sets were not there to
            compare with. Of folders of embeddings, ``unusable`` rows are zero or not finite,
            ``duplicates`` the same as another, a ``collapsed`` tower says the same of everything,
            ``no_ids`` are rows that only have numbers, ``unmatched`` ids are not in all folders,
            ``unread`` are files.
        corpus: name of the corpus, or of the pairs; "" if it concerns none.
        message: one line, for people.
        count: rows concerned.
        total: rows of the corpus.
        task: the evaluation set, for ``leakage``.
        examples: some of them: ids, and what they hold or where they lie.
        listed: a file that lists all of them, "" for none.
    """

    kind: Kind
    corpus: str
    message: str
    count: int = 0
    total: int = 0
    task: str = ""
    examples: tuple[Mapping[str, Any], ...] = ()
    listed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)


def undecodable(name: str, skipped: Skipped, message: str) -> DataFinding | None:
    """Return what a corpus, or pairs, leave out because it cannot be used."""
    if not skipped.n_bad:
        return None
    return DataFinding(
        "undecodable",
        name,
        message,
        count=skipped.n_bad,
        total=skipped.n_rows,
        examples=tuple({"id": b.id, "place": b.place, "why": b.why} for b in skipped.first),
        listed=str(skipped.listed or ""),
    )


def others(
    name: str, counts: Mapping[str, int], modality: Modality, n_rows: int
) -> DataFinding | None:
    """Return what lies beside the files of a corpus, or of pairs, and is left out for its kind.

    Args:
        name: of the corpus or the pairs.
        counts: files by ending.
        modality: of its own files.
        n_rows: its own, good and bad.
    """
    if not counts:
        return None
    n = sum(counts.values())
    return DataFinding(
        "others",
        name,
        describe_others(counts, modality),
        count=n,
        total=n + n_rows,
        examples=tuple(
            {"ending": suffix or "none", "files": count} for suffix, count in counts.items()
        )[:EXAMPLES],
    )


def duplicates(corpus: Corpus) -> DataFinding | None:
    """Find rows whose content an earlier row has, by content digest.

    Items that are only ids have no content and are never duplicates.
    """
    marks = content_marks(corpus)
    values, first, counts = np.unique(marks, return_index=True, return_counts=True)
    repeated = (counts > 1) & (values != 0)
    count = int((counts[repeated] - 1).sum())
    if not count:
        return None
    # The contents that are there most often, the earliest first.
    order = np.lexsort((first[repeated], -counts[repeated]))[:EXAMPLES]
    shown = {
        int(mark): (int(row), int(n))
        for mark, row, n in zip(
            values[repeated][order], first[repeated][order], counts[repeated][order], strict=True
        )
    }
    examples = []
    for mark, (row, n) in shown.items():
        (item,) = corpus.items(row, row + 1)
        other = row + 1 + int(np.argmax(marks[row + 1 :] == mark))
        (again,) = corpus.items(other, other + 1)
        text = {"text": item.value} if isinstance(item.value, str) else {}
        examples.append({"ids": [item.id, again.id], "times": n, **text})
    return DataFinding(
        "duplicates",
        corpus.name,
        f"{count} of {len(corpus)} {corpus.modality} items repeat an earlier one "
        f"({100 * count / len(corpus):.2g} %)",
        count=count,
        total=len(corpus),
        examples=tuple(examples),
    )


def like_paths(corpus: Corpus) -> DataFinding | None:
    """Find texts that look like paths, which are embedded as they stand."""
    if not get(corpus.modality).inline:
        return None
    count = 0
    examples: list[Mapping[str, Any]] = []
    for start in range(0, len(corpus), _BLOCK_ROWS):
        for item in corpus.items(start, min(len(corpus), start + _BLOCK_ROWS)):
            if isinstance(item.value, str) and (why := path_reason(item.value, None)):
                count += 1
                if len(examples) < EXAMPLES:
                    examples.append({"id": item.id, "text": item.value[:200], "why": why})
    if not count:
        return None
    what = "1 text looks like a path" if count == 1 else f"{count} texts look like paths"
    return DataFinding(
        "paths",
        corpus.name,
        f"{what}, such as '{examples[0]['text'][:60]}': they are embedded as texts",
        count=count,
        total=len(corpus),
        examples=tuple(examples),
    )


def leakage(
    corpus: Corpus,
    evaluated: Mapping[str, Iterable[tuple[str, str]]],
    *,
    on_progress: OnProgress = silent,
) -> list[DataFinding]:
    """Find the texts of a corpus that evaluation sets have as captions.

    Texts count as the same if they differ in case, punctuation and spacing only.

    Args:
        corpus: of texts.
        evaluated: task to its (id, caption) pairs.
        on_progress: of the progress.

    Returns:
        One finding for each task that shares a text with the corpus.
    """
    # The sets' captions are few and held; the corpus may have millions of rows and is streamed.
    owners: dict[str, dict[str, str]] = {}
    for task, captions in evaluated.items():
        for id, caption in captions:
            if key := normalised(caption):
                owners.setdefault(key, {}).setdefault(task, id)
    counts = dict.fromkeys(evaluated, 0)
    examples: dict[str, list[dict[str, str]]] = {task: [] for task in evaluated}
    for start in range(0, len(corpus), _BLOCK_ROWS):
        on_progress("texts for leaks", start, len(corpus))
        for item in corpus.items(start, start + _BLOCK_ROWS):
            if not isinstance(item.value, str):
                continue
            for task, id in owners.get(normalised(item.value), {}).items():
                counts[task] += 1
                if len(examples[task]) < EXAMPLES:
                    examples[task].append({"id": item.id, "caption": id, "text": item.value})
    on_progress("texts for leaks", len(corpus), len(corpus))
    return [
        DataFinding(
            "leakage",
            corpus.name,
            f"{count} of {len(corpus)} texts are captions of {task}, which is also evaluated "
            f"({100 * count / len(corpus):.2g} %)",
            count=count,
            total=len(corpus),
            task=task,
            examples=tuple(examples[task]),
        )
        for task, count in counts.items()
        if count
    ]


_SPACED = {code: " " for code in range(128) if not chr(code).isalnum()}


def normalised(text: str) -> str:
    """Return a text's letters and digits in lower case, words apart by single spaces."""
    if text.isascii():  # the same, but faster: corpora have millions
        return " ".join(text.lower().translate(_SPACED).split())
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(c if c.isalnum() else " " for c in folded).split())


def _tags(corpus: Corpus) -> Iterator[tuple[str, str]]:
    if isinstance(corpus, ScannedCorpus):  # made when it was scanned
        yield from corpus.tags()
        return
    digests = DigestCache()
    for start in range(0, len(corpus), _BLOCK_ROWS):
        for item in corpus.items(start, start + _BLOCK_ROWS):
            yield item.id, content_digest(item, digests)


def content_marks(corpus: Corpus) -> NDArray[np.uint64]:
    """Return (len(corpus),) marks of contents; 0 for items that have none but their ids."""
    return np.fromiter((_mark(tag) for _, tag in _tags(corpus)), np.uint64, len(corpus))


def _mark(tag: str) -> int:
    """Return 64 bits of a content digest: among millions of rows no two contents share them."""
    digest = tag.rpartition(":")[2]
    return int(digest[:16], 16) if len(digest) == 64 else 0
