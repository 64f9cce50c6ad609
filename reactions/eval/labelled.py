"""Sets of files with a class each: where files lie, and what is made of those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reactions.core.addresses import Entry
from reactions.core.file_names import nfc
from reactions.core.local_files import is_dir
from reactions.core.storage import walk
from reactions.core.types import Modality
from reactions.eval.published import PublishedSet
from reactions.eval.task_data import ClassificationData
from reactions.modalities.suffixes import may_hold, without_borrowed


@dataclass(frozen=True, slots=True)
class Labelled:
    """A file of a set, and its class.

    Attributes:
        id: of the item, without the set's name.
        entry: the file.
        label: number of its class.
        fold: from 0, of sets that are published in folds.
    """

    id: str
    entry: Entry
    label: int
    fold: int = 0


def media_files(folder: Path, modality: Modality) -> Iterator[Entry]:
    """Yield the files of one modality in a folder and below, sorted by name."""
    if is_dir(folder):
        entries = {e.name: e for e in walk(str(folder)) if may_hold(e.name, modality)}
        for name in without_borrowed(entries, modality):
            yield entries[name]


def stem(name: str) -> str:
    """Return a file's name without folders and its ending, composed as Unicode has it."""
    last = name.rpartition("/")[2]
    return nfc(last.rpartition(".")[0] or last)


class FilesByPath:
    """The media of a set by the paths that its lists give them, whatever lies above.

    Args:
        published: the set.
        modality: of the files.
        depth: how many folders of a path belong to a file's name.
        folders: where they may lie, in the set's folder; the first that holds a name counts.
    """

    def __init__(
        self, published: PublishedSet, modality: Modality, depth: int, folders: Sequence[str]
    ) -> None:
        self._depth = depth
        self._entries: dict[str, Entry] = {}
        for folder in dict.fromkeys(folders):
            for entry in media_files(published.folder / folder, modality):
                self._entries.setdefault(self._key(entry.url), entry)

    def get(self, path: str) -> Entry | None:
        """Return the file of a path in a list, with or without its ending."""
        return self._entries.get(self._key(path))

    def __len__(self) -> int:
        return len(self._entries)

    def _key(self, path: str) -> str:
        parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")]
        folders = parts[-1 - self._depth : -1]
        # Capitals differ between lists and folders: v_HandStandPushups in HandstandPushups.
        return "/".join([*map(nfc, folders), stem(parts[-1] if parts else "")]).casefold()


def classification(
    published: PublishedSet,
    modality: Modality,
    items: Sequence[Labelled],
    classes: Iterable[str],
    *,
    expected: int,
    in_folds: bool = False,
    remarks: Sequence[str] = (),
) -> ClassificationData:
    """Return the items whose files can be decoded; the numbers found and expected show the others.

    Args:
        published: the set.
        modality: of the items.
        items: those whose files are there.
        classes: of the set, with items or without.
        expected: items of the whole set; 0 if unknown.
        in_folds: whether the items' folds are the set's.
        remarks: what was decided where the set leaves it open.

    Raises:
        MissingError: there are no items.
        DataError: none can be decoded.
    """
    if not items:
        raise published.missing(
            "none of the files that it lists is there", dict(published.layout.media)[modality]
        )
    part = published.part(modality, [(item.id, item.entry) for item in items])
    whole_items = [item for item, whole in zip(items, part.good, strict=True) if whole]
    return ClassificationData(
        queries=published.corpus(part, part.good, modality),
        labels=np.array([item.label for item in whole_items], np.int64),
        classes=tuple(classes),
        folds=np.array([item.fold for item in whole_items], np.int64) if in_folds else None,
        expected=expected,
        remarks=tuple(remarks),
    )
