"""Pairs as corpora of equal length: what lacks a half, or has a bad one, is left out and listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

from reactions.core.addresses import Entry, is_url, label
from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.hashing import digest
from reactions.core.storage import find
from reactions.core.types import Digest, Modality
from reactions.data.hub.config import DatasetPlace
from reactions.data.hub.files import dataset_files
from reactions.data.pairs.config import VIDEO, PairPlaces, joined_verdicts, no_pairs
from reactions.data.pairs.tables import read_sides
from reactions.data.pairs.videos import HalfPart, clip_look, video_side
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import OnProgress, Source, silent
from reactions.data.sources.corpus import SourceCorpus
from reactions.data.sources.files import names_folder
from reactions.data.sources.parts import CorpusPart, FilePart, NoItemsError
from reactions.data.sources.shards import shards_part
from reactions.data.sources.sides import Side, side_part
from reactions.data.sources.skipped import Skipped
from reactions.data.sources.table_media import media_columns
from reactions.data.sources.table_rows import ANNOTATIONS, SUFFIXES
from reactions.modalities.registry import get
from reactions.modalities.suffixes import suffix_of
from reactions.modalities.videos.files import need_av


class SourcePairs:
    """Usable pairs of scanned files, in order.

    Args:
        name: for messages and progress lines.
        section: of the lab file.
        parts: for each modality the parts of its side; all sides have the same rows.
        source: what is left out, and how much may be.
        tables: where digests and lists of bad items are kept.
        clips: whether its items are taken from videos.

    Raises:
        DataError: nothing is usable, more than ``max_bad`` is not, an id to skip is unknown, or
            the sides are not equally long.
    """

    def __init__(
        self,
        name: str,
        section: str,
        parts: dict[Modality, list[CorpusPart]],
        source: Source,
        *,
        tables: TableCache,
        clips: bool = False,
    ) -> None:
        self.name = name
        self.modalities = tuple(parts)
        self.clips = clips
        self._corpora = {
            modality: SourceCorpus(
                f"{name} {modality}",
                modality,
                [(part, source) for part in side],
                tables=tables,
                section=section,
                rows_are="pairs",
            )
            for modality, side in parts.items()
        }
        counts = {modality: len(corpus) for modality, corpus in self._corpora.items()}
        if len(set(counts.values())) > 1:
            raise DataError(
                f"the sides of [{section}] are not equally long",
                why=" and ".join(f"{n} of {modality}" for modality, n in counts.items()),
                fix="each row of a side needs one in the others, usable or not",
                pairs=name,
            )

    @property
    def sides(self) -> tuple[SourceCorpus, ...]:
        """The corpora, in the order of the modalities."""
        return tuple(self._corpora.values())

    @cached_property
    def digest(self) -> Digest:
        """Digest of both sides: ids, contents and order."""
        return digest("pairs", [[m, corpus.digest] for m, corpus in self._corpora.items()])

    @property
    def skipped(self) -> Skipped:
        """What is left out; the same pairs on every side."""
        return self.sides[0].skipped

    @property
    def size_bytes(self) -> int:
        """Bytes of its files; a video counts once."""
        sizes = [corpus.size_bytes for corpus in self.sides]
        return max(sizes) if self.clips else sum(sizes)

    @property
    def others(self) -> dict[str, int]:
        """How many files of other kinds lie beside its own and are left out, by their ending."""
        # Both halves of videos come from one folder; sides of shards have the same loose members.
        return self.sides[0].others

    @property
    def reading(self) -> tuple[str, ...]:
        """What was guessed, or is odd, about how its tables are read."""
        return tuple(dict.fromkeys(r for corpus in self.sides for r in corpus.reading))

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user should know before they are used; empty if all of them are."""
        remarks = dict.fromkeys(remark for corpus in self.sides for remark in corpus.remarks)
        left_out = self.skipped.sentence("pairs")
        sentences = [left_out, *remarks] if left_out else remarks
        return tuple(f"{self.name}: {sentence}" for sentence in sentences)

    def __len__(self) -> int:
        return len(self.sides[0])

    def corpus(self, modality: Modality) -> SourceCorpus:
        """Return one side; row ``i`` of each side belongs to row ``i`` of the others.

        Raises:
            DataError: the pairs do not have this modality.
        """
        if modality not in self._corpora:
            raise DataError(
                f"{self.name}: there is no {modality}",
                why=f"they are of {' and '.join(self.modalities)}",
                modality=modality,
            )
        return self._corpora[modality]


