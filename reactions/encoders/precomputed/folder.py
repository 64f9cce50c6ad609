"""A folder of embeddings as a whole: where it is, what it says of itself, and its tables."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, DimensionMismatch, MissingError, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import exists, expand_user, is_dir, read_text_file
from reactions.core.paths import cache_root
from reactions.core.types import Modality, SpaceSpec
from reactions.data.corpora import check_ids
from reactions.encoders.precomputed.layouts import all_ids, find_sets, unread
from reactions.encoders.precomputed.tables import EmbeddingFile, Joined

ADAPTER = "precomputed"
MAX_INFO_BYTES = 1 << 20
"""Most bytes of ``space.json``."""

_SPACE_KEYS = ("name", "revision", "licence", "hub")
_INFO_FIX = 'write an object such as {"name": "mine", "licence": "MIT"}, or remove the file'


def folder_of(uri: str | Path) -> Path:
    """Return the absolute folder that a path or ``precomputed:`` or ``file:`` URI names.

    Raises:
        MissingError: it is not an existing folder.
        UsageError: it begins with the home folder of an unknown user.
    """
    text = os.fspath(uri)
    for scheme in (f"{ADAPTER}:", "file://", "file:"):
        if text.startswith(scheme):
            text = text.removeprefix(scheme)
            break
    folder = expand_user(text)
    if not is_dir(folder):
        raise MissingError(
            f"no folder of embeddings at '{text}'",
            why="it is a file" if exists(folder) else "there is no such folder",
            fix="give a folder with one npy, safetensors or parquet file for each modality",
            path=str(folder),
        )
    try:
        folder = folder.resolve()
        # Only listing it shows whether it may be listed.
        os.scandir(folder).close()
    # RuntimeError: links in a circle, on older versions of Python.
    except (OSError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"cannot read the folder '{folder}'", why=why.lower(), path=str(folder)
        ) from None
    return folder


def read_info(folder: Path, modalities: Sequence[Modality]) -> dict[str, Any]:
    """Return what ``space.json`` says; empty without one.

    Raises:
        DataError: it cannot be read, or says what it cannot mean.
    """
    path = folder / "space.json"
    if not exists(path):
        return {}
    try:
        info = json.loads(read_text_file(path, MAX_INFO_BYTES))
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"cannot read '{path}'", why=str(error), fix=_INFO_FIX, path=str(path)
        ) from error
    if not isinstance(info, dict):
        raise DataError(f"'{path}' does not hold a JSON object", fix=_INFO_FIX, path=str(path))
    for key, value in info.items():
        if key not in _SPACE_KEYS:
            raise DataError(
                f"unknown key {key!a} in '{path}'",
                fix=suggestion(_printable(key), _SPACE_KEYS),
                path=str(path),
            )
        if not (value is None or isinstance(value, str)):
            raise DataError(f"'{key}' in '{path}' is not a string", fix=_INFO_FIX, path=str(path))
        if value is not None and not value.isprintable():
            raise DataError(
                f"'{key}' in '{path}' holds characters that cannot be printed",
                why=f"it is {value!a}",
                path=str(path),
            )
    if info.get("hub") is not None and info["hub"] not in modalities:
        raise DataError(
            f"hub '{info['hub']}' in '{path}' is not a modality of the space",
            fix=suggestion(info["hub"], modalities),
            path=str(path),
        )
    return info


def _printable(text: str) -> str:
    """Return text without lone surrogates, which JSON can hold and no output can take."""
    return text.encode("utf-8", "backslashreplace").decode()


def open_table(
    spec: SpaceSpec, modality: Modality, digests: DigestCache | None = None
) -> tuple[EmbeddingFile, list[str] | None, str]:
    """Return a modality's table, its ids, None where rows have only numbers, and their place.

    Raises:
        DataError: the space lacks the modality, or its ids do not fit its embeddings.
    """
    folder = folder_of(spec.source)
    part = find_sets(folder).get(modality)
    if part is None:
        raise DataError(
            f"space '{spec.name}' has no {modality} embeddings",
            why=f"it has {', '.join(spec.modalities)}",
            space=spec.name,
            modality=modality,
        )
    table = part.open(digests or DigestCache(cache_root()))
    if table.shape[1] != spec.dim:
        raise DimensionMismatch(
            f"'{table.path}' changed: {table.shape[1]} dimensions, {spec.dim} when planned",
            path=str(table.path),
        )
    ids, place = all_ids(folder, modality, part, table)
    return table, None if ids is None else _texts(ids, table.path, modality), place


def _texts(written: list[Any], path: Path, modality: Modality) -> list[str]:
    # Some writers of parquet do not say that their texts are UTF-8.
    with suppress(UnicodeDecodeError):
        written = [id.decode() if isinstance(id, bytes) else id for id in written]
    bad = [
        id for id in written if isinstance(id, bool) or not isinstance(id, str | int) or id == ""
    ]
    if bad:
        raise DataError(
            f"an id of {modality} in '{path.parent}' is neither text nor a whole number",
            why=f"found {bad[0]!r}",
            fix="write ids as texts, or as whole numbers without gaps",
            path=str(path),
        )
    ids = [str(id) for id in written]
    unprintable = next((id for id in ids if not id.isascii() and id != _printable(id)), None)
    if unprintable is not None:
        raise DataError(
            f"an id of {modality} in '{path.parent}' is not Unicode text",
            why=f"found '{_printable(unprintable)}'",
            path=str(path),
        )
    check_ids(str(path), modality, ids)
    return ids


def unread_files(spec: SpaceSpec) -> str:
    """Return a line on what lies in the folder of a space and is not read; "" for nothing.

    That is files, and where rows have no ids columns and tensors that might have held them.
    """
    folder = Path(spec.source)
    remarks = []
    if names := [str(path.relative_to(folder)) for path in unread(folder)]:
        count = "1 file" if len(names) == 1 else f"{len(names)} files"
        remarks.append(f"{count} in the folder of '{spec.name}' are not read: {_few(names)}")
    for modality in spec.modalities:
        try:
            table, ids, _ = open_table(spec, modality)
        except DataError:  # reported where its rows are asked for
            continue
        parts = table.parts if isinstance(table, Joined) else [table]
        unread_names = list(dict.fromkeys(n for part in parts for n in getattr(part, "unread", ())))
        if ids is None and unread_names:
            remarks.append(
                f"the {modality} rows of '{spec.name}' have no ids; not read beside them in "
                f"'{table.path.name}': {_few([_printable(name) for name in unread_names])}"
            )
    return "; ".join(remarks)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"
