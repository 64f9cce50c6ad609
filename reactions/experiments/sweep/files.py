"""Sweep tables as files: parquet, csv, json."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reactions.core.errors import StoreError, UsageError
from reactions.core.local_files import exists, writable_folder
from reactions.experiments.sweep.table import SweepTable

FORMATS = (".parquet", ".csv", ".json")

_DECIMALS = 6
"""Of numbers in csv."""


def check_out(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that cannot be written, before anything is computed for it.

    Raises:
        UsageError: its name says no format, or it is there already.
        StoreError: its folder cannot be made or written to.
    """
    if path.suffix not in FORMATS:
        raise UsageError(
            f"cannot tell the format of '{path}'",
            why=f"the name does not end in {' or '.join(FORMATS)}",
            fix=f"such as --out {path.stem or 'sweep'}.csv",
        )
    if exists(path) and not overwrite:
        raise UsageError(f"{path} is there already", fix="another name, or --overwrite")
    if path.suffix == ".parquet":
        from reactions.encoders.packages import need_package

        need_package("pyarrow", str(path), "parquet")
    writable_folder(path.absolute().parent, f"'{path.name}'", "another place with --out")


def write_table(table: SweepTable, path: Path) -> None:
    """Write the rows of a table, all or nothing.

    Args:
        table: what a sweep measured.
        path: its ending says the format.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staging = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            if path.suffix == ".parquet":
                import pyarrow.parquet as pq

                pq.write_table(table.to_arrow(), staging)
            elif path.suffix == ".csv":
                staging.write_text(to_csv(table), encoding="utf-8")
            else:
                staging.write_text(json.dumps(to_json(table), indent=1) + "\n", encoding="utf-8")
            staging.replace(path)
        finally:
            staging.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}",
            why=error.strerror or str(error),
            fix="free space, or another place; what was computed is in the cache",
        ) from None


def to_csv(table: SweepTable) -> str:
    """Return the rows as comma-separated text with a header; empty where a row has no value.

    Scores are rounded to six decimals: 62.25 and not 62.25000000000001.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, table.columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: _text(v) for k, v in row.items()} for row in table.rows)
    return stream.getvalue()


def _text(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DECIMALS)
    return "" if value is None else value


def to_json(table: SweepTable) -> dict[str, Any]:
    """Return everything as a JSON object."""
    return {
        "lab": ", ".join(dict.fromkeys(str(row["lab"]) for row in table.defaults)),
        "axes": {axis: list(values) for axis, values in table.axes.items()},
        "rows": _listed(table.rows),
        "defaults": _listed(table.defaults),
        "notices": list(table.notices),
    }


def _listed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [dict(row) for row in rows]
