"""Parquet files as Hugging Face data sets have them: structs of media, and what each column is."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
from media_files import put
from pyarrow import parquet

STRUCT = pa.struct({"bytes": pa.binary(), "path": pa.string()})


def struct(data: bytes | None, path: str | None = None) -> dict[str, object]:
    """A field of media."""
    return {"bytes": data, "path": path}


def media_table(
    columns: Mapping[str, Sequence[object]], features: Mapping[str, Mapping[str, object]] = {}
) -> pa.Table:
    """A table; columns of which any field is a struct, or that are declared media, hold structs.

    Args:
        columns: values by name.
        features: what the library ``datasets`` would write of columns.
    """
    arrays = {
        name: pa.array(values, STRUCT)
        if any(isinstance(value, dict) for value in values)
        else pa.array(values)
        for name, values in columns.items()
    }
    table = pa.table(arrays)
    if features:
        hub_metadata = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": hub_metadata})
    return table


def media_bytes(
    columns: Mapping[str, Sequence[object]],
    features: Mapping[str, Mapping[str, object]] = {},
    *,
    row_group_size: int = 3,
    **options: object,
) -> bytes:
    """A parquet file."""
    stream = io.BytesIO()
    parquet.write_table(
        media_table(columns, features), stream, row_group_size=row_group_size, **options
    )
    return stream.getvalue()


def put_media(
    path: Path,
    columns: Mapping[str, Sequence[object]],
    features: Mapping[str, Mapping[str, object]] = {},
    **options: object,
) -> Path:
    """Write a parquet file that has not changed for long."""
    return put(path, media_bytes(columns, features, **options))
