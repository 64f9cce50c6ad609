"""Data sets of other kinds than parquet, written to parquet once by the library ``datasets``.

It reads folders of media, CSV, JSON, Arrow and more, and copies media as they are: it decodes
none. What it wrote is read like any other parquet file.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from reactions.core.errors import DataError, MissingError, MolspaceError
from reactions.core.extras import install_extra
from reactions.core.hashing import digest
from reactions.core.local_files import is_file, read_small_file
from reactions.core.paths import cache_root
from reactions.core.storage import entry_of
from reactions.data.hub.card import CardConfig
from reactions.data.hub.config import DatasetPlace
from reactions.data.hub.repository import CARD, DatasetFiles
from reactions.data.sources.config import OnProgress

_VERSION: Final = 1
_RECORD: Final = "splits.json"
_RECORD_BYTES: Final = 1 << 24

BUILDERS: Final = (
    "arrow",
    "audiofolder",
    "csv",
    "imagefolder",
    "json",
    "parquet",
    "text",
    "videofolder",
    "webdataset",
)
"""Parts of the library that read data alone; its others are not used."""


def prepared_splits(
    repository: DatasetFiles,
    names: Sequence[str],
    config: CardConfig,
    place: DatasetPlace,
    *,
    on_progress: OnProgress,
) -> tuple[Path, dict[str, list[str]]]:
    """Return a folder with a data set as parquet, and the files of each split in it.

    It is written unless it is there already.

    Args:
        repository: the data set.
        names: its files.
        config: from ``choose_config``.
        place: what is meant.
        on_progress: of the progress.

    Raises:
        MissingError: ``datasets`` is not installed, or files are missing.
        DataError: it cannot read them.
    """
    files = [*names, CARD] if is_file(repository.card()) else list(names)
    folder = repository.folder(files)
    # By times of change in a folder; a commit's files do not change.
    stamps = [] if place.revision else [entry_of(folder / name).stamp for name in files]
    steady = all(stamps)
    state = [place.revision, stamps if steady else []]
    key = digest("prepared", [_VERSION, place.name, config.name, files, state])
    target = cache_root() / "datasets" / "prepared" / key[:32]
    # Files that changed just now may change again under the same times.
    by_split = _known(target) if steady else None
    if by_split is None:
        on_progress(str(place), 0, 0)
        by_split = _prepare(folder, config, place, target)
        on_progress(str(place), 1, 1)
    with suppress(OSError):
        os.utime(target)  # ``molspace cache gc`` goes by the last use
    return target, by_split


def _known(target: Path) -> dict[str, list[str]] | None:
    with suppress(MolspaceError, ValueError):
        by_split = json.loads(read_small_file(target / _RECORD, _RECORD_BYTES))
        if all(is_file(target / name) for names in by_split.values() for name in names):
            return {str(split): list(names) for split, names in by_split.items()}
    return None


def _prepare(
    folder: Path, config: CardConfig, place: DatasetPlace, target: Path
) -> dict[str, list[str]]:
    library = _library()
    fresh = target.with_name(f"tmp-{uuid.uuid4().hex}")
    out = fresh / "out"
    out.mkdir(parents=True)
    try:
        with _explained(place), _quiet(library):
            if is_file(folder / "state.json") or is_file(folder / "dataset_dict.json"):
                by_split = _saved(library, folder, out)
            else:
                by_split = _built(library, folder, config, out)
        (out / _RECORD).write_text(json.dumps(by_split), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        # Last and in one move: what a killed run left half written is never read.
        out.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return by_split


def _built(library: Any, folder: Path, config: CardConfig, out: Path) -> dict[str, list[str]]:
    """Write all splits of a folder."""
    builder = library.load_dataset_builder(
        str(folder), name=config.name or None, cache_dir=str(out.with_name("library"))
    )
    # Its class comes from datasets.packaged_modules.imagefolder.imagefolder and the like.
    classes = [cls.__module__ for cls in type(builder).__mro__]
    if not any(f".packaged_modules.{name}." in module for module in classes for name in BUILDERS):
        raise DataError(
            f"the files in '{folder}' are not read",
            why=f"they are those of {classes[0]}; read are {', '.join(BUILDERS)}",
            fix="convert them to parquet",
            path=str(folder),
        )
    builder.download_and_prepare(str(out), file_format="parquet")
    by_split: dict[str, list[str]] = {}
    for split, info in (builder.info.splits or {}).items():
        stem = f"{builder.dataset_name}-{split}"
        n = len(info.shard_lengths or ())
        numbers = [f"-{i:05}-of-{n:05}.parquet" for i in range(n)] if n > 1 else [".parquet"]
        # Without the name of the folder: ids of rows begin with their file's.
        for number in numbers:
            (out / f"{stem}{number}").rename(out / f"{split}{number}")
        by_split[str(split)] = [f"{split}{number}" for number in numbers]
    return by_split


def _saved(library: Any, folder: Path, out: Path) -> dict[str, list[str]]:
    """Write all splits of what ``save_to_disk`` wrote."""
    saved = library.load_from_disk(str(folder))
    splits = dict(saved) if isinstance(saved, dict) else {str(saved.split or "train"): saved}
    for number, rows in enumerate(splits.values()):
        # Arrow's own tables: rows of the library's own would be decoded.
        _write(rows.with_format("arrow"), out / f"{number}.parquet")
    return {split: [f"{number}.parquet"] for number, split in enumerate(splits)}


def _write(rows: Any, path: Path) -> None:
    from pyarrow import parquet

    schema = rows.features.arrow_schema
    with parquet.ParquetWriter(path, schema) as writer:
        for table in rows.iter(batch_size=100):
            writer.write_table(table.cast(schema), row_group_size=100)


@contextmanager
def _quiet(library: Any) -> Any:
    shown = library.is_progress_bar_enabled()
    library.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bars()


@contextmanager
def _explained(place: DatasetPlace) -> Any:
    try:
        yield
    except MolspaceError:
        raise
    except Exception as error:  # the library has no common base for what can go wrong
        # Its own errors wrap the reason, sometimes several times.
        while error.__cause__ is not None and isinstance(error.__cause__, Exception):
            error = error.__cause__
        why = " ".join(str(error).split())[:300]
        raise DataError(
            f"the library datasets cannot read '{place}'",
            why=f"{type(error).__name__}: {why}".rstrip(": "),
            fix="check the data set; files of one kind can be named by path",
            dataset=place.name,
        ) from error


def _library() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingError(
            "cannot prepare the data set",
            why="its files are not parquet, and the package datasets is not installed",
            fix=install_extra("datasets"),
        ) from None
    return datasets
