"""The media files of an evaluation set, by the names that its labels give them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.file_names import nfc
from reactions.core.local_files import is_dir
from reactions.core.storage import walk
from reactions.core.types import Modality
from reactions.modalities.suffixes import may_hold, modality_of, sort_out


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
        self._modality = modality
        entries: list[Entry] = []
        self.others: dict[str, int] = {}
        for name in names:
            if is_dir(folder / name) and (name or not entries):
                everything = walk(str(folder / name))
                media, other_kinds = sort_out(everything, modality)
                self.others |= other_kinds
                entries += sorted(media, key=lambda entry: (entry.name.count("/"), entry.name))
        self.entries: dict[str, Entry] = {}
        for entry in entries:
            self.entries.setdefault(_stem(entry), entry)
        self._folded: dict[str, Entry] | None = None
        self._videos: dict[str, Entry] | None = None

    def get(self, names: Iterable[str]) -> Entry | None:
        """Return the first file that has one of the names, with or without extension."""
        for name in names:
            base = name.rpartition("/")[2]
            is_named = may_hold(base, self._modality) or modality_of(base)
            stem = base.rpartition(".")[0] if is_named else base
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


# Ids have 11 characters, hyphens and underscores among them: whole names are tried first.
_VIDEOS = tuple(map(re.compile, (r"(.{11})", r"(.{11})[_+ -][-_.+ \d]*", r"Y(.{11})([_+ -].*)?")))


def _stem(entry: Entry) -> str:
    return nfc(entry.name.rpartition("/")[2].rpartition(".")[0])


def _fold(text: str) -> str:
    return "".join(c for c in nfc(text).casefold() if c.isalnum())
