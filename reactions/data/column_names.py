"""What the columns of tables are usually called, by which their contents are guessed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from reactions.core.types import Modality
from reactions.modalities import registry

FILE_NAMES: Final = ("file", "filename", "file_name", "path", "filepath", "file_path", "fname")
SPLITS: Final = ("split", "subset", "partition")
_USUAL: Final[Mapping[Modality, tuple[str, ...]]] = {
    "text": ("caption", "captions", "sentence", "description", "query", "texts", "comment"),
    "image": ("img", "picture", "photo", "images", "image_name"),
    "audio": ("sound", "wav", "sounds"),
    "video": ("clip", "videos"),
}


def guessed(names: Sequence[str], by_id: Collection[Modality] = ()) -> dict[Modality, list[str]]:
    """Return the columns that are named after modalities, alone or numbered.

    Args:
        names: of the columns.
        by_id: modalities whose items are named by ids: ``image_id`` comes before ``image``.
    """
    columns: dict[Modality, list[str]] = {}
    for modality in registry.names():
        matching = [name for name in names if named_after(modality, name)]
        if modality in by_id:
            matching = [name for name in names if _is_id_of(modality, name)] or matching
        numbered = [name for name in matching if name[-1].isdecimal()]
        exact = [name for name in matching if name not in numbered]
        if len(exact) == 1 and not numbered:
            columns[modality] = exact
        elif numbered and not exact:
            columns[modality] = numbered
        elif modality in names:
            columns[modality] = [modality]
    return columns


def named_after(modality: Modality, column: str) -> bool:
    """Return whether a column is named after a modality, alone or numbered."""
    words = {*_words(modality), f"{modality}_path", f"{modality}_file", f"{modality}s"}
    return re.fullmatch(rf"(?:{_any_of(words)})(?:[_ ]?\d+)?", column.casefold()) is not None


def _is_id_of(modality: Modality, column: str) -> bool:
    """Return whether a column is named after the ids of a modality, alone or numbered."""
    name = rf"(?:{_any_of(_words(modality))})[_ ]?(?:ids?|keys?)(?:[_ ]?\d+)?"
    return re.fullmatch(name, column.casefold()) is not None


def _words(modality: Modality) -> set[str]:
    return {modality, *_USUAL.get(modality, ())}


def _any_of(words: set[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words))
