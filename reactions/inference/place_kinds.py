"""Which arguments name tars, tables, data sets and addresses, whose contents are read elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal, TypeAlias

from reactions.core.addresses import is_url
from reactions.core.local_files import is_file
from reactions.core.remote import url_name
from reactions.core.types import Modality
from reactions.data.path_like import known_suffix
from reactions.modalities.suffixes import may_hold, suffix_of

PlaceKind: TypeAlias = Literal["tar", "parquet", "table", "data set", "remote file", ""]

CONTAINERS: dict[str, PlaceKind] = {".tar": "tar", ".parquet": "parquet"}
TABLES: dict[str, PlaceKind] = dict.fromkeys((".csv", ".tsv", ".json"), "table")
"""Of this machine alone: they name files."""

_SAVED: Final = ("state.json", "dataset_dict.json")
"""Of what ``save_to_disk`` of the library ``datasets`` wrote."""


def place_kind(text: str, base: Path = Path(), modality: Modality | None = None) -> PlaceKind:
    """Return what an argument names of what is not read as a local medium or as lines.

    Args:
        text: an argument, from ``named_places``.
        base: folder that relative paths start from.
        modality: what all arguments hold; None where their endings say it.

    Returns:
        "" for texts, local media and files of lines.
    """
    name = url_name(text)
    kind = CONTAINERS.get(suffix_of(name), "")
    if modality is not None and may_hold(name, modality):
        kind = ""
    if is_address(text):
        return kind or "remote file"
    if is_saved_dataset(text, base):
        return "data set"
    kind = kind or TABLES.get(suffix_of(name), "")
    return kind if kind and _is_local_file(text, base) else ""


def is_saved_dataset(text: str, base: Path = Path()) -> bool:
    """Return whether an argument names a folder that ``datasets`` saved to disk."""
    return any(_is_local_file(f"{text}/{name}", base) for name in _SAVED) and bool(text.strip())


def is_address(text: str) -> bool:
    """Return whether an argument is an address, and not a text that begins with one."""
    return is_url(text) and (len(text.split()) == 1 or bool(known_suffix(text)))


def _is_local_file(text: str, base: Path) -> bool:
    try:
        return is_file(base / text)
    except (OSError, ValueError):  # longer than any file's name, or with a null in it
        return False
