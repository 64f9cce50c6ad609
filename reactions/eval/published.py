"""Published evaluation sets: how one is described, and what the readers of all share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reactions.core.addresses import Entry
from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.local_files import exists
from reactions.core.types import Modality
from reactions.data.corpora import TextCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.corpus import SourceCorpus
from reactions.data.sources.files import Look, files_part
from reactions.data.sources.parts import FilePart
from reactions.eval.label_files import Damaged, csv_rows, json_value, text_lines
from reactions.eval.media_index import MediaIndex
from reactions.eval.task import Task
from reactions.eval.task_data import (
    BenchmarkData,
    ClassificationData,
    RetrievalData,
    captions_in_data,
)
from reactions.modalities.suffixes import describe_others


@dataclass(frozen=True, slots=True)
class Layout:
    """How the files of an evaluation set lie.

    Attributes:
        folders: names its folder may have.
        labels: where in it the labels or captions may be, the usual place first.
        media: (modality, folders that may hold its files) pairs; "" is the set's own folder.
        tree: how its files lie, for people.
    """

    folders: tuple[str, ...]
    labels: tuple[str, ...]
    media: tuple[tuple[Modality, tuple[str, ...]], ...]
    tree: str

    def find_labels(self, folder: Path) -> Path | None:
        """Return the file of labels in a folder, if this set lies there."""
        return next((folder / name for name in self.labels if exists(folder / name)), None)


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """A published evaluation set: what it is, how it is scored, how it lies, how it is read.

    Attributes:
        task: its description and protocol.
        layout: of its files.
        read: returns what is there and can be decoded; needed unless ``items`` says it all.
        items: of a set of media with captions: returns all of them, whether their files are
            there or not. Captions are compared with text corpora by it.
        splits: name to what reads a part of the set that may be trained on: ``train``, or
            ``fold1`` for all folds but the first; none where the set has no such part.

    Raises:
        UsageError: it has neither.
    """

    task: Task
    layout: Layout
    read: Callable[[PublishedSet], BenchmarkData] | None = None
    items: Callable[[PublishedSet], Sequence[Captioned]] | None = None
    splits: Mapping[str, Callable[[PublishedSet], ClassificationData]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.read is None and self.items is None:
            raise UsageError(
                f"the evaluation set '{self.task.name}' has no reader",
                fix="give read=..., or items=... if it consists of media with captions",
            )


@dataclass(frozen=True, slots=True)
class PublishedSet:
    """A set's folder, and what its readers need.

    Attributes:
        definition: of the set.
        folder: where it lies.
        labels: the file, or folder, of labels that was found.
        tables: remembers scans of its media.
        on_progress: of the progress of scans.
        reading: the part of the set whose media are read; "" for those that are evaluated.
    """

    definition: EvaluationSet
    folder: Path
    labels: Path
    tables: TableCache
    on_progress: OnProgress = silent
    reading: str = ""

    @property
    def task(self) -> Task:
        """Description of the set."""
        return self.definition.task

    @property
    def layout(self) -> Layout:
        """Layout of the set."""
        return self.definition.layout

    def read(self) -> BenchmarkData:
        """Read the set; only what is there and can be decoded counts.

        Raises:
            MissingError: labels are there, but none of the media.
            DataError: labels are damaged, or no media can be decoded.
        """
        if self.definition.read is not None:
            return self.definition.read(self)
        assert self.definition.items is not None  # checked by EvaluationSet
        return captioned(self, self.task.query, self.definition.items(self))

    def split(self, name: str) -> ClassificationData:
        """Read a part of the set that may be trained on.

        Args:
            name: one of the definition's ``splits``.

        Raises:
            UsageError: the set has no such part.
            MissingError: its media are not there.
            DataError: labels are damaged, or no media can be decoded.
        """
        if (read := self.definition.splits.get(name)) is None:
            raise no_split(self.task, name, self.definition.splits)
        return read(self)

    def captions(self) -> Iterator[tuple[str, str]]:
        """Yield (id, caption); nothing if the set has no captions.

        Sets with ``items`` give all of them, others those whose media are there.

        Raises:
            MissingError: without ``items``: none of the media is there.
            DataError: labels are damaged.
        """
        if self.definition.items is not None:
            for item in self.definition.items(self):
                for i, caption in enumerate(item.captions):
                    yield f"{self.task.name}/{item.id}/{i}", caption
        elif self.task.has_captions:
            yield from captions_in_data(self.read())

    def media_index(self, modality: Modality) -> MediaIndex:
        """Return the set's files of one modality.

        Raises:
            MissingError: there are none.
        """
        names = dict(self.layout.media)[modality]
        media_index = MediaIndex(self.folder, modality, names)
        if not media_index.entries:
            description = describe_others(media_index.others, modality)
            beside = f"; {description}" if description else ""
            raise self.missing(f"no {modality} files in {self.folder}{beside}", names)
        return media_index

    def missing(self, why: str, names: Sequence[str] = ()) -> MissingError:
        """Return the error for files of the set that are not there."""
        places = ", ".join(str(self.folder / name) for name in names if name)
        return MissingError(
            f"{self.task.title}: {why}",
            why=f"looked in {places}, and below" if places else "",
            fix=f"get it from {self.task.source}; its layout: {self.layout.tree}",
            task=self.task.name,
            path=str(self.folder),
            layout=self.layout.tree,
            origin=self.task.source,
        )

    def damaged(self, path: Path, why: str) -> DataError:
        """Return the error for a file of labels that cannot be used."""
        return DataError(
            f"cannot use '{path}' for {self.task.title}",
            why=why,
            fix=f"get it again from {self.task.source}",
            task=self.task.name,
            path=str(path),
        )

    def part(
        self, modality: Modality, files: Sequence[tuple[str, Entry]], look: Look | None = None
    ) -> FilePart:
        """Scan files for damage.

        Args:
            modality: of the files.
            files: (id, file) pairs, at least one.
            look: at a file, if not by the modality's checks alone; one for each set.
        """
        # Scans of several parts are remembered side by side.
        part = f" {self.reading}" if self.reading else ""
        return files_part(
            f"{self.task.name} {modality}{part}",
            [(f"{self.task.name}/{id}", entry) for id, entry in files],
            modality,
            key=f"{self.task.name} {self.folder}{part}",
            tables=self.tables,
            on_progress=self.on_progress,
            look=look,
        )

    def corpus(self, part: FilePart, kept: NDArray[np.bool_], modality: Modality) -> SourceCorpus:
        """Return some of a part's files as a corpus.

        What cannot be decoded counts as not found: the numbers found and expected show it.

        Raises:
            DataError: none can be decoded.
        """
        dropped = part.ids(np.flatnonzero(part.good & ~kept))
        source = Source(skip=frozenset(dropped), max_bad=1.0)
        section = f"data.{self.task.name}"
        return SourceCorpus(
            part.name, modality, [(part, source)], tables=self.tables, section=section
        )

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


def no_split(task: Task, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a part of a set that it does not have."""
    names = list(known)
    return UsageError(
        f"task '{task.name}' has no split '{name}'",
        why="" if names else f"{task.title} has no part that is published for training",
        fix=suggestion(name, names) if names else "a corpus of one's own: [corpora] in a lab file",
        task=task.name,
        known=names,
    )


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
    """Return the captions of an item that are not blank.

    Raises:
        DataError: there are none.
    """
    if not (captions := tuple(text.strip() for text in texts if text.strip())):
        raise published.damaged(published.labels, f"'{id}' has no caption")
    return captions


