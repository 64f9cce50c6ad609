"""A folder of exported heads: a file a modality, ``config.json`` and ``README.md``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import StepError, UsageError
from reactions.exchange.exporting.graphs import (
    ENDINGS,
    OPSET,
    ExportForm,
    check_packages,
    write_graph,
)
from reactions.exchange.exporting.heads import ModalityHeads, heads_of
from reactions.exchange.exporting.place import CONFIG, FORMAT, check_place, files_in, placed
from reactions.exchange.exporting.readme import readme_of
from reactions.exchange.exporting.whole import WholeModality, whole_of
from reactions.products.bundles.folder import write_file
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
    from reactions.inference.embedder import Embedder

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
    whole: Callable[[Adjustment], Embedder] | None = None,
) -> Exported:
    """Write a product's trained heads for other tools, at factors that become fixed.

    Every file is loaded again and compared with what ``FusedSpace.project`` computes, or, with its
    encoders, with what ``FusedSpace.embed`` does.

    Args:
        target: a trained product.
        form: of the files.
        out: their folder: a new one, an empty one, or with ``overwrite`` an earlier export.
        adjustment: factors and experts.
        overwrite: whether an earlier export may be replaced.
        whole: returns what embeds with the product at given factors, on the CPU: its encoders are
            written, too. Modalities of which that cannot be done are left out.

    Raises:
        UsageError: factors do not fit, something else is there, or no modality can be exported.
        MissingError: a package is missing.
        StepError: a file computes something else.
        StoreError: the folder cannot be written.
    """
    check_place(out, overwrite=overwrite)
    check_packages(form)
    space, parts = target.space, target.parts("cpu")
    adjustment = fit_adjustment(space, adjustment)
    embedded = embedded_by(space, adjustment)
    embedder = whole(adjustment) if whole is not None else None
    parts_to_write: list[ModalityHeads | WholeModality] = []
    left_out: dict[str, str] = {}
    for modality in space.modalities:
        if modality not in embedded:
            left_out[modality] = "none of the chosen experts embeds it"
            continue
        try:
            if embedder is None:
                parts_to_write.append(heads_of(space, modality, parts, adjustment))
            else:
                parts_to_write.append(whole_of(space, modality, parts, adjustment, embedder))
        except UsageError as error:
            left_out[modality] = error.why or error.what
    config = facts_of(target, adjustment, form)
    if form == "onnx":
        config["opset"] = OPSET
    config["encoders"] = embedder is not None
    with placed(out, overwrite=overwrite) as staging:
        for heads in parts_to_write:
            file = staging / f"{heads.modality}{ENDINGS[form]}"
            try:
                difference = _difference(heads, write_graph(form, heads, file))
            except StepError as error:
                if not isinstance(heads, WholeModality):
                    raise
                left_out[heads.modality] = f"{error.what}: {error.why}"  # an encoder's doing
                file.unlink(missing_ok=True)
                continue
            if isinstance(heads, WholeModality):
                heads.copy_files(staging)
            config["modalities"][heads.modality] = {
                "file": file.name,
                **heads.facts(),
                "largest_difference": difference,
            }
        if not config["modalities"]:
            raise UsageError(
                "nothing can be exported",
                why=reasons(left_out),
                fix="" if embedder is None else "without --whole, which exports heads alone",
            )
        config["left_out"] = left_out
        write_file(staging / "README.md", readme_of(config, target).encode())
        config["files"] = files_in(staging)
        write_file(staging / CONFIG, json.dumps(config, indent=1).encode())
    return Exported(out, config, left_out)


def reasons(left_out: Mapping[str, str]) -> str:
    """Return why modalities are left out, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for modality, why in left_out.items():
        by_reason.setdefault(why, []).append(modality)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())


def facts_of(target: Target, adjustment: Adjustment, form: str) -> dict[str, Any]:
    """Return what an export says of its product, apart from its files; JSON-able.

    Args:
        target: the product.
        adjustment: factors and experts, fitted to it.
        form: what loads it.
    """
    space = target.space
    return {
        "format": FORMAT,
        "version": 1,
        "form": form,
        "expression": target.name,
        "lab": target.lab,
        "bundle": target.bundle.digest if target.bundle else None,
        "dim": space.dim,
        "factors": effective_factors(space, adjustment),
        "experts": None if adjustment.experts is None else sorted(adjustment.experts),
        "means": effective_means(space, adjustment),
        "modalities": {},
        "left_out": {},
    }


def _difference(heads: ModalityHeads | WholeModality, loaded: Loaded) -> float:
    """Return by how much a file's numbers differ at most.

    Raises:
        StepError: by more than ``TOLERANCE``.
    """
    largest = 0.0
    for n in _CHECKED_BATCHES:
        rows = heads.example(n, seed=n)
        gap = float((loaded(rows) - heads.expected(rows)).abs().max())
        if not gap <= TOLERANCE:  # also where it is not a number
            raise StepError(
                f"the exported {heads.modality} differs by {gap:.1e}",
                why=f"it was loaded again and compared; {TOLERANCE:g} is allowed",
                fix="another version of torch or onnxruntime, or another --to",
            )
        largest = max(largest, gap)
    return largest
