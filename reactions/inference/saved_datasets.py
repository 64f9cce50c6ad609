"""Folders that the library ``datasets`` saved to disk, as parquet files."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Final

from reactions.core.addresses import Entry
from reactions.core.errors import UsageError
from reactions.core.local_files import is_file, read_small_file
from reactions.core.types import Modality
from reactions.data.hub.config import DatasetPlace
from reactions.data.hub.files import dataset_files

_SPLITS: Final = "dataset_dict.json"
_MAX_BYTES: Final = 1 << 20


def saved_files(folder: Path, modalities: Collection[Modality]) -> list[Entry]:
    """Return the parquet files that a saved data set is written to, once.

    Args:
        folder: what ``save_to_disk`` wrote.
        modalities: that are read from it.

    Raises:
        UsageError: it has several splits.
        MissingError: ``datasets`` is not installed.
        DataError: it cannot read the folder.
    """
    if is_file(folder / _SPLITS):
        try:
            listed = json.loads(read_small_file(folder / _SPLITS, _MAX_BYTES))
            splits = [str(split) for split in listed["splits"]]
        except (ValueError, KeyError, TypeError):
            splits = []
        if len(splits) > 1:
            raise UsageError(
                f"'{folder}' has several splits",
                why=", ".join(splits),
                fix=f"give one of them: {folder / splits[0]}",
            )
    return dataset_files(
        DatasetPlace(str(folder.resolve()), "", "", ()), list(modalities), remarks=[]
    )
