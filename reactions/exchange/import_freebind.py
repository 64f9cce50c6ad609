"""FreeBind's published projectors, as bundles; ``freebind_products`` says what they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.encoder_paths import path_of
from reactions.core.errors import DimensionMismatch, MissingError
from reactions.core.hashing import digest
from reactions.core.local_files import exists
from reactions.core.types import Space, Tuned
from reactions.dsl.check import check
from reactions.dsl.parser import parse
from reactions.exchange.freebind_heads import (
    LAYERS,
    PublishedTuning,
    check_tuning,
    read_mixture,
    read_tuning,
    tuned_tensors,
)
from reactions.exchange.freebind_products import (
    SUBSETS,
    FreebindProduct,
    find_products,
    tuned_file,
)
from reactions.exchange.published_heads import PublishedHead
from reactions.labs.lab import Lab
from reactions.products.bundles.bundle import (
    Bundle,
    check_replaceable,
    describe,
    load_bundle,
    write_bundle,
)
from reactions.products.bundles.current import default_directory
from reactions.products.refusals import refuse_centred
from reactions.products.tree import mixtures, tuned_nodes
from reactions.products.tuned import FT

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Imported:
    """A bundle made of published projectors.

    Attributes:
        product: what was imported.
        bundle: verified.
    """

    product: FreebindProduct
    bundle: Bundle


def import_freebind(
    folder: Path,
    lab: Lab,
    *,
    name: str | None = None,
    out: Path | None = None,
    on_notice: Callable[[str], None] = lambda remark: None,
) -> list[Imported]:
    """Turn published projectors into bundles; everything is checked before anything is written.

    Args:
        folder: holds the published folders.
        lab: names ImageBind, InternVL, CLAP_g and CLAP_m, and the default factors.
        name: of the only product to import; None imports all that the folders make.
        out: with a name, the bundle's directory; without, a folder for one of each. By
            default they go to the user's data, named after what they hold.
        on_notice: of what is left out, and of each product before it is read.

    Raises:
        MissingError: a folder, a file, or a space's weights are missing.
        UsageError: no product has this name.
        DataError: a file is damaged, or holds other tensors than published.
        DimensionMismatch: a projector or the tuned encoder does not fit the lab's spaces.
        BundleError: ``out`` holds something else.
        StoreError: a bundle cannot be written.
    """
    products, left_out = find_products(folder, name)
    for remark in left_out:
        on_notice(remark)
    heads: dict[str, Mapping[str, PublishedHead]] = {}
    tuning: PublishedTuning | None = None
    assembled = []
    for product in products:
        on_notice(f"{product.name}: {product.expression}")
        for part in product.folders:
            if part not in heads:
                heads[part] = dict(read_mixture(folder, part))
        if product.tuned and tuning is None and (path := tuned_file(folder)):
            tuning = read_tuning(path)
            on_notice(
                f"{path.name} holds weights tuned from ImageBind's: its licence (CC-BY-NC-SA-4.0) "
                "binds them, too"
            )
        product_tuning = tuning if product.tuned else None
        assembled.append((product, *_assemble(product, heads, product_tuning, lab, folder)))
    used = [str(spec["name"]) for _, record, _ in assembled for spec in record["spaces"]]
    lab.refuse_unused_weights(used)
    ready = []
    for product, record, tensors in assembled:
        if out is None:
            directory = default_directory(product.name, digest("imported", record))
        else:
            directory = out if name is not None else out / product.name
        if exists(directory):
            check_replaceable(directory)
        ready.append((product, record, tensors, directory))
    return [
        Imported(product, load_bundle(write_bundle(directory, record, tensors)))
        for product, record, tensors, directory in ready
    ]


def _assemble(
    product: FreebindProduct,
    heads: Mapping[str, Mapping[str, PublishedHead]],
    tuning: PublishedTuning | None,
    lab: Lab,
    folder: Path,
) -> tuple[dict[str, Any], dict[str, NDArray[np.float32]]]:
    """Return the record and the tensors of a bundle."""
    for name in ("ImageBind", "InternVL", "CLAP_m", "CLAP_g"):
        if name in product.expression and name not in lab.catalogue:
            raise MissingError(
                f"lab '{lab.name}' has no space '{name}'",
                why=f"{product.name} is {product.expression}",
                fix=f"name it in {lab.path} as [spaces.{name}], or take --lab paper",
            )
    checked = check(parse(product.expression), lab.catalogue, factors=lab.factors)
    refuse_centred(checked.space)
    files: dict[str, str] = {}
    tensors: dict[str, NDArray[np.float32]] = {}
    for index, part in enumerate(product.folders):
        _check_widths(part, heads[part], checked.space, index)
        for subset, head in heads[part].items():
            files[head.path.relative_to(folder).as_posix()] = head.sha256
            for name, array in head.tensors.items():
                tensors[f"{index}.{subset}.{name.removeprefix(LAYERS)}"] = array
    parts = []
    if tuning is not None:
        path, node = next(tuned_nodes(checked.space))
        check_tuning(tuning, path_of(node).leaf.spec, node.dim)
        files[tuning.path.relative_to(folder).as_posix()] = tuning.sha256
        tuned = tuned_tensors(tuning)
        parts.append({"kind": FT, "node": path, "about": _about(node, tuned)})
        tensors |= {f"part.0.{name}": array for name, array in tuned.items()}
    hidden = {head.widths["hidden"] for part in product.folders for head in heads[part].values()}
    record = describe(
        checked.expression,
        checked.space,
        # The seed that these heads were trained with was not published.
        lab={"name": lab.name, "label": lab.label, "seed": None},
        subsets=[list(SUBSETS.values()) for _ in product.folders],
        settings={"hidden_dim": max(hidden)},
        step_keys={},
        version=metadata.version("molspace"),
        parts=parts,
    )
    record["imported"] = {"from": "freebind", "product": product.name, "files": files}
    return record, tensors


def _about(node: Tuned, tensors: Mapping[str, NDArray[np.float32]]) -> dict[str, Any]:
    """Return what the record says of the tuned encoder; pairs and settings were not published."""
    spec = path_of(node).leaf.spec
    return {
        "modality": node.arguments[0],
        "paired": node.arguments[1],
        "heads": node.tuning.heads,
        "space": spec.name,
        "weights_digest": spec.weights_digest,
        "licence": spec.licence,
        "subsets": [list(SUBSETS.values())],
        "lora": None,
        "pairs": None,
        "steps": None,
        "settings": {},
        "shapes": {name: list(array.shape) for name, array in tensors.items()},
    }


def _check_widths(part: str, heads: Mapping[str, PublishedHead], space: Space, index: int) -> None:
    """Check that every projector leads from one space of the lab into the other."""
    fusion, i = list(mixtures(space))[index]
    ends = (fusion.base, fusion.experts[i].space)
    source, target = ends if fusion.op == "dr" else ends[::-1]
    for head in heads.values():
        widths = (head.widths["in"], head.widths["out"])
        if widths != (source.dim, target.dim):
            raise DimensionMismatch(
                f"the projectors in {part} do not fit the lab's spaces",
                why=f"'{head.path}' leads from {widths[0]} to {widths[1]} dimensions; "
                f"{source.label} has {source.dim}, {target.label} has {target.dim}",
                fix="take --lab paper, or a lab with the spaces they were trained on",
                path=str(head.path),
                found=list(widths),
                expected=[source.dim, target.dim],
            )
