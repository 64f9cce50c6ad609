"""UniBind's released data files: ``datasets/NAME/{train,eval,test}_data.json``.

A list of objects: ``data`` is the name of a file beside it, ``label`` its class, and in training
files ``description`` a caption. (The published data are not to be had; these are the shapes that
the repository's README shows and its code reads.)
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError
from reactions.core.local_files import exists, is_dir
from reactions.core.types import Modality
from reactions.knowledge.base import MLLM, Description
from reactions.knowledge.imports.imported import (
    EntriesRead,
    ImportedRows,
    file_list,
    refuse_other_categories,
)
from reactions.knowledge.imports.json_list import json_entries

NAMES = ("train_data.json", "eval_data.json", "test_data.json")

_KEYS = ("data", "label", "description")


def unibind_files(places: Sequence[Path]) -> list[Path]:
    """Return the data files that folders and files name, in order.

    Raises:
        MissingError: a place is not there, or a folder holds none of the data files.
    """
    files: list[Path] = []
    for place in places:
        if not exists(place):
            raise MissingError(
                f"there is nothing at '{place}'", fix="check the path", path=str(place)
            )
        if not is_dir(place):
            files.append(place)
            continue
        data_files = [place / name for name in NAMES if exists(place / name)]
        if not data_files:
            below = sorted({path.parent.name for name in NAMES for path in place.glob(f"*/{name}")})
            raise MissingError(
                f"'{place}' holds none of {', '.join(NAMES)}",
                fix=f"one of its folders: {', '.join(below[:10])}"
                if below
                else "the folder of one data set, such as datasets/caltech101",
                path=str(place),
            )
        files += data_files
    return list(dict.fromkeys(files))


def read_unibind(
    files: Sequence[Path], modality: Modality, *, model: str = "", prompt: str = ""
) -> ImportedRows:
    """Read data files as descriptions of items.

    Args:
        files: in order; those of training have descriptions.
        modality: of the items, which the files do not say.
        model: that wrote the descriptions, which they do not say either.
        prompt: likewise.

    Returns:
        A row a description; ids are the names of files, as in a corpus that is their folder.

    Raises:
        MissingError: a file is not there.
        DataError: a file cannot be read, many entries cannot be used, none has a description, or
            an item has several labels.
    """
    rows: list[Description] = []
    remarks: list[str] = []
    counts = EntriesRead()
    labels: dict[str, None] = {}
    for path in files:
        bare = 0
        for number, entry in json_entries(path):
            counts.n += 1
            texts, why = _texts(entry)
            if why:
                counts.bad(f"'{path.name}' entry {number}", why)
                continue
            labels[entry["label"]] = None
            if texts is None:
                bare += 1
                continue
            for text in texts:
                if text.strip():
                    rows.append(
                        Description(
                            entry["data"], entry["label"], text, MLLM, modality, model, prompt
                        )
                    )
                else:
                    counts.dropped["blank"] += 1
        if bare:
            remarks.append(
                f"'{path.name}': entries without a description, which give no rows: {bare:,}"
            )
    what = file_list(files)
    counts.check(what)
    if not rows:
        raise DataError(
            f"there is nothing to import in {what}",
            why="no entry has a description; eval and test files name items and labels alone",
            fix="train_data.json, whose entries have descriptions",
        )
    refuse_other_categories(rows, what)
    if silent := [label for label in labels if label not in {row.category for row in rows}]:
        remarks.append(f"labels without a described item: {len(silent):,}, such as '{silent[0]}'")
    remarks += counts.remarks(what)
    return ImportedRows(tuple(rows), dict(counts.dropped), tuple(remarks))


def _texts(entry: dict[str, Any]) -> tuple[list[str] | None, str]:
    """Return an entry's descriptions, None without any; or why it cannot be used."""
    for key in ("data", "label"):
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            return None, f"'{key}' is missing" if key not in entry else f"'{key}' is not a text"
    text = entry.get("description")
    if text is None:
        return None, ""
    texts = text if isinstance(text, list) else [text]
    if any(not isinstance(part, str) for part in texts):
        return None, "'description' is not a text"
    return texts, ""
