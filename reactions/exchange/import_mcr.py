"""C-MCR's and Ex-MCR's published heads, as bundles.

    clap_clip.pt    C-MCR: Head_A for CLAP, Head_B for CLIP, both into a new space
    ex_clap.pt      Ex-MCR: Head1 and Head2, CLAP into CLIP

As published, text comes from CLIP alone (the factor of the shared modality is 0) and images
have no other source; sound comes from CLAP.

C-MCR's new space belongs to neither: here it is a space of its own that embeds nothing, into
which CLIP is displaced and with which CLAP is combined. So ``A + Dr("C-MCR", recipe=cmcr) |
Cr(B, sigma=0, recipe=cmcr)`` is what such a bundle calls itself; as there is nothing that could
be trained with, it can be evaluated but not be run as a reaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.errors import DataError, DimensionMismatch, MissingError, NotSupportedYet
from reactions.core.hashing import digest
from reactions.core.local_files import is_dir, is_file
from reactions.core.types import Expert, Fusion, Leaf, Space, SpaceSpec, leaves
from reactions.dsl.check import check
from reactions.dsl.parser import parse
from reactions.dsl.values import quoted
from reactions.exchange.published_heads import (
    PublishedHead,
    TensorLayout,
    batch_norm,
    linear,
    read_head,
)
from reactions.labs.lab import Lab
from reactions.products.bundles.bundle import Bundle, describe, load_bundle, write_bundle
from reactions.products.bundles.current import default_directory
from reactions.products.refusals import refuse_centred
from reactions.products.tree import mixtures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLIP = "hf:openai/clip-vit-base-patch32"
CLAP = "CLAP_g"
"""The spaces that the published heads were trained on."""

FILES: Mapping[str, str] = {"cmcr": "clap_clip.pt", "exmcr": "ex_clap.pt"}
_NAMES: Mapping[str, str] = {"cmcr": "C-MCR", "exmcr": "Ex-MCR"}
_SUBSET = "TVA"
"""Neither method has a mixture: one projector was trained on all pseudo-pairs."""


def _mlp(name: str, n_in: str, hidden: str, n_out: str) -> TensorLayout:
    return {
        **linear(f"{name}.net1.0", n_in, hidden),
        **batch_norm(f"{name}.net1.1", hidden),
        **linear(f"{name}.net2.0", hidden, n_out),
        **batch_norm(f"{name}.net2.1", n_out),
    }


LAYOUTS: Mapping[str, TensorLayout] = {
    "cmcr": {
        **_mlp("Head_A", "expert", "hidden of Head_A", "new"),
        **_mlp("Head_B", "base", "hidden of Head_B", "new"),
    },
    "exmcr": {
        **linear("Head1", "expert", "expert"),
        **_mlp("Head2.mlp1", "expert", "hidden", "expert"),
        **_mlp("Head2.mlp2", "expert", "hidden", "base"),
    },
}
"""Published tensors; widths are named after the space they belong to."""


_PLACES = {"net1.0": 0, "net1.1": 1, "net2.0": 3, "net2.1": 4}  # 2 is ReLU, without tensors
"""A published MLP's layers to their places in ours."""

_LINEAR = ("weight", "bias")
_NORM = (*_LINEAR, "running_mean", "running_var")


def _layers_of(prefix: str, first: int = 0) -> dict[str, str]:
    """Return published name to ours for one MLP whose layers start at ``first``."""
    return {
        f"{prefix}.{layer}.{tensor}": f"{first + place}.{tensor}"
        for layer, place in _PLACES.items()
        for tensor in (_LINEAR if layer.endswith("0") else _NORM)
    }


OURS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "cmcr": {name: _layers_of(name) for name in ("Head_A", "Head_B")},
    "exmcr": {
        "Head": {
            **{f"Head1.{tensor}": f"0.{tensor}" for tensor in _LINEAR},
            **_layers_of("Head2.mlp1", 1),
            **_layers_of("Head2.mlp2", 6),
        }
    },
}
"""Recipe and head to published tensor name and ours. C-MCR's two heads project the two spaces it
connects: in its CLAP-CLIP checkpoint Head_A is CLAP's and Head_B CLIP's. (Its ULIP-CLIP heads are
half MLPs, and refused.)"""


