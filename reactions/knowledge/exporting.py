"""Knowledge bases as csv and jsonl, for other programs."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from reactions.core.errors import StoreError, UsageError
from reactions.core.local_files import exists, writable_folder
from reactions.knowledge.base import COLUMNS, Description, KnowledgeBase
from reactions.knowledge.files import SUFFIX, write_knowledge

FORMATS = (SUFFIX, ".csv", ".jsonl")


def check_knowledge_out(path: Path, *, overwrite: bool, formats: tuple[str, ...] = FORMATS) -> None:
    """Refuse a file that cannot be written, before anything is computed for it.

    Args:
        path: to write.
        overwrite: whether it may be there already.
        formats: endings that its name may have.

    Raises:
        UsageError: its name says no format, or it is there already.
        StoreError: its folder cannot be made or written to.
        MissingError: pyarrow is needed for it, and is not installed.
    """
    if path.suffix.lower() not in formats:
        raise UsageError(
            f"cannot tell the format of '{path}'",
            why=f"the name does not end in {' or '.join(formats)}",
            fix=f"--out {path.with_suffix(formats[0]) if path.name else 'kb' + formats[0]}",
        )
    if exists(path) and not overwrite:
        raise UsageError(f"{path} is there already", fix="another name, or --overwrite")
    if path.suffix.lower() == SUFFIX:
        from reactions.encoders.packages import need_package

        need_package("pyarrow", str(path), "parquet")
    writable_folder(path.absolute().parent, f"'{path.name}'", "another place with --out")


def export_knowledge(knowledge: KnowledgeBase, path: Path) -> int:
    """Write a knowledge base in the format that a name's ending says, all or nothing.

    Csv and jsonl hold the rows; what is known of all of them is in parquet alone.

    Args:
        knowledge: any.
        path: ends in one of ``FORMATS``.

    Returns:
        The number of rows.

    Raises:
        StoreError: it cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix == SUFFIX:
        return write_knowledge(path, knowledge.rows(), knowledge.metadata)
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with staging.open("w", encoding="utf-8", newline="") as stream:
                n = (_write_csv if suffix == ".csv" else _write_jsonl)(stream, knowledge.rows())
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write '{path}'", why=error.strerror or str(error), fix="another place"
        ) from None
    return n


def json_lines(rows: Iterable[Description]) -> Iterator[str]:
    """Yield rows as JSON, plain ASCII, without what is empty beyond the paper's four columns."""
    for row in rows:
        record = asdict(row)
        fields = {k: v for k, v in record.items() if k in COLUMNS[:4] or v not in ("", None)}
        yield json.dumps(fields)


def _write_jsonl(stream: IO[str], rows: Iterable[Description]) -> int:
    n = 0
    for line in json_lines(rows):
        stream.write(f"{line}\n")
        n += 1
    return n


def _write_csv(stream: IO[str], rows: Iterable[Description]) -> int:
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    n = 0
    for row in rows:
        values = asdict(row)
        writer.writerow(["" if values[name] is None else values[name] for name in COLUMNS])
        n += 1
    return n
