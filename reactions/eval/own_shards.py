"""The items of evaluation sets of one's own that lie in WebDataset shards, a sample an item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, UsageError
from reactions.core.types import Modality
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.parts import CorpusPart, NoItemsError
from reactions.data.sources.shards import shards_part
from reactions.data.sources.sides import Side
from reactions.eval.own_set import OwnSet
from reactions.modalities.registry import get
from reactions.modalities.suffixes import may_hold
from reactions.modalities.text import TEXT

_JSON = "json."


class ShardReader:
    """Reads the items of one set: what tables name by columns, samples have by their endings.

    An item's id is its sample's key. ``json.FIELD`` is a field of a sample's JSON.

    Args:
        own_set: the set; its table is a tar, or several.
        shards: the tars.
        scans: remembers what is in them.
        on_progress: of the progress of scans.

    Attributes:
        tables: the tars.
        remarks: what was guessed: nothing.

    Raises:
        UsageError: the set says what shards do not have.
    """

    def __init__(
        self,
        own_set: OwnSet,
        shards: Sequence[Entry],
        *,
        scans: TableCache,
        on_progress: OnProgress = silent,
    ) -> None:
        self._own_set, self._scans, self._on_progress = own_set, scans, on_progress
        self.tables = list(shards)
        self.remarks: list[str] = []
        self._parts: dict[Modality, CorpusPart] = {}
        said = {
            "where": own_set.source.where,
            "id": own_set.source.id_column != "",
            "folder": own_set.folder,
            "by_id": own_set.by_id,
        }
        for key in (key for key, value in said.items() if value):
            raise UsageError(
                f"{key} says nothing about the shards of task '{own_set.task.name}'",
                why="it is for tables; samples have keys, and their files lie in the tar",
                fix="remove it",
            )

    def id_of(self, name: str) -> str:
        """Return an item's id, which is unique among all sets."""
        return f"{self._own_set.task.name}/{name}"

    def part(self, modality: Modality) -> CorpusPart:
        """Return the scanned items of a side that ``pairs`` or ``labelled`` gave."""
        return self._parts[modality]

    def pairs(self) -> tuple[Side, Side]:
        """Return left and right items of retrieval; the owner of each right one is a left one.

        Raises:
            MissingError: no sample has one of the modalities.
            DataError: a tar is damaged, or samples of several have one key.
        """
        (query, left_names), (other, right_names) = self._own_set.media
        left, right = self._side(query, left_names), self._side(other, right_names)
        keys = set(left.ids)
        right.owners = [id if id in keys else id.rpartition("/")[0] for id in right.ids]
        if strange := next((id for id in right.owners if id not in keys), None):
            raise DataError(
                f"samples of several shards of task '{self._own_set.task.name}' have one key",
                why=f"such as '{strange.removeprefix(self.id_of(''))}'",
                fix="give the shards in several tasks, or write them anew, with keys of their own",
            )
        return left, right

    def captions(self) -> Side:
        """Return the right items alone, for what looks at texts and not at media."""
        other, names = self._own_set.media[1]
        return self._side(other, names)

    def labelled(self) -> Side:
        """Return the items of a classification with their classes; good ones have at least one.

        Raises:
            MissingError: no sample has the modality, or a class.
            DataError: a tar is damaged.
        """
        ((modality, names),) = self._own_set.media
        side = self._side(modality, names)
        labels: dict[str, list[str]] = {id: [] for id in side.ids}
        faults: dict[str, str] = {}
        read = self._scanned(TEXT.name, self._own_set.classes, "class")
        columns = [read.table.strings(name) for name in ("id", "text", "why")]
        for id, text, why in zip(*columns, strict=True):
            owner = id if id in labels else id.rpartition("/")[0]
            faults |= {owner: f"its class: {why}"} if why else {}
            separator = self._own_set.separator
            found = text.split(separator) if separator else [text]
            labels[owner] += [name.strip() for name in found if name.strip()]
        several = self._own_set.task.kind == "multilabel"
        side.labels = [list(dict.fromkeys(labels[id])) for id in side.ids]
        for row, (id, found) in enumerate(zip(side.ids, side.labels, strict=True)):
            fault = faults.get(id, "" if found else "its class: empty")
            if not several and len(found) > 1:
                fault = f'it has {len(found)} classes; if that is meant: kind = "multilabel"'
            side.whys[row] = side.whys[row] or fault
        self._parts[modality] = self._parts[modality].with_verdicts(side.whys)
        return side

    def _side(self, modality: Modality, names: Sequence[str | int]) -> Side:
        part = self._parts[modality] = self._scanned(modality, names, modality)
        ids, whys = list(part.table.strings("id")), list(part.table.strings("why"))
        texts = list(part.table.strings("text")) if get(modality).inline else [""] * len(ids)
        return Side(modality, ids=ids, places=[""] * len(ids), texts=texts, whys=whys)

    def _scanned(self, modality: Modality, names: Sequence[str | int], key: str) -> CorpusPart:
        """Return the files of all samples that have one of these endings."""
        task = self._own_set.task.name
        if len(names) > 1:
            raise UsageError(
                f"{key} of task '{task}' names {len(names)} endings: {', '.join(map(str, names))}",
                why="of a sample's files one is taken",
                fix=f'{key} = "{names[0]}"',
            )
        ending = str(names[0]).lstrip(".")
        if not get(modality).inline and not may_hold(f"x.{ending.lower()}", modality):
            raise UsageError(
                f"{key} of task '{task}' is '{ending}'",
                why=f"no {modality} file ends so",
                fix="give the ending of a sample's file",
            )
        field = ending.removeprefix(_JSON) if ending.lower().startswith(_JSON) else ""
        options = replace(
            self._own_set.source,
            member="json" if field else ending.lower(),
            columns=(field,) if field else (),
            skip=Source().skip,
        )
        try:
            part = shards_part(
                f"{task} {key}",
                self.tables,
                modality,
                options,
                tables=self._scans,
                on_progress=self._on_progress,
            )
        except NoItemsError as error:
            error.fix = f"{key} is '{ending}': give an ending that the samples have"
            raise
        ids = Strings.pack(map(self.id_of, part.table.strings("id")))
        part.table = ScanTable({**part.table.columns, "id": ids}, part.table.facts)
        return part
