"""Places of bundles: whether one is there, may be written there, and where its weights lie."""

from __future__ import annotations

import os
import re
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Final

from reactions.core.errors import BundleError, MissingError, StoreError, UsageError
from reactions.core.types import SpaceSpec
from reactions.products.bundles.bundle import RECORD, Bundle, check_replaceable, load_bundle
from reactions.products.bundles.folder import restore

# One word with a dash, which only a quoted name may have in a reaction.
_DASHED = re.compile(r"[\w.]+(-[\w.]*)+")
_MOST_BESIDE: Final = 1000
_NEAR: Final = 0.85


def named_source(own: SpaceSpec, spec: SpaceSpec) -> str:
    """Return where the weights lie that a person named for a space of a bundle.

    Raises:
        UsageError: they are not those that the bundle was made with.
    """
    if any(own.identity(modality) != spec.identity(modality) for modality in spec.modalities):
        raise UsageError(
            f"the weights named for '{spec.name}' are not those of the bundle",
            why=f"SHA-256 {own.weights_digest[:12] or '?'}, not {spec.weights_digest[:12] or '?'}",
            fix="leave --weights out   or   molspace react again with them",
            space=spec.name,
        )
    return own.source


def names_bundle(path: Path) -> bool:
    """Return whether a path is that of a bundle's directory or record."""
    try:
        restore(path)  # a process may have been killed while it replaced it
        return (path / RECORD).is_file() or path.name == RECORD
    except OSError:  # a reaction longer than a file name may be
        return False


def check_place(directory: Path) -> None:
    """Refuse a place where no bundle can be written.

    Raises:
        StoreError: its parent cannot be made or written to.
        BundleError: something other than a bundle is there.
    """
    try:
        restore(directory)
        if directory.exists():
            check_replaceable(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        why = "" if os.access(directory.parent, os.W_OK) else "its folder may not be written to"
    except OSError as error:
        why = error.strerror or str(error)
    if why:
        raise StoreError(
            f"cannot write the bundle to {directory}", why=why, fix="another place: --out DIR"
        )


def is_path(reference: str) -> bool:
    """Return whether what is not a valid reaction was probably meant as a bundle's path."""
    if reference.startswith(("/", "./", "../", "~")):
        return True
    if _DASHED.fullmatch(reference):
        return True
    if any(sign in reference for sign in '"()+|&'):
        return False
    return "/" in reference or bool(_near_bundles(reference))


def _near_bundles(reference: str) -> list[str]:
    """Return the bundles beside a path that are called nearly like its last part."""
    path = Path(reference.rstrip("/"))
    try:
        beside = islice(path.absolute().parent.iterdir(), _MOST_BESIDE)
        names = [entry.name for entry in beside if (entry / RECORD).is_file()]
        # Nearer than names in reactions have to be: what was typed may be a space's name.
        near = get_close_matches(path.name, names, cutoff=_NEAR)
        return [str(path.with_name(name)) for name in near]
    except (OSError, ValueError):  # longer than a file name may be, or no name at all
        return []


def no_bundle(reference: str, naming: str) -> MissingError:
    """Say what is wrong with a path that is neither a bundle nor a reaction.

    Args:
        reference: as typed.
        naming: what a person writes before it: ``--space``, ``molspace sweep``.
    """
    try:
        is_folder = Path(reference).is_dir()
    except OSError:  # longer than a file name may be
        is_folder = False
    if is_folder:
        why = f"the folder has no {RECORD}"
        fix = f"quote a folder of embeddings: {naming} '\"{reference}\"'"
    else:
        why = "there is no such folder, and as a reaction it cannot be read"
        fix = f"{naming} with a folder that react printed, a space's name, or a reaction in quotes"
        if near := _near_bundles(reference):
            fix = f"did you mean {' or '.join(map(repr, near))}?"
    return MissingError(f"no bundle at {reference}", why=why, fix=fix)


def existing_bundle(directory: Path) -> Bundle | None:
    """Return the bundle of an earlier run, unless it is not there or was damaged."""
    try:
        return load_bundle(directory)
    except (MissingError, BundleError):
        return None
