"""FreeBind's published projectors, as bundles.

    DIR/IB_PP_G_Proj/{mix,A,T,V,AT,AV,TV}/best.pt    CLAP_g into ImageBind, 512 to 1024
    DIR/IB_PP_M_Proj/...                             CLAP_m into ImageBind
    DIR/InternVL_IB_Proj/...                         ImageBind into InternVL, 1024 to 768
    DIR/InternVL_IB_PP_{G,M}_Proj/...                CLAP_g, CLAP_m into InternVL_IB, 512 to 768
    DIR/InternVL_IB_FTPP_{G,M}_Proj/...              into InternVL_IB with a tuned audio encoder

Each folder holds a mixture of seven projectors, one for each subset of the pseudo sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import (
    DimensionMismatch,
    MissingError,
    NotSupportedYet,
    UsageError,
    suggestion,
)
from reactions.core.hashing import digest
from reactions.core.local_files import exists, is_dir, is_file
from reactions.core.types import Space
from reactions.dsl.check import check
from reactions.dsl.parser import parse
from reactions.exchange.published_heads import PublishedHead, batch_norm, linear, read_head
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
from reactions.products.tree import mixtures

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUBSETS: Mapping[str, str] = {
    "T": "T",
    "V": "V",
    "A": "A",
    "TV": "TV",
    "AT": "TA",
    "AV": "VA",
    "mix": "TVA",
}
"""Published folder to our name of the subset, in our order."""

FILE = "best.pt"
_PREFIX = "Head2.mlps."
LAYOUT = {
    **linear(f"{_PREFIX}0", "in", "hidden"),
    **batch_norm(f"{_PREFIX}1", "hidden"),
    **linear(f"{_PREFIX}3", "hidden", "out"),
    **batch_norm(f"{_PREFIX}4", "out"),
}
"""Linear - BatchNorm - ReLU - Linear - BatchNorm: the layers of our projector, by our numbers."""


@dataclass(frozen=True, slots=True)
class FreebindProduct:
    """What some of the folders make together.

    Attributes:
        name: as the published folders are called.
        expression: the reaction.
        folders: of projectors, in the order of ``tree.mixtures``.
        also: its other names.
    """

    name: str
    expression: str
    folders: tuple[str, ...]
    also: tuple[str, ...] = ()


_DR = "ImageBind + Dr(InternVL)"
# The published code rescales the mean of parallel experts to unit norm, whatever a lab does.
_CR = "Cr(CLAP_m, mean=unit) & Cr(CLAP_g, mean=unit)"
PRODUCTS: tuple[FreebindProduct, ...] = (
    FreebindProduct(
        "IB_PP",
        f"ImageBind + {_CR}",
        ("IB_PP_M_Proj", "IB_PP_G_Proj"),
        ("ImageBind++", "IB++"),
    ),
    FreebindProduct("IB_PP_M", "ImageBind + Cr(CLAP_m)", ("IB_PP_M_Proj",)),
    FreebindProduct("IB_PP_G", "ImageBind + Cr(CLAP_g)", ("IB_PP_G_Proj",)),
    FreebindProduct("InternVL_IB", _DR, ("InternVL_IB_Proj",)),
    FreebindProduct(
        "InternVL_IB_PP",
        f"{_DR} | {_CR}",
        ("InternVL_IB_Proj", "InternVL_IB_PP_M_Proj", "InternVL_IB_PP_G_Proj"),
        ("InternVL_IB++",),
    ),
    FreebindProduct(
        "InternVL_IB_PP_M",
        f"{_DR} | Cr(CLAP_m)",
        ("InternVL_IB_Proj", "InternVL_IB_PP_M_Proj"),
    ),
    FreebindProduct(
        "InternVL_IB_PP_G",
        f"{_DR} | Cr(CLAP_g)",
        ("InternVL_IB_Proj", "InternVL_IB_PP_G_Proj"),
    ),
)
TUNED_FOLDERS = ("InternVL_IB_FTPP_G_Proj", "InternVL_IB_FTPP_M_Proj")
TUNED_NAMES = ("InternVL_IB_FT", "InternVL_IB_FTPP", "InternVL_IB_FTPP_G", "InternVL_IB_FTPP_M")


@dataclass(frozen=True)
class Imported:
    """A bundle made of published projectors.

    Attributes:
        product: what was imported.
        bundle: verified.
    """

    product: FreebindProduct
    bundle: Bundle


# --- what there is -------------------------------------------------------------------


def find_products(folder: Path, name: str | None = None) -> tuple[list[FreebindProduct], list[str]]:
    """Return the products that a folder's projectors make, and what is left out.

    Without a name, single experts are only products of their own where the other is missing.

    Args:
        folder: holds the published folders.
        name: of the only product to import.

    Returns:
        The products, and a remark on each folder that goes into none of them.

    Raises:
        MissingError: there is no such folder, or it holds none of the published ones, or
            none that make a product.
        UsageError: no product has this name.
        NotSupportedYet: what there is, or is asked for, needs the tuned audio encoder.
    """
    if name is not None:
        product = _named(name)
        _check_folder(folder, product.folders)
        missing = [part for part in product.folders if not is_dir(folder / part)]
        if missing:
            raise MissingError(
                f"{product.name} cannot be imported from {folder}",
                why=f"there is no folder {', '.join(missing)}",
                fix=f"copy the published folders there, each with {{{','.join(SUBSETS)}}}/{FILE}",
                looked_in=[str(folder)],
                missing=missing,
            )
        return [product], []
    known = tuple(dict.fromkeys(part for product in PRODUCTS for part in product.folders))
    _check_folder(folder, (*known, *TUNED_FOLDERS))
    there = {part for part in (*known, *TUNED_FOLDERS) if is_dir(folder / part)}
    possible = [product for product in PRODUCTS if there.issuperset(product.folders)]
    products = [
        product for product in possible if not any(_is_part(product, larger) for larger in possible)
    ]
    tuned = [part for part in TUNED_FOLDERS if part in there]
    if tuned and not products:
        raise _tuned(", ".join(tuned))
    used = {part for product in products for part in product.folders}
    left_out = [f"{part} is left out: {_tuned(part).why}" for part in tuned]
    left_out += [
        f"{part} is left out: its base needs InternVL_IB_Proj, which is not there"
        for part in known
        if part in there - used
    ]
    if not products:
        raise MissingError(
            f"the projectors in {folder} make no product",
            why="; ".join(left_out),
            fix="copy InternVL_IB_Proj there, too",
            looked_in=[str(folder)],
        )
    return products, left_out


def _is_part(product: FreebindProduct, larger: FreebindProduct) -> bool:
    """Return whether a product is a larger one with an expert left out; stages do not count."""
    return product.name in (f"{larger.name}_M", f"{larger.name}_G")


def _named(name: str) -> FreebindProduct:
    for product in PRODUCTS:
        if name.casefold() in (known.casefold() for known in (product.name, *product.also)):
            return product
    if name.casefold() in (known.casefold() for known in TUNED_NAMES):
        raise _tuned(name)
    known = [known for product in PRODUCTS for known in (product.name, *product.also)]
    raise UsageError(f"no published product '{name}'", fix=suggestion(name, known), known=known)


def _tuned(what: str) -> NotSupportedYet:
    return NotSupportedYet(
        f"cannot import {what}",
        why="these projectors belong to InternVL_IB with a tuned audio encoder (a checkpoint "
        "apart), which this version cannot evaluate; with the untuned one they would be wrong",
        fix="import InternVL_IB_PP, which needs no tuned encoder",
    )


def _check_folder(folder: Path, folders: tuple[str, ...]) -> None:
    if not is_dir(folder):
        siblings: list[str] = []
        if is_dir(folder.parent):
            siblings = [path.name for path in folder.parent.iterdir() if path.is_dir()]
        near = suggestion(folder.name, siblings) if len(siblings) <= 100 else ""
        raise MissingError(
            f"no folder of projectors at '{folder}'",
            why="it is a file" if is_file(folder) else "",
            fix=near
            if near.startswith("did")
            else "give the folder that holds InternVL_IB_Proj, IB_PP_G_Proj, ...",
            path=str(folder),
        )
    if any(is_dir(folder / part) for part in folders):
        return
    inside = [path.name for path in folder.iterdir() if path.is_dir()]
    deeper = [name for name in inside if any((folder / name / part).is_dir() for part in folders)]
    fix = "give the folder that holds them"
    if deeper:
        fix = f"molspace import freebind {folder / deeper[0]}"
    elif folder.resolve().name in folders:
        fix = f"give the folder around it: molspace import freebind {folder.resolve().parent}"
    raise MissingError(
        "there are no FreeBind projectors",
        why=f"none of these folders is there: {', '.join(folders)}",
        fix=fix,
        looked_in=[str(folder)],
    )


# --- importing -----------------------------------------------------------------------


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
        NotSupportedYet: it needs the tuned audio encoder.
        DataError: a file is damaged, or holds other tensors than published.
        DimensionMismatch: a projector does not fit the lab's spaces.
        BundleError: ``out`` holds something else.
        StoreError: a bundle cannot be written.
    """
    products, left_out = find_products(folder, name)
    for remark in left_out:
        on_notice(remark)
    heads: dict[str, Mapping[str, PublishedHead]] = {}
    made = []
    for product in products:
        on_notice(f"{product.name}: {product.expression}")
        for part in product.folders:
            if part not in heads:
                heads[part] = dict(_read_mixture(folder, part))
        made.append((product, *_assemble(product, heads, lab, folder)))
    used = [str(spec["name"]) for _, record, _ in made for spec in record["spaces"]]
    lab.refuse_unused_weights(used)
    ready = []
    for product, record, tensors in made:
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


def _read_mixture(folder: Path, part: str) -> Iterator[tuple[str, PublishedHead]]:
    paths = {subset: folder / part / subset / FILE for subset in SUBSETS}
    missing = [f"{subset}/{FILE}" for subset, path in paths.items() if not is_file(path)]
    if missing:
        raise MissingError(
            f"the projectors in {folder / part} are not complete",
            why=f"there is no {', '.join(missing)}",
            fix="a mixture is the mean of all seven: copy the published folder again",
            looked_in=[str(folder / part)],
            missing=missing,
        )
    for subset, path in paths.items():
        yield SUBSETS[subset], read_head(path, LAYOUT, "FreeBind")


def _assemble(
    product: FreebindProduct,
    heads: Mapping[str, Mapping[str, PublishedHead]],
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
                tensors[f"{index}.{subset}.{name.removeprefix(_PREFIX)}"] = array
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
    )
    record["imported"] = {"from": "freebind", "product": product.name, "files": files}
    return record, tensors


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