def open_pairs(
    name: str,
    section: str,
    places: PairPlaces,
    *,
    tables: TableCache,
    on_progress: OnProgress = silent,
) -> SourcePairs:
    """Open pairs, scanning what is new or changed.

    Args:
        name: for messages and progress lines.
        section: of the lab file, for errors.
        places: where they are.
        tables: remembers what earlier scans found.
        on_progress: of the progress of scans.

    Raises:
        MissingError: a file, folder or package is missing, or there are no pairs at all.
        DataError: what is there cannot be used.
        UsageError: the lab file says of a table what it does not have.
    """
    if places.clip is not None:
        need_av(f"the videos of [{section}]")
    opening = _Opening(name, section, places, tables, on_progress)
    parts: dict[Modality, list[CorpusPart]] = {modality: [] for modality in places.modalities}
    scanned = [opening.parts(path) for path in places.source.paths]
    if places.source.dataset is not None:
        scanned.append(opening.dataset(places.source.dataset))
    for sides in scanned:
        whys = [list(part.table.strings("why")) for part in sides]
        verdicts = joined_verdicts(places.modalities, whys)
        for modality, part, verdict in zip(places.modalities, sides, verdicts, strict=True):
            parts[modality].append(part.with_verdicts(verdict))
    return SourcePairs(
        name,
        section,
        parts,
        # Rows of both sides stand for each other: ids that are left out are those of pairs.
        places.source,
        tables=tables,
        clips=places.clip is not None,
    )


