"""Columns of parquet files that hold media: which ones they are, and which one is meant."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from reactions.core.addresses import Entry
from reactions.core.errors import DataError
from reactions.core.types import Modality
from reactions.modalities.registry import get

if TYPE_CHECKING:
    import pyarrow as pa

ColumnKind: TypeAlias = Literal["struct", "bytes", "string", "other"]
"""Of ``{bytes, path}`` structs, of bytes, of texts (names of files), or of anything else."""

_MAX_METADATA_BYTES = 1 << 24
_SHOWN = 300


def column_kind(schema: pa.Schema, name: str) -> ColumnKind:
    """Return what a column holds, by its type alone.

    Args:
        schema: of the file.
        name: of a column of it.
    """
    import pyarrow as pa

    kind = schema.field(name).type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        names = {kind.field(i).name for i in range(kind.num_fields)}
        return "struct" if names and names <= {"bytes", "path"} else "other"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "bytes"
    return "string" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else "other"


def hub_features(schema: pa.Schema) -> Mapping[str, Any]:
    """Return what the library ``datasets`` wrote of each column, such as ``{"_type": "Image"}``.

    What cannot be understood is left out: a file's own types say how it is read.
    """
    raw = (schema.metadata or {}).get(b"huggingface", b"")
    if not 0 < len(raw) <= _MAX_METADATA_BYTES:
        return {}
    try:
        features = json.loads(raw)["info"]["features"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, dict) else {}


def feature_type(schema: pa.Schema, name: str) -> str:
    """Return what ``datasets`` calls a column's type, such as ``"image"``; "" where unknown."""
    feature = hub_features(schema).get(name)
    kind = feature.get("_type") if isinstance(feature, dict) else ""
    return kind.casefold() if isinstance(kind, str) else ""


def find_media_column(
    file: Entry, schema: pa.Schema, modality: Modality, remarks: list[str]
) -> str:
    """Return the column of a file that holds a modality, by types and names.

    A column that ``datasets`` declares to be of the modality comes first, then one of the
    modality's name, then the only one that holds media at all.

    Args:
        file: for messages.
        schema: of the file.
        modality: of the items.
        remarks: gets a sentence where the column was guessed.

    Raises:
        DataError: none or several columns may be meant.
    """
    names: list[str] = list(schema.names)
    media = [name for name in names if column_kind(schema, name) in ("struct", "bytes")]
    words = {modality, *get(modality).aliases}
    declared = [name for name in media if feature_type(schema, name) == modality]
    called = [name for name in media if name.casefold() in words]
    for columns in (declared, [name for name in declared if name in called], called):
        if len(columns) == 1:
            return columns[0]
    if len(media) == 1 and feature_type(schema, media[0]) in ("", "value", modality):
        remarks.append(f"'{file.name}': the only column of media, '{media[0]}', is read")
        return media[0]
    kinds = ", ".join(f"{name} ({schema.field(name).type})" for name in names)
    raise DataError(
        f"which column of '{file.url}' holds the {modality}?",
        why=f"its columns: {kinds or 'none'}"[:_SHOWN],
        fix=f'name it: column = "{(media or ["..."])[0]}"',
        path=file.url,
    )


def check_media_column(file: Entry, schema: pa.Schema, name: str) -> ColumnKind:
    """Return the kind of a column that is to hold media.

    Raises:
        DataError: it holds neither ``{bytes, path}`` structs, nor bytes, nor names of files.
    """
    kind = column_kind(schema, name)
    if kind == "other":
        raise DataError(
            f"the column '{name}' of '{file.url}' holds no media",
            why=f"it is of the type {schema.field(name).type}",
            fix="name one of {bytes, path} structs, of bytes, or of names of files",
            path=file.url,
            column=name,
        )
    return kind


def class_names(schema: pa.Schema, name: str) -> Sequence[str]:
    """Return the names that a column's whole numbers, or lists of them, stand for; () if none."""
    feature = hub_features(schema).get(name)
    if isinstance(feature, list) and len(feature) == 1:  # how lists were written once
        (feature,) = feature
    while isinstance(feature, dict) and isinstance(feature.get("feature"), dict):
        feature = feature["feature"]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def named_classes(value: Any, names: Sequence[str]) -> Any:
    """Return a field with the names of classes in place of their numbers.

    Numbers without a name become None: -1 stands for no class.
    """
    if isinstance(value, list):
        return [named_classes(part, names) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return names[value] if 0 <= value < len(names) else None
    return value
