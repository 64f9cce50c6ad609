"""What FreeBind published, and what of it a folder has.

    DIR/IB_PP_G_Proj/{mix,A,T,V,AT,AV,TV}/best.pt    CLAP_g into ImageBind, 512 to 1024
    DIR/IB_PP_M_Proj/...                             CLAP_m into ImageBind
    DIR/InternVL_IB_Proj/...                         ImageBind into InternVL, 1024 to 768
    DIR/InternVL_IB_PP_{G,M}_Proj/...                CLAP_g, CLAP_m into InternVL_IB, 512 to 768
    DIR/InternVL_IB_audio_with_head.pt               InternVL_IB's audio, tuned (the paper's dagger)
    DIR/InternVL_IB_FTPP_{G,M}_Proj/...              CLAP_g, CLAP_m into that

Each folder holds a mixture of seven projectors, one for each subset of the pseudo sets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.local_files import is_dir, is_file

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

TUNED_FILES = ("InternVL_IB_audio_with_head.pt", "DrvtFT_audio_with_head.pt")
"""The tuned audio encoder with its projectors, as the published code calls it and its README."""


@dataclass(frozen=True, slots=True)
class FreebindProduct:
    """What some of the folders make together.

    Attributes:
        name: as the published folders are called.
        expression: the reaction.
        folders: of projectors, in the order of ``tree.mixtures``.
        also: its other names.
        tuned: whether it needs the tuned audio encoder.
    """

    name: str
    expression: str
    folders: tuple[str, ...]
    also: tuple[str, ...] = ()
    tuned: bool = False


_DR = "ImageBind + Dr(InternVL)"
_FT = f"{_DR} | Ft(audio~image, heads=true)"
# The published code rescales the mean of parallel experts to unit norm, whatever a lab does.
_CR = "Cr(CLAP_m, mean=unit) & Cr(CLAP_g, mean=unit)"
_BASE = "InternVL_IB_Proj"


def _family(
    name: str, base: str, folders: tuple[str, ...], part: str, *also: str, tuned: bool = False
) -> tuple[FreebindProduct, ...]:
    """Return a base with both CLAPs, and with each alone."""
    m, g = (f"{part}_{expert}_Proj" for expert in "MG")
    return (
        FreebindProduct(name, f"{base}{_CR}", (*folders, m, g), also, tuned),
        FreebindProduct(f"{name}_M", f"{base}Cr(CLAP_m)", (*folders, m), (), tuned),
        FreebindProduct(f"{name}_G", f"{base}Cr(CLAP_g)", (*folders, g), (), tuned),
    )


PRODUCTS: tuple[FreebindProduct, ...] = (
    *_family("IB_PP", "ImageBind + ", (), "IB_PP", "ImageBind++", "IB++"),
    FreebindProduct("InternVL_IB", _DR, (_BASE,)),
    *_family("InternVL_IB_PP", f"{_DR} | ", (_BASE,), "InternVL_IB_PP", "InternVL_IB++"),
    FreebindProduct("InternVL_IB_FT", _FT, (_BASE,), ("InternVL_IB-dagger",), tuned=True),
    *_family(
        "InternVL_IB_FTPP",
        f"{_FT} | ",
        (_BASE,),
        "InternVL_IB_FTPP",
        "InternVL_IB-dagger++",
        tuned=True,
    ),
)
FOLDERS = tuple(dict.fromkeys(part for product in PRODUCTS for part in product.folders))


def tuned_file(folder: Path) -> Path | None:
    """Return where the tuned audio encoder lies in a folder, if it is there."""
    candidates = (folder / name for name in TUNED_FILES)
    return next((path for path in candidates if is_file(path)), None)


def find_products(folder: Path, name: str | None = None) -> tuple[list[FreebindProduct], list[str]]:
    """Return the products that a folder's projectors make, and what is left out.

    Without a name, single experts are only products of their own where the other is missing.

    Args:
        folder: holds the published folders.
        name: of the only product to import.

    Returns:
        The products, and a remark on each folder or file that goes into none of them.

    Raises:
        MissingError: there is no such folder, or it holds none of the published ones, or
            not all that the product, or any product, needs.
        UsageError: no product has this name.
    """
    if name is not None:
        product = _named(name)
        _check_folder(folder, product.folders)
        if missing := _missing(folder, product):
            raise MissingError(
                f"{product.name} cannot be imported from {folder}",
                why=f"there is no {', '.join(missing)}",
                fix="copy what was published there; each folder has "
                f"{{{','.join(SUBSETS)}}}/{FILE}",
                looked_in=[str(folder)],
                missing=missing,
            )
        return [product], []
    _check_folder(folder, FOLDERS)
    possible = [product for product in PRODUCTS if not _missing(folder, product)]
    products = [
        product for product in possible if not any(_is_part(product, larger) for larger in possible)
    ]
    used = {part for product in products for part in product.folders}
    left_out = [
        f"{part} is left out: it needs {', '.join(_missing_for(folder, part))}, which is not there"
        for part in FOLDERS
        if part not in used and is_dir(folder / part)
    ]
    tuned = tuned_file(folder)
    if tuned and not any(product.tuned for product in products):
        left_out.append(f"{tuned.name} is left out: it needs {_BASE}, which is not there")
    if not products:
        raise MissingError(
            f"the projectors in {folder} make no product",
            why="; ".join(left_out),
            fix="copy what they need there, too",
            looked_in=[str(folder)],
        )
    return products, left_out


def _missing(folder: Path, product: FreebindProduct) -> list[str]:
    """Return the folders and files that a product needs and a folder lacks."""
    missing = [part for part in product.folders if not is_dir(folder / part)]
    if product.tuned and tuned_file(folder) is None:
        missing.append(f"{TUNED_FILES[0]} (the tuned audio encoder)")
    return missing


def _missing_for(folder: Path, part: str) -> list[str]:
    """Return the least that keeps a folder from being used."""
    needing = [product for product in PRODUCTS if part in product.folders]
    return min((_missing(folder, product) for product in needing), key=len)


def _is_part(product: FreebindProduct, larger: FreebindProduct) -> bool:
    """Return whether a product is a larger one with an expert left out; stages do not count."""
    return product.name in (f"{larger.name}_M", f"{larger.name}_G")


def _named(name: str) -> FreebindProduct:
    for product in PRODUCTS:
        if name.casefold() in (spelling.casefold() for spelling in (product.name, *product.also)):
            return product
    names = [spelling for product in PRODUCTS for spelling in (product.name, *product.also)]
    raise UsageError(f"no published product '{name}'", fix=suggestion(name, names), known=names)


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