class _Opening:
    """What turns the paths of a section into parts, a part for each side."""

    def __init__(
        self,
        name: str,
        section: str,
        places: PairPlaces,
        tables: TableCache,
        on_progress: OnProgress,
    ) -> None:
        self._name = name
        self._section = section
        self._places = places
        self._tables = tables
        self._on_progress = on_progress

    def parts(self, path: str) -> list[CorpusPart]:
        """Scan one path; all parts have the same rows."""
        if not self._places.names:
            return self._clips(video_side(path), path, ())
        return self._of(path, self._files(path))

    def dataset(self, place: DatasetPlace) -> list[CorpusPart]:
        """Scan a data set, fetching what is not there; all parts have the same rows."""
        remarks: list[str] = []
        files = dataset_files(
            place, self._places.modalities, on_progress=self._on_progress, remarks=remarks
        )
        first, *other_parts = self._of(str(place), files)
        return [first.with_notices(remarks), *other_parts]

    def _of(self, path: str, files: Sequence[Entry]) -> list[CorpusPart]:
        if all(suffix_of(file.name) == ".tar" for file in files):
            return self._shards(path, files)
        if self._places.clip is not None:
            self._refuse_videos_within(files)
        remarks: list[str] = []
        sides = read_sides(
            files,
            self._places,
            tables=self._tables,
            on_progress=self._on_progress,
            remarks=remarks,
        )
        key = " ".join(file.url for file in files)
        if not sides[0].ids:
            raise no_pairs(self._section, f"'{key}' has no rows", path=key)
        if self._places.clip is not None:
            return self._clips(sides[0], key, remarks)
        size_bytes = sum(file.size_bytes for file in files)
        return [
            self._side(side, key, size_bytes, remarks if number == 0 else ())
            for number, side in enumerate(sides)
        ]

    def _refuse_videos_within(self, files: Sequence[Entry]) -> None:
        columns = tuple(column for _, column in self._places.names)
        source = replace(self._places.source, columns=columns)
        if any(media_columns(file, source, [VIDEO])[0] for file in files):
            raise UsageError(
                f"the videos of [{self._section}] lie in a parquet file",
                why="clips are taken from videos that are files of their own",
                fix='write the videos into a folder: video = "FOLDER"',
            )

    def _files(self, path: str) -> list[Entry]:
        """Return shards, a table of this machine, or parquet files."""
        endings = (*SUFFIXES, *ANNOTATIONS)
        usual = f"a table ({', '.join(endings)}), or shards (.tar)"
        if names_folder(path):
            raise MissingError(
                f"[{self._section}] names the folder '{path}'",
                why="files of a folder do not say which belong together",
                fix=f"give {usual}; videos go under video",
                path=path,
            )
        files = find(path)
        kinds = {suffix_of(file.name) for file in files}
        if kinds == {".tar"}:
            return files
        if not kinds <= set(endings):
            unreadable = next(f for f in files if suffix_of(f.name) not in (*endings, ".tar"))
            raise MissingError(
                f"cannot tell how to read pairs from '{path}'",
                why=f"'{unreadable.name}' is neither a table nor a shard",
                fix=f"give {usual}; videos go under video",
                path=path,
            )
        if kinds == {".parquet"}:
            return files
        if len(files) > 1:
            raise MissingError(
                f"'{path}' names {len(files)} tables",
                fix="list them one by one: path = [...]",
                path=path,
            )
        if is_url(files[0].url):
            raise UsageError(
                f"[{self._section}] names the table '{path}'",
                why="a table names files of the machine that it lies on",
                fix="download both, and give the table's path; or give shards",
            )
        return files

    def _side(self, side: Side, key: str, size_bytes: int, remarks: Sequence[str]) -> CorpusPart:
        return side_part(
            f"{self._name} {side.modality}",
            side,
            key=f"pairs {side.modality} {self._places.folder} {key}",
            size_bytes=size_bytes,
            tables=self._tables,
            depth=self._places.source.check,
            on_progress=self._on_progress,
            remarks=remarks,
        )

    def _clips(self, side: Side, key: str, remarks: Sequence[str]) -> list[CorpusPart]:
        choice = self._places.clip
        assert choice is not None  # only sections of videos come here
        videos = side_part(
            f"{self._name} {VIDEO}",
            side,
            key=f"clips {choice.key} {self._places.folder} {key}",
            tables=self._tables,
            depth=self._places.source.check,
            on_progress=self._on_progress,
            remarks=remarks,
            look=clip_look(choice),
        )
        assert isinstance(videos, FilePart)  # videos are never written out
        return [HalfPart(videos, "sound", choice), HalfPart(videos, "picture", choice)]

    def _shards(self, path: str, shards: Sequence[Entry]) -> list[CorpusPart]:
        if self._places.source.where:
            raise UsageError(
                f"[{self._section}].where says nothing about '{path}'",
                why="it chooses rows of a table, and shards have none",
                fix="remove it",
            )
        sides: list[CorpusPart] = []
        for modality, ending in self._places.names:
            if get(modality).inline:
                raise UsageError(
                    f"[{self._section}] takes {modality} from shards",
                    why="of a shard's samples only media are paired",
                    fix=f'list the pairs in a table: path = "pairs.jsonl", {modality} = "KEY"',
                )
            source = replace(self._places.source, member=str(ending).lower().lstrip("."))
            try:
                part = shards_part(
                    label(path),
                    shards,
                    modality,
                    source,
                    tables=self._tables,
                    on_progress=self._on_progress,
                )
            except NoItemsError as error:
                key = f"{self._section}.{modality}"
                error.fix = f"{key} is '{ending}': give an ending that the samples have"
                raise
            sides.append(part)
        return sides
