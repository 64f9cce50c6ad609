"""A product on disk: a directory that describes itself and is verified when it is read.

``bundle.json`` holds the reaction, its spaces, factors and provenance;
``projectors.safetensors`` the trained heads. No base weights, and nothing pickled.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.errors import BundleError, MissingError, StoreError
from reactions.hashing import bytes_digest, digest, file_digest
from reactions.kinds import Fusion, Space, SpaceSpec, leaves
from reactions.spaces.tree import coefficients, mixtures, tree_from_json, tree_to_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.spaces.fuse import Heads

FORMAT = 1
RECORD = "bundle.json"
PROJECTORS = "projectors.safetensors"
_MAX_RECORD_BYTES = 64 << 20
_MALFORMED = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)


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

    def heads(self, device: str = "cpu") -> Heads:
        """Load the projectors, in eval mode, onto a device.

        Raises:
            BundleError: a tensor is missing, misshapen or not finite.
        """
        import torch
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from reactions.ops.heads import head_class
        from reactions.ops.projector import Head

        try:
            tensors = load_file(self.path / PROJECTORS)
        except (SafetensorError, OSError) as error:
            raise BundleError(f"cannot read {self.path / PROJECTORS}", why=str(error)) from None
        heads: dict[tuple[Fusion, int], list[Head]] = {}
        for index, (fusion, i) in enumerate(mixtures(self.space)):
            base, expert = fusion.base.dim, fusion.experts[i].space.dim
            kind = head_class(fusion.experts[i].recipe)
            widths = (base, expert) if fusion.op == "dr" else (expert, base)
            loaded = heads[fusion, i] = []
            for subset in self.record["mixtures"][index]["subsets"]:
                prefix = f"{index}.{subset}."
                state = {
                    name.removeprefix(prefix): tensor
                    for name, tensor in tensors.items()
                    if name.startswith(prefix)
                }
                for name, tensor in state.items():
                    if not torch.isfinite(tensor).all():
                        raise BundleError(f"{self.path}: tensor {prefix}{name} is not finite")
                try:
                    head: Head = kind.from_state(state)
                    if head.widths != widths:
                        raise ValueError(f"it takes {head.widths} dimensions, its spaces {widths}")
                except (LookupError, RuntimeError, ValueError) as error:
                    raise BundleError(
                        f"{self.path}: projector {prefix.rstrip('.')} is not whole",
                        why=" ".join(str(error).split()),
                    ) from None
                loaded.append(head.to(device))
        return heads


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
    specs = {spec["name"]: _spec(spec) for spec in spaces}
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
    """
    return {
        "format": FORMAT,
        "expression": expression,
        "dim": space.dim,
        "modalities": list(space.modalities),
        "lab": dict(lab),
        "tree": tree_to_json(space),
        "spaces": [asdict(leaf.spec) for leaf in leaves(space)],
        "mixtures": [
            {"expert": fusion.experts[i].label, "op": fusion.op, "subsets": subsets[index]}
            for index, (fusion, i) in enumerate(mixtures(space))
        ],
        "settings": dict(settings),
        "steps": dict(step_keys),
        "molspace": version,
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
        tensors: ``<mixture>.<subset>.<tensor>`` to array.

    Returns:
        ``directory``.

    Raises:
        StoreError: it cannot be written.
        BundleError: ``directory`` holds anything but a bundle.
    """
    from safetensors.numpy import save

    blob = save(dict(sorted(tensors.items())))
    body = {
        **record,
        "files": {PROJECTORS: {"size_bytes": len(blob), "sha256": bytes_digest(blob)}},
    }
    body["digest"] = digest("bundle", body)
    try:
        if directory.exists():
            check_replaceable(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
        try:
            staging.chmod(0o755)
            _write(staging / PROJECTORS, blob)
            _write(staging / RECORD, json.dumps(body, indent=1, sort_keys=True).encode())
            _replace(staging, directory)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
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
        if directory.exists():
            check_replaceable(directory)
        directory.parent.mkdir(parents=True, exist_ok=True)
        staging.chmod(0o755)
        _replace(staging, directory)
    except OSError as error:
        raise StoreError(
            f"cannot write the bundle to {directory}",
            why=error.strerror or str(error),
            fix="choose another place with --out",
        ) from None


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def check_replaceable(directory: Path) -> None:
    """Refuse to replace what is not ours: it would be deleted (BundleError)."""
    present = {path.name for path in directory.iterdir()} if directory.is_dir() else {"a file"}
    foreign = sorted(present - {RECORD, PROJECTORS})
    if foreign or (present and RECORD not in present):
        raise BundleError(
            f"{directory} holds something else than a bundle",
            why=f"there is {', '.join(foreign[:3])}" if foreign else f"there is no {RECORD}",
            fix="choose an empty or new directory",
        )


def _replace(staging: Path, directory: Path) -> None:
    """Move a directory into place; a rename replaces no directory that is not empty.

    Two processes may do so at once: whoever comes second replaces the other's.
    """
    old: list[Path] = []
    try:
        while True:
            try:
                staging.rename(directory)
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    if old and old[-1].exists():
                        old[-1].rename(directory)
                    raise
            aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}.old.", dir=directory.parent))
            old.append(aside / "bundle")
            with contextlib.suppress(FileNotFoundError):
                directory.rename(old[-1])
    finally:
        for path in old:
            shutil.rmtree(path.parent, ignore_errors=True)


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
    if not record_path.is_file():
        raise MissingError(f"no bundle at {directory}", why=f"{RECORD} is not there")
    try:
        record = _read_record(record_path)
        if set(record["files"]) != {PROJECTORS}:
            raise ValueError(f"it names the files {sorted(record['files'])}, not {PROJECTORS}")
        _verify_file(directory / PROJECTORS, record["files"][PROJECTORS])
        specs = [_spec(item) for item in record["spaces"]]
        space = tree_from_json(record["tree"], {spec.name: spec for spec in specs})
        pairs = list(mixtures(space))
        counts = [len(mixture["subsets"]) for mixture in record["mixtures"]]
        if len(counts) != len(pairs) or not all(counts):
            raise ValueError(f"{len(pairs)} mixtures in the tree; described are {counts} heads")
        for fusion, _ in pairs:
            for modality in fusion.modalities:
                coefficients(fusion, modality)
        record["lab"]["label"], record["expression"]
    except OSError as error:
        raise BundleError(f"cannot read {directory}", why=error.strerror or str(error)) from None
    except _MALFORMED as error:
        raise BundleError(f"{record_path} is incoherent", why=repr(error)) from None
    return Bundle(directory, record, space)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MAX_RECORD_BYTES:
            raise BundleError(f"{path} is too large to be a bundle's record")
        record = json.loads(path.read_text(encoding="utf-8"))
        found = record["format"]
    except _MALFORMED:
        what, fix = f"{path} is no bundle record", "run the reaction again"
        raise BundleError(what, why="truncated or changed", fix=fix) from None
    if not isinstance(found, int) or not 1 <= found <= FORMAT:
        raise BundleError(
            f"{path} has bundle format {found}",
            why=f"this version of molspace reads formats up to {FORMAT}",
            fix="upgrade molspace",
            format=found,
        )
    claimed = record.pop("digest", None)
    try:
        actual = digest("bundle", record)
    except _MALFORMED:  # NaN, or nested without end: never written by us
        actual = None
    if actual is None or claimed != actual:
        raise BundleError(
            f"{path} was changed after it was written",
            why="its digest does not fit its contents",
            fix="run the reaction again, or get the bundle again from its author",
        )
    return {**record, "digest": claimed}


def _verify_file(path: Path, entry: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise BundleError(f"{path} is missing", fix="get the bundle again")
    size = path.stat().st_size
    if size != entry["size_bytes"]:
        raise BundleError(
            f"{path} has {size:,} bytes, not {entry['size_bytes']:,}",
            why="truncated or changed",
            fix="get the bundle again",
        )
    if file_digest(path) != entry["sha256"]:
        raise BundleError(
            f"{path} was changed after it was written",
            why="its SHA-256 does not fit the record",
            fix="get the bundle again",
        )


def _spec(item: Mapping[str, Any]) -> SpaceSpec:
    pairs = {
        key: tuple((str(m), value) for m, value in item[key])
        for key in ("preprocessing", "flops_per_item")
    }
    spec = SpaceSpec(**{**item, "modalities": tuple(item["modalities"]), **pairs})
    if not (isinstance(spec.dim, int) and spec.dim > 0):
        raise ValueError(f"dimension {spec.dim!r} of {spec.name}")
    return spec
