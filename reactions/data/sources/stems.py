"""Files that tables call by their names without the ending."""

from __future__ import annotations

import os
from pathlib import Path

from reactions.core.addresses import Entry
from reactions.core.file_names import nfc
from reactions.core.storage import entry_of
from reactions.core.types import Modality
from reactions.modalities.suffixes import may_hold, modality_of


def has_ending(name: str, modality: Modality) -> bool:
    """Return whether a name ends as those of media do."""
    return may_hold(name, modality) or modality_of(name) is not None


class Stems:
    """The files of a modality in folders, by their names without the ending; each listed once.

    Args:
        modality: of the files.
    """

    def __init__(self, modality: Modality) -> None:
        self.modality = modality
        self._listed: dict[Path, dict[str, list[str]]] = {}

    def in_folder(self, folder: Path) -> dict[str, list[str]]:
        """Return the names of a folder's files, by their stems; {} where there is no folder."""
        if folder not in self._listed:
            by_stem: dict[str, list[str]] = {}
            for name in _names(folder):
                if may_hold(name, self.modality):
                    by_stem.setdefault(nfc(name.rpartition(".")[0]), []).append(name)
            self._listed[folder] = by_stem
        return self._listed[folder]

    def find(self, path: Path) -> tuple[Entry | None, str]:
        """Return the file of a name without an ending, and why there is none."""
        names = self.in_folder(path.parent).get(nfc(path.name), [])
        if len(names) == 1:
            return entry_of(path.parent / names[0]), ""
        if names:
            return None, f"several files are called so: {', '.join(sorted(names))}"
        return None, f"there is no file '{path}', nor one with an ending of {self.modality}"


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except OSError:
        return []
