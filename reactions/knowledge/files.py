"""Knowledge bases as parquet files: a row a description, what is known of all in the schema.

Files come from anywhere. What one says of its own sizes is held against its length before it is
unpacked, and every value is checked.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from reactions.core.errors import DataError, MissingError, StoreError, guarded
from reactions.core.extras import install_extra
from reactions.core.local_files import check_regular, exists
from reactions.core.storage import entry_of, open_binary
from reactions.data.sources.caption_parquet import read_parquet
from reactions.data.sources.config import Source
from reactions.knowledge.base import (
    COLUMNS,
    FORMAT,
    REQUIRED_COLUMNS,
    DescribedCorpus,
    Description,
    KnowledgeMetadata,
    KnowledgeTable,
    WriterModel,
    count_sources,
)

SUFFIX = ".parquet"
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")
"""Endings of tables that ``molspace kb import table`` reads, beside our own."""


MAX_TEXT_CHARACTERS = 1 << 16
"""Of one value; a description has a sentence or two."""

MAX_SEED = 1 << 63

_METADATA_KEY = b"molspace"
_MAX_METADATA_BYTES = 4 << 20
_GROUP_ROWS = 1 << 16


# --- reading ----------------------------------------------------------------------------


def open_knowledge(path: Path, *, name: str = "") -> KnowledgeTable:
    """Read a knowledge base.

    Args:
        path: of a parquet file with columns ``id, category, description, source``, and any of
            ``modality, model, prompt, seed``.
        name: in the lab; the path by default.

    Raises:
        MissingError: it is not there, or pyarrow is not installed.
        DataError: it cannot be read, lacks a column, or a row cannot be used; or it is newer than
            this version.
    """
    name = name or str(path)
    if not exists(path):
        raise MissingError(
            f"there is no knowledge base at '{path}'",
            fix="check the path; the lab's own: molspace kb show",
            path=str(path),
        )
    check_regular(path, path.stat().st_mode)
    if path.suffix.lower() != SUFFIX:
        is_table = path.suffix.lower() in TABLE_SUFFIXES
        raise DataError(
            f"'{path}' is not a knowledge base",
            why="knowledge bases are parquet files",
            fix=f"molspace kb import table {path} --out {path.with_suffix(SUFFIX).name}"
            if is_table
            else "a file that molspace kb build, describe or import made; the lab's own: "
            "molspace kb show",
            path=str(path),
        )
    header, record = _head(path)
    absent = [column for column in REQUIRED_COLUMNS if column not in header]
    if absent:
        raise DataError(
            f"'{path}' is not a knowledge base",
            why=f"it has no column '{absent[0]}'; its columns: {', '.join(header) or 'none'}",
            fix=f"columns {', '.join(REQUIRED_COLUMNS)}, and any of "
            f"{', '.join(COLUMNS[len(REQUIRED_COLUMNS) :])}; or molspace kb import table {path}",
            path=str(path),
        )
    if twice := next((column for column in COLUMNS if header.count(column) > 1), None):
        raise _unreadable(path, f"several of its columns are named '{twice}'")
    notices = []
    if record is None:
        notices.append(f"knowledge base '{name}' says nothing of its prompts, models and items")
    metadata = KnowledgeMetadata() if record is None else _metadata(record, path)
    if unread := [column for column in header if column not in COLUMNS]:
        notices.append(f"knowledge base '{name}': not read: {', '.join(unread)}")
    return KnowledgeTable(name, _rows(path, header), metadata, notices)


def _head(path: Path) -> tuple[list[str], dict[str, Any] | None]:
    """Return the columns of a file, and what is known of its rows; None if it says nothing."""
    try:
        from pyarrow import parquet
    except ImportError:
        raise _no_pyarrow(f"cannot read '{path}'") from None
    with open_binary(str(path)) as stream, guarded(lambda error: _unreadable(path, str(error))):
        schema = parquet.read_schema(stream)
        header, raw = list(schema.names), (schema.metadata or {}).get(_METADATA_KEY)
        if raw is None:
            return header, None
        if len(raw) > _MAX_METADATA_BYTES:
            raise _unreadable(path, f"its metadata have {len(raw):,} bytes")
        record = json.loads(raw.decode("utf-8"))
    if not isinstance(record, dict):
        raise _unreadable(path, "its metadata are not a JSON object")
    return header, record


def _rows(path: Path, header: list[str]) -> Iterator[Description]:
    columns = tuple(column for column in COLUMNS if column in header)
    entry = entry_of(path)
    try:
        with open_binary(str(path)) as stream:
            source = Source(paths=(str(path),), columns=columns)
            values_of_rows = read_parquet(entry, stream, source)
            for number, (_, values) in enumerate(values_of_rows, start=1):
                row = dict(zip(columns, values, strict=True))
                yield _row(row, f"'{path}', row {number}")
    except (DataError, MissingError) as error:
        # The reader is that of captions, and says so; here only its reason fits.
        if not error.what.startswith("cannot read captions from"):
            raise
        raise _unreadable(path, error.why) from error


def _row(values: Mapping[str, Any], where: str) -> Description:
    texts: dict[str, str] = {}
    for column, value in values.items():
        if column == "seed":
            continue
        # A description may be missing, which is counted; nothing else may.
        may_be_null = column not in ("id", "category", "source")
        if value is None and may_be_null:
            value = ""
        if not isinstance(value, str):
            kind = "null" if value is None else type(value).__name__
            raise DataError(f"{where}: '{column}' is {kind}, not a text")
        if len(value) > MAX_TEXT_CHARACTERS:
            raise DataError(
                f"{where}: '{column}' has {len(value):,} characters",
                why=f"at most {MAX_TEXT_CHARACTERS:,} are read",
            )
        # Millions of rows share few of these.
        texts[column] = value if column in ("id", "description") else sys.intern(value)
    seed = values.get("seed")
    if seed is not None and (
        not isinstance(seed, int) or isinstance(seed, bool) or abs(seed) >= MAX_SEED
    ):
        raise DataError(f"{where}: 'seed' is {type(seed).__name__}, not a whole number")
    return Description(seed=seed, **texts)


def _metadata(record: Mapping[str, Any], path: Path) -> KnowledgeMetadata:
    """Check what a file says of its rows."""
    if (version := record.get("format")) != FORMAT:
        newer = isinstance(version, str) and version.startswith(FORMAT.rstrip("0123456789"))
        raise DataError(
            f"cannot read the knowledge base '{path}'",
            why=f"its format is {version!r}, and this version reads {FORMAT}",
            fix="update molspace" if newer else "copy it again",
            path=str(path),
        )
    keys = {*KnowledgeMetadata.__dataclass_fields__, "format", "counts"}
    if unknown := next((key for key in record if key not in keys), None):
        raise _unreadable(path, f"its metadata have an unknown key '{unknown}'")
    try:
        return KnowledgeMetadata(
            dataset=_typed(record, "dataset", str, ""),
            prompts=tuple(_texts(_typed(record, "prompts", list, []))),
            models=tuple(
                WriterModel(**_table_of_texts(entry, WriterModel.__dataclass_fields__))
                for entry in _typed(record, "models", list, [])
            ),
            token_limit=_positive(_typed(record, "token_limit", int, 0)),
            items={
                modality: DescribedCorpus(
                    **_table_of_texts(entry, DescribedCorpus.__dataclass_fields__)
                )
                for modality, entry in _typed(record, "items", dict, {}).items()
            },
            # Files of earlier versions also name reasons for which nothing was left out.
            dropped={
                reason: _positive(n)
                for reason, n in _typed(record, "dropped", dict, {}).items()
                if n != 0 or isinstance(n, bool)
            },
        )
    except (TypeError, ValueError) as error:
        raise _unreadable(path, f"its metadata: {error}") from None


def _typed(record: Mapping[str, Any], key: str, kind: type, default: Any) -> Any:
    value = record.get(key, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"'{key}' is {type(value).__name__}, not {kind.__name__}")
    return value


def _texts(values: list[Any]) -> list[str]:
    if wrong := next((value for value in values if not isinstance(value, str)), None):
        raise TypeError(f"{wrong!r} is not a text")
    return values


def _table_of_texts(entry: Any, keys: Iterable[str]) -> dict[str, str]:
    if not isinstance(entry, dict) or not {*entry} <= {*keys}:
        raise TypeError(f"{entry!r} is not a table of {', '.join(keys)}")
    _texts(list(entry.values()))
    return entry


def _positive(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{value!r} is not a number from 1 up")
    return value


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        f"cannot read the knowledge base '{path}'",
        why=" ".join(why.split()),
        fix="copy it again, or make it again",
        path=str(path),
    )


# --- writing ----------------------------------------------------------------------------


def write_knowledge(path: Path, rows: Iterable[Description], metadata: KnowledgeMetadata) -> int:
    """Write a knowledge base in one move, replacing what is there.

    Args:
        path: ends in ``.parquet``; folders above it are made.
        rows: in order; at least one.
        metadata: what is known of them.

    Returns:
        The number of rows.

    Raises:
        MissingError: pyarrow is not installed.
        DataError: there are no rows, one cannot be used, or the name ends in something else.
        StoreError: it cannot be written.
    """
    check_writable_name(path)
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise _no_pyarrow(f"cannot write '{path}'") from None
    table = KnowledgeTable(str(path), rows, metadata)
    record = {"format": FORMAT, **asdict(metadata), "counts": count_sources(table.rows())}
    text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
    raw = text.encode("utf-8", "replace")
    if len(raw) > _MAX_METADATA_BYTES:
        raise DataError(
            f"cannot write '{path}'",
            why=f"prompts and models take {len(raw):,} bytes of {_MAX_METADATA_BYTES:,}",
        )
    kinds = {"seed": pa.int64()}
    schema = pa.schema(
        [pa.field(name, kinds.get(name, pa.string())) for name in COLUMNS],
        metadata={_METADATA_KEY: raw},
    )
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with parquet.ParquetWriter(staging, schema, compression="zstd") as writer:
                for columns in _batches(table):
                    arrays = [pa.array(columns[field.name], field.type) for field in schema]
                    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)
    except UnicodeEncodeError as error:
        raise DataError(
            f"cannot write '{path}'", why=f"a text is not valid Unicode: {error.reason}"
        ) from None
    except OSError as error:
        raise StoreError(
            f"cannot write '{path}'", why=error.strerror or str(error), fix="another place"
        ) from None
    return len(table)


def check_writable_name(path: Path) -> None:
    """Refuse a name that does not say that the file is a knowledge base (DataError)."""
    if path.suffix.lower() != SUFFIX:
        raise DataError(
            f"cannot write a knowledge base to '{path}'",
            why="knowledge bases are parquet files",
            fix=f"--out {path.with_suffix(SUFFIX)}",
            path=str(path),
        )


def _batches(table: KnowledgeTable) -> Iterator[dict[str, list[Any]]]:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in table.rows():
        for name, values in columns.items():
            values.append(getattr(row, name))
        if len(columns["id"]) == _GROUP_ROWS:
            yield columns
            columns = {name: [] for name in COLUMNS}
    if columns["id"]:
        yield columns


def _no_pyarrow(what: str) -> MissingError:
    return MissingError(what, why="pyarrow is not installed", fix=install_extra("parquet"))
