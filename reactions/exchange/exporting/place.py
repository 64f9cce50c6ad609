"""Where an export goes: a new folder, or that of an earlier export."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reactions.core.errors import MolspaceError, StoreError, UsageError
from reactions.core.local_files import exists, read_small_file
from reactions.products.bundles.folder import replace, staging_folder

FORMAT = "molspace-export"
CONFIG, RECORD = "config.json", "molspace.json"
"""What says which files are an export's: of heads, and of a model, whose own config.json it has."""

_MAX_BYTES = 1 << 24


@contextmanager
def placed(out: Path, *, overwrite: bool) -> Iterator[Path]:
    """Lend a folder for the files of an export, which then takes its place.

    Args:
        out: where it goes.
        overwrite: whether an earlier export may be replaced.

    Raises:
        UsageError: something else has come to be there.
        StoreError: it cannot be written.
    """
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with staging_folder(out) as staging:
            yield staging
            check_place(out, overwrite=overwrite)  # somebody may have written meanwhile
            replace(staging, out)
    except OSError as error:
        raise StoreError(
            f"cannot write to {out}",
            why=error.strerror or str(error),
            fix="free space, or choose another place with --out",
        ) from None


def files_in(folder: Path) -> list[str]:
    """Return the names of all files in a folder, as its record lists them."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it is an earlier export to be replaced.

    Raises:
        UsageError: it is refused.
    """
    if not exists(out):
        return
    if not out.is_dir():
        raise UsageError(f"{out} is a file, and an export is a folder", fix="another --out")
    names = sorted(path.name for path in out.iterdir())
    if not names:
        return
    if not _is_export(out, names):
        raise UsageError(
            f"{out} holds something other than an export",
            why=f"there is {', '.join(names[:3])}",
            fix="a new or empty folder as --out",
        )
    if not overwrite:
        raise UsageError(f"{out} already exists", fix="--overwrite to replace it, or another --out")


def _is_export(out: Path, names: list[str]) -> bool:
    """Return whether all that a folder holds was exported: what replaces it deletes it."""
    try:
        record = RECORD if RECORD in names else CONFIG
        config = json.loads(read_small_file(out / record, _MAX_BYTES))
        files = {path.relative_to(out).as_posix() for path in out.rglob("*") if not path.is_dir()}
        exported = set(config.get("files", ()))  # exports of earlier versions do not list them
        exported |= {
            record,
            "README.md",
            *(entry.get("file") for entry in config["modalities"].values()),
        }
        return config["format"] == FORMAT and files <= exported
    except (MolspaceError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
