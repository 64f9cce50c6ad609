"""What killed processes left outside the store: staging folders, pointers, embeddings half written.

All of them are hidden, have names that nothing else has, and are locked or young while a living
process works on them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reactions.products.bundles.folder import OLD, RECORD, restore_all
from reactions.store.disk import remove_tree, size_of
from reactions.store.locks import is_idle

# A file has its name for seconds before it is locked or renamed; an hour is generous. Where
# locks do not work, a day.
_GRACE_S = 3600.0
_UNLOCKED_GRACE_S = 86400.0

_STAGING = re.compile(r"\.molspace-(new|old)\.[a-z0-9_]{8}")  # as ``tempfile`` names them
_EARLIER_STAGING = re.compile(r"\..+\.[a-z0-9_]{8}")
"""Of earlier versions, and of pulling: such names are ours only among the default bundles."""

_OUTPUT = re.compile(r"\.molspace-[0-9a-f]{32}")


def sweep(data_root: Path, folders: tuple[Path, ...], *, dry_run: bool) -> tuple[list[Path], int]:
    """Remove what is left over, and bring back bundles that were about to be replaced.

    Args:
        data_root: where bundles and pointers to them lie.
        folders: where embeddings may have been written, and bundles.
        dry_run: only look.

    Returns:
        What was, or would be, removed, and its bytes.
    """
    bundles = data_root / "bundles"
    places = dict.fromkeys((bundles, *folders))
    if not dry_run:  # first, as what was moved aside may be a bundle's only copy
        for place in places:
            restore_all(place)
    paths = [*_pointers(data_root), *_outputs(data_root)]
    for place in places:
        paths += [*_outputs(place), *_staging(place, with_earlier=place == bundles)]
    size_bytes = 0
    removed = []
    for path in dict.fromkeys(paths):
        with suppress(OSError):  # gone meanwhile, or not ours to remove: then it stays
            freed = size_of(path) if path.is_dir() else path.lstat().st_size
            if not dry_run:
                remove_tree(path) if path.is_dir() else path.unlink()
            size_bytes += freed
            removed.append(path)
    return removed, size_bytes


def left_over_outputs(folder: Path) -> list[Path]:
    """Return embeddings that a killed process left half written in a folder."""
    return list(_outputs(folder))


def _pointers(folder: Path) -> Iterator[Path]:
    for path in _hidden(folder, ".current."):
        if path.is_file() and _is_left_over(path):
            yield path


def _outputs(folder: Path) -> Iterator[Path]:
    for path in _hidden(folder, ".molspace-"):
        if _OUTPUT.fullmatch(path.name) and path.is_file() and _is_left_over(path):
            yield path


def _staging(folder: Path, *, with_earlier: bool) -> Iterator[Path]:
    for path in _hidden(folder, "."):
        is_ours = _STAGING.fullmatch(path.name) or (
            with_earlier and _EARLIER_STAGING.fullmatch(path.name)
        )
        if not is_ours or path.is_symlink() or not path.is_dir() or not _is_left_over(path):
            continue
        if not _is_the_only_one(path):
            yield path


def _is_the_only_one(path: Path) -> bool:
    """Return whether a folder holds a bundle that was moved aside, whose place is empty."""
    name = path.name[1:].rpartition(".old.")[0]
    if path.name.startswith(OLD):
        return any(
            not (path.parent / record.parent.name).exists() for record in path.glob(f"*/{RECORD}")
        )
    return bool(name) and not (path.parent / name).exists() and (path / "bundle").exists()


def _hidden(folder: Path, prefix: str) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.name.startswith(prefix))
    except OSError:  # not there, or not ours to read
        return []


def _is_left_over(path: Path) -> bool:
    return not path.is_symlink() and is_idle(
        path, grace_s=_GRACE_S, unlocked_grace_s=_UNLOCKED_GRACE_S
    )
