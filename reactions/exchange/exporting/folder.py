"""A folder of exported heads: a file a modality, ``config.json`` and ``README.md``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import MolspaceError, StepError, StoreError, UsageError
from reactions.core.local_files import exists
from reactions.exchange.exporting.graphs import (
    ENDINGS,
    OPSET,
    ExportForm,
    check_packages,
    write_graph,
)
from reactions.exchange.exporting.heads import ModalityHeads, heads_of
from reactions.exchange.exporting.readme import readme_of
from reactions.products.bundles.folder import replace, staging_folder, write_file
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    effective_factors,
    effective_means,
    embedded_by,
    fit_adjustment,
)

if TYPE_CHECKING:
    from reactions.exchange.exporting.graphs import Loaded

CONFIG = "config.json"
FORMAT = "molspace-export"
TOLERANCE = 1e-5
"""By which an exported number may differ from ours."""

_CHECKED_BATCHES = (1, 2, 7)


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        path: the folder.
        config: what its ``config.json`` holds.
        left_out: modality to why it is not there.
    """

    path: Path
    config: Mapping[str, Any]
    left_out: Mapping[str, str]


def export_heads(
    target: Target,
    form: ExportForm,
    out: Path,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write a product's trained heads for other tools, at factors that become fixed.

    Every file is loaded again and compared with what ``FusedSpace.project`` computes.

    Args:
        target: a trained product.
        form: of the files.
        out: their folder: a new one, an empty one, or with ``overwrite`` an earlier export.
        adjustment: factors and experts.
        overwrite: whether an earlier export may be replaced.

    Raises:
        UsageError: factors do not fit, something else is there, or no modality can be exported.
        MissingError: a package is missing.
        StepError: a file computes something else.
        StoreError: the folder cannot be written.
    """
    _check_place(out, overwrite=overwrite)
    check_packages(form)
    space, parts = target.space, target.parts("cpu")
    adjustment = fit_adjustment(space, adjustment)
    kept = embedded_by(space, adjustment)
    made: list[ModalityHeads] = []
    left_out: dict[str, str] = {}
    for modality in space.modalities:
        if modality not in kept:
            left_out[modality] = "none of the chosen experts embeds it"
            continue
        try:
            made.append(heads_of(space, modality, parts, adjustment))
        except UsageError as error:
            left_out[modality] = error.why or error.what
    if not made:
        raise UsageError(
            "nothing can be exported",
            why="; ".join(f"{modality}: {why}" for modality, why in left_out.items()),
        )
    config: dict[str, Any] = {
        "format": FORMAT,
        "version": 1,
        "form": form,
        **({"opset": OPSET} if form == "onnx" else {}),
        "expression": target.name,
        "lab": target.lab,
        "bundle": target.bundle.digest if target.bundle else None,
        "dim": space.dim,
        "factors": effective_factors(space, adjustment),
        "experts": None if adjustment.experts is None else sorted(adjustment.experts),
        "means": effective_means(space, adjustment),
        "modalities": {},
        "left_out": left_out,
    }
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with staging_folder(out) as staging:
            for heads in made:
                file = f"{heads.modality}{ENDINGS[form]}"
                difference = _difference(heads, write_graph(form, heads, staging / file))
                config["modalities"][heads.modality] = {
                    "file": file,
                    **heads.facts(),
                    "largest_difference": difference,
                }
            write_file(staging / CONFIG, json.dumps(config, indent=1).encode())
            write_file(staging / "README.md", readme_of(config, target).encode())
            _check_place(out, overwrite=overwrite)  # somebody may have written meanwhile
            replace(staging, out)
    except OSError as error:
        raise StoreError(
            f"cannot write to {out}",
            why=error.strerror or str(error),
            fix="free space, or choose another place with --out",
        ) from None
    return Exported(out, config, left_out)


def _difference(heads: ModalityHeads, loaded: Loaded) -> float:
    """Return by how much a file's numbers differ at most.

    Raises:
        StepError: by more than ``TOLERANCE``.
    """
    largest = 0.0
    for n in _CHECKED_BATCHES:
        rows = heads.example(n, seed=n)
        gap = float((loaded(rows) - heads.module(*rows)).abs().max())
        if not gap <= TOLERANCE:  # also where it is not a number
            raise StepError(
                f"the exported {heads.modality} differs by {gap:.1e}",
                why=f"it was loaded again and compared; {TOLERANCE:g} is allowed",
                fix="another version of torch or onnxruntime, or another --to",
            )
        largest = max(largest, gap)
    return largest


def _check_place(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something, unless it is an earlier export to be replaced."""
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
    from reactions.core.local_files import read_small_file

    try:
        config = json.loads(read_small_file(out / CONFIG, 1 << 24))
        own = {CONFIG, "README.md", *(about["file"] for about in config["modalities"].values())}
        return config["format"] == FORMAT and set(names) <= own
    except (MolspaceError, OSError, ValueError, LookupError, TypeError, AttributeError):
        return False