def captioned(
    published: PublishedSet, modality: Modality, items: Sequence[Captioned]
) -> RetrievalData:
    """Join a captioned set's items with their files.

    Raises:
        MissingError: no file is there.
        DataError: no file can be decoded.
    """
    media_index = published.media_index(modality)
    present: list[tuple[Captioned, Entry]] = []
    for item in items:
        entry = media_index.get(item.names)
        if entry is None and item.video:
            entry = media_index.get_video(item.video)
        # Never for YouTube ids: they may differ in case and punctuation alone.
        if entry is None and not item.video:
            entry = media_index.get_folded(item.names[0])
        if entry is not None:
            present.append((item, entry))
    if not present:
        some = f"none of its {len(items)} items has a file, such as {items[0].names[0]}"
        raise published.missing(some, dict(published.layout.media)[modality])
    part = published.part(modality, [(item.id, entry) for item, entry in present])
    whole_items = [item for (item, _), whole in zip(present, part.good, strict=True) if whole]
    task = published.task.name
    return RetrievalData(
        left=published.corpus(part, part.good, modality),
        right=TextCorpus(
            f"{task} text",
            [caption for item in whole_items for caption in item.captions],
            [f"{task}/{item.id}/{i}" for item in whole_items for i in range(len(item.captions))],
        ),
        owner=np.repeat(np.arange(len(whole_items)), [len(item.captions) for item in whole_items]),
        expected=published.task.expected or len(items),
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
    present = [
        (id, sound, image)
        for id, names in items.items()
        if (sound := sounds.get(names)) is not None and (image := images.get(names)) is not None
    ]
    if not present:
        raise published.missing(f"none of its {len(items)} items has both a sound and an image")
    left = published.part("audio", [(id, sound) for id, sound, _ in present])
    right = published.part("image", [(id, image) for id, _, image in present])
    both = left.good & right.good
    if not both.any():
        raise published.damaged(published.labels, "no item has both a usable sound and image")
    return RetrievalData(
        left=published.corpus(left, both, "audio"),
        right=published.corpus(right, both, "image"),
        owner=np.arange(int(both.sum())),
        expected=published.task.expected or len(items),
    )
