"""What the readers of published evaluation sets share: finding, matching, scanning."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import DataError, MissingError
from reactions.core.file_names import nfc
from reactions.core.local_files import exists, is_dir
from reactions.core.storage import Entry, walk
from reactions.core.types import Modality
from reactions.data.corpora import TextCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.corpus import SourceCorpus
from reactions.data.sources.files import files_part
from reactions.data.sources.parts import FilePart
from reactions.eval.task_data import RetrievalData
from reactions.eval.tasks.labels import Damaged, csv_rows, json_value, text_lines
from reactions.modalities.suffixes import count_others, describe_others, modality_of


@dataclass(frozen=True, slots=True)
class Layout:
    """How an evaluation set is published.

    Attributes:
        task: name of the task it serves.
        title: as its authors write it.
        expected: items of its evaluation split, as the papers count them.
        folders: names its folder may have.
        labels: where in it the labels or captions may be, the usual place first.
        media: (modality, folders that may hold its files) pairs; "" is the set's own folder.
        origin: where to get it.
        tree: how its files lie, for people.
    """

    task: str
    title: str
    expected: int
    folders: tuple[str, ...]
    labels: tuple[str, ...]
    media: tuple[tuple[Modality, tuple[str, ...]], ...]
    origin: str
    tree: str

    def find_labels(self, folder: Path) -> Path | None:
        """Return the file of labels in a folder, if this set lies there."""
        return next((folder / name for name in self.labels if exists(folder / name)), None)


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """A set's folder, and what its readers need.

    Attributes:
        layout: of the set.
        folder: where it lies.
        labels: the file, or folder, of labels that was found.
        tables: remembers scans of its media.
        on_progress: of the progress of scans.
    """

    layout: Layout
    folder: Path
    labels: Path
    tables: TableCache
    on_progress: OnProgress = silent

    def media_index(self, modality: Modality) -> MediaIndex:
        """Return the set's files of one modality.

        Raises:
            MissingError: there are none.
        """
        names = dict(self.layout.media)[modality]
        media_index = MediaIndex(self.folder, modality, names)
        if not media_index.entries:
            others = describe_others(media_index.others, modality)
            beside = f"; {others}" if others else ""
            raise self.missing(f"no {modality} files in {self.folder}{beside}", names)
        return media_index

    def missing(self, why: str, names: Sequence[str] = ()) -> MissingError:
        """Return the error for files of the set that are not there."""
        places = ", ".join(str(self.folder / name) for name in names if name)
        return MissingError(
            f"{self.layout.title}: {why}",
            why=f"looked in {places}, and below" if places else "",
            fix=f"get it from {self.layout.origin}; its layout: {self.layout.tree}",
            task=self.layout.task,
            path=str(self.folder),
            layout=self.layout.tree,
            origin=self.layout.origin,
        )

    def damaged(self, path: Path, why: str) -> DataError:
        """Return the error for a file of labels that cannot be used."""
        return DataError(
            f"cannot use '{path}' for {self.layout.title}",
            why=why,
            fix=f"get it again from {self.layout.origin}",
            task=self.layout.task,
            path=str(path),
        )

    def part(self, modality: Modality, found: Sequence[tuple[str, Entry]]) -> FilePart:
        """Scan files for damage.

        Args:
            modality: of the files.
            found: (id, file) pairs, at least one.
        """
        return files_part(
            f"{self.layout.task} {modality}",
            [(f"{self.layout.task}/{id}", entry) for id, entry in found],
            modality,
            key=f"{self.layout.task} {self.folder}",
            tables=self.tables,
            on_progress=self.on_progress,
        )

    def corpus(self, part: FilePart, kept: NDArray[np.bool_], modality: Modality) -> SourceCorpus:
        """Return some of a part's files as a corpus.

        What cannot be decoded counts as not found: found and expected tell of it.

        Raises:
            DataError: none can be decoded.
        """
        dropped = part.ids(np.flatnonzero(part.good & ~kept))
        source = Source(skip=frozenset(dropped), max_bad=1.0)
        return SourceCorpus(part.name, modality, [(part, source)], tables=self.tables)

    # --- reading labels ---

    def read_csv(self, path: Path, needed: Sequence[str]) -> Iterator[dict[str, str]]:
        """Yield the rows of a csv file with a header.

        Raises:
            DataError: it cannot be read, is empty, or lacks a column.
        """
        try:
            yield from csv_rows(path, needed)
        except Damaged as error:
            raise self.damaged(path, str(error)) from error

    def read_json(self, path: Path) -> Any:
        """Return what a JSON file holds.

        Raises:
            DataError: it cannot be read.
        """
        try:
            return json_value(path)
        except Damaged as error:
            raise self.damaged(path, str(error)) from error

    def read_lines(self, path: Path) -> list[str]:
        """Return the lines of a text that are not blank, stripped.

        Raises:
            DataError: it cannot be read, or has none.
        """
        try:
            return text_lines(path)
        except Damaged as error:
            raise self.damaged(path, str(error)) from error


class MediaIndex:
    """Media files of one modality, by name.

    Where several files have a name, the one in the folder named first counts, then the one
    less deep, then the first of the alphabet.

    Args:
        folder: of the set.
        modality: which files to take.
        names: folders in it to look in, with all below, in order; "" is ``folder`` itself,
            which is looked in only if the others hold nothing.
    """

    def __init__(self, folder: Path, modality: Modality, names: Sequence[str]) -> None:
        found: list[Entry] = []
        self.others: dict[str, int] = {}
        for name in names:
            if is_dir(folder / name) and (name or not found):
                everything = walk(str(folder / name))
                self.others |= count_others((entry.name for entry in everything), modality)
                here = [e for e in everything if modality_of(e.name) == modality]
                found += sorted(here, key=lambda entry: (entry.name.count("/"), entry.name))
        self.entries: dict[str, Entry] = {}
        for entry in found:
            self.entries.setdefault(_stem(entry), entry)
        self._folded: dict[str, Entry] | None = None
        self._videos: dict[str, Entry] | None = None

    def get(self, names: Iterable[str]) -> Entry | None:
        """Return the first file that has one of the names, with or without extension."""
        for name in names:
            base = name.rpartition("/")[2]
            stem = base.rpartition(".")[0] if modality_of(base) else base
            if (entry := self.entries.get(nfc(stem))) is not None:
                return entry
        return None

    def get_folded(self, name: str) -> Entry | None:
        """Return the file of this name, whatever became of its punctuation and case."""
        if self._folded is None:
            self._folded = {}
            for stem, entry in self.entries.items():
                self._folded.setdefault(_fold(stem), entry)
        return self._folded.get(_fold(name.rpartition(".")[0] or name))

    def get_video(self, id: str) -> Entry | None:
        """Return the file named by a YouTube id, alone, with times after it or a Y before."""
        if self._videos is None:
            self._videos = {}
            for pattern in _VIDEOS:
                for stem, entry in self.entries.items():
                    if match := pattern.fullmatch(stem):
                        self._videos.setdefault(match.group(1), entry)
        return self._videos.get(id)


_VIDEOS = tuple(map(re.compile, (r"(.{11})", r"(.{11})[_+ -][-_.+ \d]*", r"Y(.{11})([_+ -].*)?")))


def _stem(entry: Entry) -> str:
    return nfc(entry.name.rpartition("/")[2].rpartition(".")[0])


def _fold(text: str) -> str:
    return "".join(c for c in nfc(text).casefold() if c.isalnum())


@dataclass(frozen=True, slots=True)
class Captioned:
    """An item of a captioned set.

    Attributes:
        id: of the item.
        names: its file may have, the usual one first.
        captions: at least one.
        video: YouTube id, where files may be named by it.
    """

    id: str
    names: tuple[str, ...]
    captions: tuple[str, ...]
    video: str = ""


def captions_in(published: PublishedSet, id: str, texts: Iterable[str]) -> tuple[str, ...]:
    """Return the captions of an item that say anything.

    Raises:
        DataError: none does.
    """
    if not (found := tuple(text.strip() for text in texts if text.strip())):
        raise published.damaged(published.labels, f"'{id}' has no caption")
    return found


def captioned(
    published: PublishedSet, modality: Modality, items: Sequence[Captioned]
) -> RetrievalData:
    """Join a captioned set's items with their files.

    Raises:
        MissingError: no file is there.
        DataError: no file can be decoded.
    """
    media_index = published.media_index(modality)
    found: list[tuple[Captioned, Entry]] = []
    for item in items:
        entry = media_index.get(item.names)
        if entry is None and item.video:
            entry = media_index.get_video(item.video)
        if entry is None and not item.video:
            entry = media_index.get_folded(item.names[0])
        if entry is not None:
            found.append((item, entry))
    if not found:
        some = f"none of its {len(items)} items has a file, such as {items[0].names[0]}"
        raise published.missing(some, dict(published.layout.media)[modality])
    part = published.part(modality, [(item.id, entry) for item, entry in found])
    kept = [item for (item, _), whole in zip(found, part.good, strict=True) if whole]
    task = published.layout.task
    return RetrievalData(
        left=published.corpus(part, part.good, modality),
        right=TextCorpus(
            f"{task} text",
            [caption for item in kept for caption in item.captions],
            [f"{task}/{item.id}/{i}" for item in kept for i in range(len(item.captions))],
        ),
        owner=np.repeat(np.arange(len(kept)), [len(item.captions) for item in kept]),
        expected=published.layout.expected,
    )


def paired(published: PublishedSet, items: Mapping[str, Sequence[str]]) -> RetrievalData:
    """Join a set of sounds and images of the same name.

    Args:
        published: of the set.
        items: id to the names its files may have.

    Raises:
        MissingError: no item has both files.
        DataError: no pair can be decoded.
    """
    sounds, images = published.media_index("audio"), published.media_index("image")
    found = [
        (id, sound, image)
        for id, names in items.items()
        if (sound := sounds.get(names)) is not None and (image := images.get(names)) is not None
    ]
    if not found:
        raise published.missing(f"none of its {len(items)} items has both a sound and an image")
    left = published.part("audio", [(id, sound) for id, sound, _ in found])
    right = published.part("image", [(id, image) for id, _, image in found])
    both = left.good & right.good
    if not both.any():
        raise published.damaged(published.labels, "no item has both a usable sound and image")
    return RetrievalData(
        left=published.corpus(left, both, "audio"),
        right=published.corpus(right, both, "image"),
        owner=np.arange(int(both.sum())),
        expected=published.layout.expected,
    )
