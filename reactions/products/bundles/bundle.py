"""A product on disk: a directory that describes itself and is verified when it is read.

``bundle.json`` holds the reaction, its spaces, factors and provenance, and size and digest of
each file beside it; ``projectors.safetensors`` the trained heads and means;
``part-0.safetensors``, ... a trained part of another kind each. No base weights, and nothing
pickled.

Format 1 is written wherever a product has no parts of other kinds and averages its experts by
equation 10: what format 2 adds, versions that do not know it must refuse.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import BundleError, MissingError, StoreError, UsageError
from reactions.core.hashing import bytes_digest, digest, file_digest
from reactions.core.local_files import exists, is_file
from reactions.core.types import Space, leaves
from reactions.products.bundles.fields import check_fields, spec_record
from reactions.products.bundles.folder import (
    PROJECTORS,
    RECORD,
    check_replaceable,
    locked_folder,
    replace,
    restore,
    staging_folder,
    write_file,
)
from reactions.products.bundles.part_files import check_part_files, load_parts
from reactions.products.bundles.record import (
    FORMAT,
    MALFORMED,
    read_files,
    read_record,
    read_space,
    read_spec,
)
from reactions.products.part_kinds import is_part_file, part_file
from reactions.products.parts import Parts
from reactions.products.tree import mixtures
from reactions.products.tree_json import tree_from_json, tree_to_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_QUICK_BYTES = 1 << 30
"""Larger files are not hashed only to say what is wrong with their headers."""

__all__ = [
    "FORMAT",
    "PROJECTORS",
    "RECORD",
    "Bundle",
    "check_replaceable",
    "describe",
    "install",
    "load_bundle",
    "with_sources",
    "write_bundle",
]


@dataclass(frozen=True)
class Bundle:
    """A verified bundle.

    Attributes:
        path: its directory.
        record: what ``bundle.json`` says.
        space: the product, with its leaves' specs.
    """

    path: Path
    record: Mapping[str, Any] = field(repr=False)
    space: Space = field(repr=False)

    @property
    def expression(self) -> str:
        """The canonical reaction."""
        return str(self.record["expression"])

    @property
    def lab(self) -> str:
        """Label of the lab it was made in."""
        return str(self.record["lab"]["label"])

    @property
    def digest(self) -> str:
        """Digest of the record, and through it of every file."""
        return str(self.record["digest"])

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files that hold what was trained, sorted."""
        return tuple(sorted(self.record["files"]))

    def parts(self, device: str = "cpu") -> Parts:
        """Load what was trained, projectors in eval mode, onto a device.

        Raises:
            BundleError: a tensor is missing, misshapen or not finite.
        """
        return load_parts(self.path, self.record, self.space, device)


def with_sources(bundle: Bundle, sources: Mapping[str, str]) -> Bundle:
    """Return a bundle whose spaces' weights lie elsewhere; its digest stays that of the file.

    Args:
        bundle: as it was read.
        sources: space name to ``SpaceSpec.source``; other spaces keep theirs.
    """
    spaces = [
        {**spec, "source": sources.get(spec["name"], spec["source"])}
        for spec in bundle.record["spaces"]
    ]
    specs = {spec["name"]: read_spec(spec) for spec in spaces}
    space = tree_from_json(bundle.record["tree"], specs)
    return Bundle(bundle.path, {**bundle.record, "spaces": spaces}, space)


# --- describing ----------------------------------------------------------------------