def import_mcr(
    recipe: str,
    path: Path,
    lab: Lab,
    *,
    base: str = CLIP,
    expert: str = CLAP,
    out: Path | None = None,
) -> Bundle:
    """Turn a published checkpoint of C-MCR or Ex-MCR into a bundle.

    Args:
        recipe: ``cmcr`` or ``exmcr``.
        path: the checkpoint, or the folder that holds it under its published name.
        lab: knows the spaces.
        base: name or URI of the space that embeds images: CLIP.
        expert: name or URI of the space that embeds sound: CLAP.
        out: the bundle's directory; by default one named after what it holds.

    Raises:
        MissingError: the file, or a space's weights, are missing.
        DataError: the file is damaged, or holds other tensors than published.
        NotSupportedYet: it is C-MCR's checkpoint for point clouds.
        LanguageError: a space is unknown, or the two have no modality in common.
        DimensionMismatch: the heads do not fit the spaces.
        BundleError: ``out`` holds something else.
        StoreError: the bundle cannot be written.
    """
    head = _read(recipe, _find(recipe, path))
    # sigma is the expert's share of text, which both embed: as published, CLIP has all of it.
    reaction = f"{quoted(base)} + Cr({quoted(expert)}, sigma=0, recipe={recipe})"
    checked = check(parse(reaction), lab.catalogue, factors=lab.factors)
    refuse_centred(checked.space)
    lab.refuse_unused_weights(leaf.spec.name for leaf in leaves(checked.space))
    space, expression = checked.space, checked.expression
    if recipe == "cmcr":
        space = _through_new_space(space, head.widths["new"], head.sha256)
        combined = f"Cr({quoted(expert)}, sigma=0, recipe=cmcr)"
        expression = f'{quoted(base)} + Dr("{_NAMES[recipe]}", recipe=cmcr) | {combined}'
    _check_widths(head, space)
    tensors = _tensors(recipe, head)
    count = len(list(mixtures(space)))
    record = describe(
        expression,
        space,
        lab={"name": lab.name, "label": lab.label, "seed": None},
        subsets=[[_SUBSET]] * count,
        settings={},
        step_keys={},
        version=metadata.version("molspace"),
    )
    files = {head.path.name: head.sha256}
    record["imported"] = {"from": recipe, "product": _NAMES[recipe], "files": files}
    directory = out or default_directory(_NAMES[recipe], digest("imported", record))
    return load_bundle(write_bundle(directory, record, tensors))


def _find(recipe: str, path: Path) -> Path:
    name = FILES[recipe]
    candidates = [path / name, path / "checkpoints" / name] if is_dir(path) else [path]
    for candidate in candidates:
        if is_file(candidate):
            return candidate
    raise MissingError(
        f"no {_NAMES[recipe]} checkpoint at '{path}'",
        why=f"there is no {name}" if is_dir(path) else "there is no such file",
        fix=f"give the published file {name}, or the folder that holds it",
        looked_in=[str(candidate) for candidate in candidates],
    )


def _read(recipe: str, path: Path) -> PublishedHead:
    try:
        head = read_head(path, LAYOUTS[recipe], _NAMES[recipe])
    except DataError as error:
        if "Head_A.net.0.weight" in error.fields.get("unexpected", ()):
            raise NotSupportedYet(
                f"cannot import '{path}'",
                why="these are C-MCR's half MLPs between CLIP and the point clouds of ULIP, "
                "which this version cannot evaluate",
                fix=f"import {FILES['cmcr']}, which connects CLIP and CLAP",
            ) from None
        other = "exmcr" if recipe == "cmcr" else "cmcr"
        if set(error.fields.get("missing", ())) == set(LAYOUTS[recipe]):
            error.fix = f"if it is {_NAMES[other]}'s: molspace import {other} {path}"
        raise
    if recipe == "exmcr" and head.widths["hidden"] != 2 * head.widths["expert"]:
        raise DataError(
            f"'{path}' is not an Ex-MCR projector",
            why=f"its hidden layers have {head.widths['hidden']} dimensions, not twice the "
            f"{head.widths['expert']} that enter",
            fix="copy the published file again",
            path=str(path),
        )
    return head


def _through_new_space(space: Space, dim: int, weights_digest: str) -> Fusion:
    """Displace the base into a space that embeds nothing, and combine the expert with that."""
    assert isinstance(space, Fusion)
    meeting = Leaf(
        SpaceSpec("C-MCR", dim, (), adapter="none", source="C-MCR", weights_digest=weights_digest)
    )
    displaced = Fusion("dr", space.base, (Expert(meeting, 1.0, (), recipe="cmcr"),))
    return Fusion("cr", displaced, space.experts)


def _check_widths(head: PublishedHead, space: Space) -> None:
    assert isinstance(space, Fusion)
    base, expert = space.base, space.experts[0].space
    if "new" in head.widths and isinstance(base, Fusion):
        base = base.base
    for role, part in (("base", base), ("expert", expert)):
        if head.widths[role] != part.dim:
            raise DimensionMismatch(
                f"the heads in '{head.path}' do not fit the spaces",
                why=f"the head for {'CLIP' if role == 'base' else 'CLAP'} has "
                f"{head.widths[role]} dimensions there, {part.label} has {part.dim}",
                fix=f"give the space it was trained on: --{role} NAME|URI",
                path=str(head.path),
                found=head.widths[role],
                expected=part.dim,
            )


def _tensors(recipe: str, head: PublishedHead) -> dict[str, NDArray[np.float32]]:
    """Return the tensors by the bundle's names: C-MCR's base comes before its expert."""
    order = ("Head_B", "Head_A") if recipe == "cmcr" else ("Head",)
    return {
        f"{index}.{_SUBSET}.{ours}": head.tensors[published]
        for index, name in enumerate(order)
        for published, ours in OURS[recipe][name].items()
    }
