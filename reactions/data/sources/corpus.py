"""A corpus of scanned parts: what cannot be used is left out, counted and listed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, suggestion
from reactions.core.file_names import nfc
from reactions.core.hashing import bytes_digest, digest
from reactions.core.text_lines import NOT_UTF8, RECODE
from reactions.core.types import Digest, Item, Modality
from reactions.data.corpora import rows_digest
from reactions.data.scan_cache import ScanTable, TableCache
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.manifests import manifest_part
from reactions.data.sources.parts import CorpusPart, signature_of
from reactions.data.sources.places import dataset_part, part_of
from reactions.data.sources.skipped import BadItem, Skipped, reasons

_BLOCK_ROWS = 1 << 14
_SHOWN = 5


class SourceCorpus:
    """The usable rows of one or more parts, in order.

    Args:
        name: for messages and progress lines.
        modality: of every item.
        parts: with the source of each; ids of several parts begin with the part's number,
            from 1.
        tables: where digests and lists of bad items are kept.
        section: of the lab file that names it, for errors; "" means ``corpora.MODALITY``.
        rows_are: what messages call the rows; items of the modality by default.

    Raises:
        DataError: nothing is usable, more than ``max_bad`` of a source is not, or an id to
            skip is unknown.
    """

    def __init__(
        self,
        name: str,
        modality: Modality,
        parts: Sequence[tuple[CorpusPart, Source]],
        *,
        tables: TableCache,
        section: str = "",
        rows_are: str = "",
    ) -> None:
        self._section = section or f"corpora.{modality}"
        self._rows_are = rows_are or f"{modality} items"
        # Rows that several corpora share are known by their section alone.
        self._called = f"[{section}]" if rows_are else f"corpus '{name}'"
        self.name = name
        self.modality = modality
        self._tables = tables
        self._parts = [part for part, _ in parts]
        self._sources = [source for _, source in parts]
        # Numbers, not names: a corpus that is moved stays the same.
        numbers = range(1, len(self._parts) + 1)
        self._prefixes = [""] if len(numbers) == 1 else [f"{number}/" for number in numbers]
        self._choose()
        self.skipped = self._account()
        for i, source in enumerate(self._sources):
            self._hold_to(i, source)
        if len(self) == 0:
            first = "".join(f": {bad.place}: {bad.why}" for bad in self.skipped.first[:1])
            raise DataError(
                f"{self._called} is empty",
                why=f"none of its {self.skipped.n_rows} {self._rows_are} can be used{first}",
                fix="molspace data check   says what is wrong with them",
                corpus=name,
                **self._counts(),
            )

    def _choose(self) -> None:
        """Divide the rows of each part into usable and bad ones."""
        not_skipped = [self._kept(i, source) for i, source in enumerate(self._sources)]
        good = [part.good for part in self._parts]
        self._rows = [np.flatnonzero(k & g) for k, g in zip(not_skipped, good, strict=True)]
        # What the lab file leaves out need not be usable.
        self._bad = [np.flatnonzero(k & ~g) for k, g in zip(not_skipped, good, strict=True)]
        self._ends = np.cumsum([len(rows) for rows in self._rows])

    def __getstate__(self) -> dict[str, Any]:
        # The numbers of the rows follow from the tables, which go by their paths.
        left_out = ("_rows", "_bad", "_ends")
        return {name: value for name, value in self.__dict__.items() if name not in left_out}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.__dict__.update(state)
        self._choose()

    @property
    def size_bytes(self) -> int:
        """Bytes of its files, bad ones included."""
        return sum(part.size_bytes for part in self._parts)

    @cached_property
    def digest(self) -> Digest:
        """Digest of ids, contents and order, as for any other corpus."""
        row_digests = [bytes_digest(rows.astype("<i8").tobytes()) for rows in self._rows]
        cached = "digest-" + digest("corpus", [self.modality, self._prefixes, self.name])[:32]
        signature = signature_of([*(part.signature for part in self._parts), *row_digests])
        if (table := self._tables.get(cached, signature)) is not None:
            return str(table.facts["digest"])
        corpus_digest = rows_digest(self.modality, self.tags())
        self._tables.put(cached, signature, ScanTable(facts={"digest": corpus_digest}))
        return corpus_digest

    def __len__(self) -> int:
        return int(self._ends[-1])

    def items(self, start: int, stop: int) -> list[Item]:
        """Return the items of rows ``start`` to ``stop`` (exclusive), in order."""
        items: list[Item] = []
        for i, rows in self._span(start, stop):
            values = self._parts[i].values(rows)
            own_ids = self._parts[i].own_ids(rows)
            items += map(Item, self._ids(i, rows), [self.modality] * len(rows), values, own_ids)
        return items

    def ids(self) -> list[str]:
        """Return the ids of all rows, in order."""
        return [id for i, rows in self._span(0, len(self)) for id in self._ids(i, rows)]

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know before it is embedded; empty if all is used."""
        # A side of an evaluation set is read like a corpus, but users do not know it by that name.
        is_corpus = self._section.startswith("corpora.")
        what = f"{self.modality} corpus" if is_corpus else self.modality
        remarks = tuple(f"{what}: {remark}" for remark in self.remarks)
        left_out = self.skipped.sentence("items")
        return (f"{what}: {left_out}", *remarks) if left_out else remarks

    @property
    def remarks(self) -> tuple[str, ...]:
        """What its parts have to say of how they were read."""
        return tuple(r for part in self._parts for r in part.table.facts.get("notices", ()))

    @property
    def reading(self) -> tuple[str, ...]:
        """What was guessed, or is odd, about how its tables are read."""
        return tuple(
            notice
            for part in self._parts
            if not part.table.facts.get("others")
            for notice in part.table.facts.get("notices", ())
        )

    @property
    def others(self) -> dict[str, int]:
        """How many files of other kinds lie beside its own and are left out, by their ending."""
        counts: Counter[str] = Counter()
        for part in self._parts:
            counts.update(part.table.facts.get("others", {}))
        return dict(counts)

    def written_ids(self) -> Iterator[tuple[str, bool]]:
        """Yield each item's id as its source gives it, and whether it is the item's own.

        Numbers of parts, which stand before the ids of several, are ours and left out.
        """
        for part, rows in zip(self._parts, self._rows, strict=True):
            yield from zip(part.ids(rows), part.own_ids(rows), strict=True)

    def tags(self) -> Iterator[tuple[str, str]]:
        """Yield id and tagged content digest of every item, in order."""
        for start in range(0, len(self), _BLOCK_ROWS):
            for i, rows in self._span(start, start + _BLOCK_ROWS):
                yield from zip(self._ids(i, rows), self._parts[i].tags(rows), strict=True)

    def bad(self) -> Iterator[BadItem]:
        """Yield every item that cannot be used."""
        for i, (part, rows) in enumerate(zip(self._parts, self._bad, strict=True)):
            whys = part.table.strings("why").at(rows)
            yield from map(BadItem, self._ids(i, rows), part.places(rows), whys)

    def _ids(self, i: int, rows: NDArray[np.int64]) -> list[str]:
        prefix = self._prefixes[i]
        ids = self._parts[i].ids(rows)
        return [prefix + id for id in ids] if prefix else ids

    def _span(self, start: int, stop: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
        start, stop, _ = slice(start, stop).indices(len(self))
        begin = 0
        for i, end in enumerate(self._ends.tolist()):
            if max(start, begin) < min(stop, end):
                yield i, self._rows[i][max(start, begin) - begin : min(stop, end) - begin]
            begin = end

    def _kept(self, i: int, source: Source) -> NDArray[np.bool_]:
        """Return which rows of a part the lab file does not leave out."""
        part = self._parts[i]
        if not source.skip:
            return np.ones(len(part), bool)
        ids = self._ids(i, np.arange(len(part)))
        skipped = {nfc(id) for id in source.skip}
        unknown = sorted(skipped - {nfc(id) for id in ids})
        if unknown:
            raise DataError(
                f"{self._called} has no item '{unknown[0]}' to skip",
                fix=suggestion(unknown[0], ids) if len(ids) < 10_000 else "see its ids",
                corpus=self.name,
                ids=unknown[:_SHOWN],
            )
        return np.fromiter((nfc(id) not in skipped for id in ids), bool, len(ids))

    def _account(self) -> Skipped:
        n_rows = sum(map(len, self._parts))
        n_bad = sum(map(len, self._bad))
        first = tuple(bad for bad, _ in zip(self.bad(), range(_SHOWN), strict=False))
        return Skipped(
            n_bad=n_bad,
            n_skipped=n_rows - n_bad - len(self),
            n_rows=n_rows,
            first=first,
            listed=self._list() if n_bad else None,
        )

    def _counts(self) -> dict[str, int]:
        """Return the counts that errors carry: of all parts."""
        skipped = self.skipped
        return {
            "n_bad": skipped.n_bad,
            "n_skipped": skipped.n_skipped,
            "n_rows": skipped.n_rows,
        }

    def _list(self) -> Path | None:
        folder = self._tables.folder
        if folder is None:
            return None
        key = digest("bad", [self.name, self.modality, [part.name for part in self._parts]])
        path = folder / f"bad-{self.modality}-{key[:12]}.jsonl"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8", errors="surrogateescape") as stream:
                for bad in self.bad():
                    record = {"id": bad.id, "place": bad.place, "why": bad.why}
                    stream.write(f"{json.dumps(record)}\n")
        except OSError:
            return None
        return path

    def _hold_to(self, i: int, source: Source) -> None:
        part, bad = self._parts[i], self._bad[i]
        if len(bad) <= source.max_bad * len(part) + 1e-6:  # 0.29 of 100 are 29
            return
        shown = bad[:_SHOWN]
        whys = part.table.strings("why").at(shown)
        lines = reasons(
            [BadItem("", *fields) for fields in zip(part.places(shown), whys, strict=True)]
        )
        recode = f"{RECODE}; or " if NOT_UTF8 in whys else ""
        listed = f"; all of them: {self.skipped.listed}" if self.skipped.listed else ""
        raise DataError(
            f"{len(bad)} of {len(part)} {self._rows_are} cannot be used: {self._called}",
            why="; ".join(lines) + listed,
            fix=f"{recode}fix or remove them, name them in skip, or raise max_bad "
            f"(now {source.max_bad:g}) under [{self._section}]",
            corpus=self.name,
            **self._counts(),
            ids=self._ids(i, shown),
            listed=str(self.skipped.listed or ""),
        )


def open_corpus(
    name: str,
    modality: Modality,
    sources: Sequence[Source],
    *,
    tables: TableCache,
    on_progress: OnProgress = silent,
) -> SourceCorpus:
    """Open a corpus, scanning what is new or changed.

    Args:
        name: for messages and progress lines.
        modality: of every item.
        sources: at least one, with at least one path, a manifest or a data set.
        tables: remembers what earlier scans found.
        on_progress: of the progress of scans.

    Raises:
        MissingError: a file, folder or package is missing, or holds nothing of the modality.
        DataError: what is there cannot be used.
        UsageError: the modality can come from manifests only.
    """
    parts: list[tuple[CorpusPart, Source]] = []
    for source in sources:
        if source.manifest is not None:
            part = manifest_part(
                source.manifest, modality, source, tables=tables, on_progress=on_progress
            )
            parts.append((part, source))
        if source.dataset is not None:
            part = dataset_part(source.dataset, modality, source, tables, on_progress)
            parts.append((part, source))
        for path in source.paths:
            parts.append((part_of(path, modality, source, tables, on_progress), source))
    return SourceCorpus(name, modality, parts, tables=tables)