def describe(
    expression: str,
    space: Space,
    *,
    lab: Mapping[str, Any],
    subsets: list[list[str]],
    settings: Mapping[str, Any],
    step_keys: Mapping[str, str],
    version: str,
    parts: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the record of a bundle, without the digests of its files.

    Args:
        expression: canonical text.
        space: the product.
        lab: name, label and seed.
        subsets: names of each mixture's subsets, in the order of ``tree.mixtures``.
        settings: hyper-parameters, for people.
        step_keys: label to key of every train step: its provenance.
        version: of molspace.
        parts: kind, node (its path, as in ``tree.nodes``) and description ("about") of each trained
            part in a file of its own.
    """
    newer = bool(parts) or any(fusion.mean != "eq10" for fusion, _ in mixtures(space))
    return {
        "format": 2 if newer else 1,
        "expression": expression,
        "dim": space.dim,
        "modalities": list(space.modalities),
        "lab": dict(lab),
        "tree": tree_to_json(space),
        "spaces": [spec_record(leaf.spec) for leaf in leaves(space)],
        "mixtures": [
            {"expert": fusion.experts[i].label, "op": fusion.op, "subsets": subsets[index]}
            for index, (fusion, i) in enumerate(mixtures(space))
        ],
        "settings": dict(settings),
        "steps": dict(step_keys),
        "molspace": version,
        **({"parts": [dict(part) for part in parts]} if newer else {}),
    }


# --- writing -------------------------------------------------------------------------


def write_bundle(
    directory: Path, record: Mapping[str, Any], tensors: Mapping[str, NDArray[np.float32]]
) -> Path:
    """Write a bundle, all or nothing.

    Args:
        directory: the bundle's own directory; an existing bundle there is replaced, and
            comes back if that fails.
        record: from ``describe``.
        tensors: ``<mixture>.<subset>.<tensor>`` and ``mean.<space>.<modality>`` to array;
            ``part.<position>.<tensor>`` of what has a file of its own.

    Returns:
        ``directory``.

    Raises:
        StoreError: it cannot be written.
        BundleError: ``directory`` holds anything but a bundle.
    """
    from safetensors.numpy import save

    by_file: dict[str, dict[str, NDArray[np.float32]]] = {PROJECTORS: {}}
    for name, array in sorted(tensors.items()):
        file, own_name = PROJECTORS, name
        if name.startswith("part."):
            _, position, own_name = name.split(".", 2)
            file = part_file(int(position))
        by_file.setdefault(file, {})[own_name] = array
    blobs = {file: save(file_tensors) for file, file_tensors in by_file.items()}
    body = {
        **record,
        "files": {
            file: {"size_bytes": len(blob), "sha256": bytes_digest(blob)}
            for file, blob in blobs.items()
        },
    }
    body["digest"] = digest("bundle", body)
    try:
        restore(directory)
        if exists(directory):
            check_replaceable(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        with staging_folder(directory) as staging:
            for file, blob in blobs.items():
                write_file(staging / file, blob)
            write_file(staging / RECORD, json.dumps(body, indent=1, sort_keys=True).encode())
            replace(staging, directory)
    except OSError as error:
        raise StoreError(
            f"cannot write the bundle to {directory}",
            why=error.strerror or str(error),
            fix="free space, or choose another place with --out",
        ) from None
    return directory


def install(staging: Path, directory: Path) -> None:
    """Move a verified bundle into its place, all or nothing, replacing an earlier bundle there.

    Args:
        staging: its folder, on the same disk.
        directory: where it goes.

    Raises:
        BundleError: ``directory`` holds anything but a bundle.
        StoreError: it cannot be moved there.
    """
    try:
        restore(directory)
        if exists(directory):
            check_replaceable(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        staging.chmod(0o755)
        with locked_folder(staging):
            replace(staging, directory)
    except OSError as error:
        raise StoreError(
            f"cannot write the bundle to {directory}",
            why=error.strerror or str(error),
            fix="choose another place with --out",
        ) from None


# --- reading -------------------------------------------------------------------------


def load_bundle(path: str | Path) -> Bundle:
    """Read a bundle and verify it: format, digests, sizes, and that its parts fit.

    Raises:
        MissingError: there is no bundle.
        BundleError: it is truncated, changed, newer than this version, or incoherent.
    """
    directory = Path(path)
    if directory.name == RECORD:
        directory = directory.parent
    record_path = directory / RECORD
    try:
        restore(directory)
        if not exists(record_path):
            raise MissingError(
                f"no bundle at {directory}",
                why=f"{RECORD} is not there",
                fix="give a folder that react printed",
            )
        record = read_record(record_path)
        files = read_files(record)
        _refuse_strangers(directory, files)
        for name, file in files.items():
            _verify_size(directory / name, file.size_bytes)
        space = read_space(record)
        check_fields(record)
        # Before the digests, for which every file is read whole. Where a header is bad, the
        # digest shows whether the file was damaged or made like this.
        try:
            check_part_files(directory, record, space)
        except BundleError:
            for name, file in files.items():
                if file.size_bytes <= _QUICK_BYTES:
                    _verify_digest(directory / name, file.sha256)
            raise
        for name, file in files.items():
            _verify_digest(directory / name, file.sha256)
    except OSError as error:
        raise BundleError(f"cannot read {directory}", why=error.strerror or str(error)) from None
    except UsageError as error:  # what the language would refuse, too
        why = f"{error.what}: {error.why}" if error.why else error.what
        raise BundleError(f"{record_path} is incoherent", why=why) from None
    except MALFORMED as error:
        why = str(error) if type(error) is ValueError else repr(error)
        raise BundleError(f"{record_path} is incoherent", why=why[:500]) from None
    return Bundle(directory, record, space)


def _refuse_strangers(directory: Path, files: Collection[str]) -> None:
    for path in sorted(directory.glob("part-*")):
        if is_part_file(path.name) and path.name not in files:
            raise BundleError(
                f"{path} belongs to another bundle",
                why=f"{RECORD} does not name it",
                fix="remove it, or get the bundle again",
            )


def _verify_size(path: Path, size_bytes: int) -> None:
    if not is_file(path):
        raise BundleError(f"{path} is missing", fix="get the bundle again")
    if (actual := path.stat().st_size) != size_bytes:
        raise BundleError(
            f"{path} has {actual:,} bytes, not {size_bytes:,}",
            why="truncated or changed",
            fix="get the bundle again",
        )


def _verify_digest(path: Path, sha256: str) -> None:
    if file_digest(path) != sha256:
        raise BundleError(
            f"{path} was changed after it was written",
            why="its SHA-256 does not fit the record",
            fix="get the bundle again",
        )
