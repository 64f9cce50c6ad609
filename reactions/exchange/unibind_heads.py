"""Layers that were trained with UniBind's published code, as a bundle of an Lcl."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.errors import DataError, DimensionMismatch, UsageError
from reactions.core.hashing import digest
from reactions.core.types import Leaf, Modality, leaves
from reactions.dsl import check, parse
from reactions.dsl.values import quoted
from reactions.encoders.raw_view import refuse_unit_rows
from reactions.exchange.published_heads import PublishedHead, checked_head, linear, read_file
from reactions.products.aligned import BIAS, LCL, WEIGHT
from reactions.products.bundles.bundle import Bundle, describe, load_bundle, write_bundle
from reactions.products.bundles.current import default_directory
from reactions.products.refusals import refuse_centred

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from reactions.labs.lab import Lab

PREFIX, BACKBONE = "mlp_for_", "backbone."
"""What the names of a layer and of the frozen backbone begin with. Source: UniBind's model.py."""

PRODUCT = "UniBind"

_NEEDS = {"event": 'event = "unibind"', "video": 'video = "frames-8", or ?modalities=all'}
"""What makes a space embed a modality that it has no tower of its own for."""


@dataclass(frozen=True, slots=True)
class ImportedLayers:
    """Layers that were imported.

    Attributes:
        bundle: that was written.
        notices: what the user should know; a sentence each.
    """

    bundle: Bundle
    notices: tuple[str, ...]


def import_layers(
    paths: Sequence[Path], lab: Lab, *, space: str, out: Path | None = None
) -> ImportedLayers:
    """Import what UniBind's training wrote: a file for each modality, with the whole model in it.

    Only the layer is taken. It was trained on what the backbone gives, whatever its norm, so the
    space has to give that, too (``norms=published``).

    Args:
        paths: ``{modality}_model_best.pt``; one layer of each modality.
        lab: knows the space.
        space: name or URI of what stands for the backbone: ImageBind, or PointBind.
        out: the bundle's directory; by default one named after what it holds.

    Raises:
        MissingError: a file, or the space's weights, are missing.
        DataError: a file is damaged, or holds no layer of UniBind's.
        LanguageError: the space is unknown.
        UsageError: two files have a layer of one modality, which the space must embed; or the
            space gives rows of norm 1 alone.
        DimensionMismatch: the layers do not fit the space.
        BundleError: ``out`` holds something else.
        StoreError: the bundle cannot be written.

    Source: UniBind's model.py and train.py.
    """
    heads: dict[Modality, PublishedHead] = {}
    for path in paths:
        modality, head = _read(path)
        if modality in heads:
            raise UsageError(
                f"'{heads[modality].path}' and '{path}' both have a layer of {modality}",
                fix="import one of the two",
            )
        heads[modality] = head
    base = check(parse(quoted(space)), lab.catalogue, factors=lab.factors).space
    if not isinstance(base, Leaf):
        raise UsageError(f"'{space}' is not a space", fix="--backbone ImageBind")
    refuse_centred(base)
    for modality in heads:
        if modality not in base.modalities:
            needs = _NEEDS.get(modality)
            raise UsageError(
                f"{base.label} does not embed {modality}",
                why=f"it embeds {', '.join(base.modalities)}",
                fix=f"{needs} under [spaces.NAME] in a lab file"
                if needs
                else f"--backbone NAME of a space with {modality}",
            )
    for head in heads.values():
        if head.widths["dim"] != base.dim:
            raise DimensionMismatch(
                f"the layer in '{head.path}' does not fit {base.label}",
                why=f"it has {head.widths['dim']} dimensions, {base.label} has {base.dim}",
                fix="--backbone NAME|URI of what it was trained on",
            )
    names = ", ".join(sorted(heads))
    reaction = f"{quoted(space)} + Lcl(unpublished, modalities=({names}), norms=published)"
    checked = check(parse(reaction), lab.catalogue, factors=lab.factors)
    refuse_unit_rows(checked.space)
    lab.refuse_unused_weights(leaf.spec.name for leaf in leaves(checked.space))
    part = {
        "kind": LCL,
        "node": "",
        "about": {
            "knowledge": None,
            "models": [],
            "targets": "descriptions",
            "norms": "published",
            "settings": {},
            "layers": {modality: {} for modality in sorted(heads)},
        },
    }
    record = describe(
        checked.expression,
        checked.space,
        lab={"name": lab.name, "label": lab.label, "seed": None},
        subsets=[],
        settings={},
        step_keys={},
        version=metadata.version("molspace"),
        parts=[part],
    )
    files = {head.path.name: head.sha256 for head in heads.values()}
    record["imported"] = {"from": "unibind", "product": PRODUCT, "files": files}
    directory = out or default_directory(PRODUCT, digest("imported", record))
    bundle = load_bundle(write_bundle(directory, record, _tensors(heads)))
    notice = (
        f"{names}: taken from files that hold a backbone as well; it is not compared with "
        f"{base.label}, whose encoders are used"
    )
    return ImportedLayers(bundle, (notice,))


def _read(path: Path) -> tuple[Modality, PublishedHead]:
    """Return the one layer in a file, and its modality.

    Raises:
        MissingError, DataError: see ``import_layers``.
    """
    stored = read_file(path)
    layer_tensors = {name: tensor for name, tensor in stored.items() if name.startswith(PREFIX)}
    other_names = [
        name for name in stored if name not in layer_tensors and not name.startswith(BACKBONE)
    ]
    modalities = sorted({name.removeprefix(PREFIX).partition(".")[0] for name in layer_tensors})
    if len(modalities) != 1 or other_names:
        shown = ", ".join(sorted(stored)[:3]) or "nothing"
        raise DataError(
            f"'{path}' is not what UniBind's training writes",
            why=f"it has layers of {', '.join(modalities)}"
            if len(modalities) > 1
            else f"it holds {other_names[0]}"
            if other_names and modalities
            else f"it has no {PREFIX}MODALITY.weight, but {shown}",
            fix="give {modality}_model_best.pt, as train.py wrote it",
            path=str(path),
        )
    (modality,) = modalities
    layout = linear(f"{PREFIX}{modality}", "dim", "dim")
    return modality, checked_head(path, layer_tensors, layout, "layer of UniBind")


def _tensors(heads: dict[Modality, PublishedHead]) -> dict[str, NDArray[np.float32]]:
    return {
        f"part.0.{modality}.{name}": head.tensors[f"{PREFIX}{modality}.{name}"]
        for modality, head in heads.items()
        for name in (WEIGHT, BIAS)
    }
