"""Embeddings that a product's spaces gave elsewhere, brought into the product.

Two ways: arrays (``project_rows``), and folders of embeddings that stand in for the encoders
(``given_folders``), which ``Embedder`` then looks items up in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.arrays import as_array
from reactions.core.errors import DataError, DimensionMismatch, UsageError, suggestion
from reactions.core.file_digests import DigestCache
from reactions.core.local_files import is_dir
from reactions.core.types import Item, Leaf, Modality, Space, SpaceSpec, leaves
from reactions.products.parts import Parts
from reactions.products.target import Target
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    fit_adjustment,
    needed_leaves,
    raw_leaves,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHECKED_ROWS = 1 << 16


def project_rows(
    target: Target,
    modality: Modality,
    rows: Mapping[str, Any],
    parts: Parts,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Embed items in a product, given the embeddings that its spaces have of them.

    Args:
        target: the product.
        modality: of the items.
        rows: a space's name in the reaction to (n, d_space) floats: an array, also a memory map, or
            a torch tensor; row i of all is of the same item. As the space's encoder gives them:
            means are taken out here where the product does so.
        parts: what was trained, on ``device``.
        adjustment: factors and experts.
        device: where to compute.

    Returns:
        (n, dim) float32 unit rows.

    Raises:
        UsageError: a space's rows are missing, or a name is not that of a space of the product, or
            the product's own encoder would have to make them.
        DimensionMismatch: rows are not as wide as the space, or not as many as the others.
        DataError: a row is not finite, or has no direction.
    """
    from reactions.products.fuse import embed_product

    space = target.space
    if modality not in space.modalities:
        raise UsageError(
            f"this space does not embed {modality}",
            why=f"it embeds {', '.join(space.modalities)}",
            fix=suggestion(modality, space.modalities),
        )
    adjustment = fit_adjustment(space, adjustment)
    needed = needed_leaves(space, modality, adjustment)
    by_leaf = _by_label(target, rows)
    lacking = [leaf.label for leaf in needed if leaf not in by_leaf]
    _refuse_tuned(needed)
    if lacking:
        raise UsageError(
            f"{modality} needs the embeddings of {', '.join(lacking)}, too",
            why=f"{', '.join(leaf.label for leaf in needed)} have a share in it at these factors",
            fix="give them; or factors, or experts, that do without",
            needed=[leaf.label for leaf in needed],
        )
    stored: dict[Space, NDArray[Any]] = {
        leaf: _checked(leaf.label, by_leaf[leaf], leaf.dim, modality) for leaf in needed
    }
    counts = {leaf.label: len(leaf_rows) for leaf, leaf_rows in stored.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{n:,} of {label}" for label, n in counts.items())
        raise DimensionMismatch(
            f"{modality} rows are not of the same items: {listed}",
            fix="give as many of each, in one order",
        )
    for leaf in raw_leaves(space).intersection(needed):
        _refuse_unit(leaf, stored[leaf], modality)
    embeddings = embed_product(space, modality, stored, parts, adjustment, device=device)
    _check_directions(embeddings, modality)
    return embeddings


def _by_label(target: Target, rows: Mapping[str, Any]) -> dict[Leaf, Any]:
    """Return what is given for each leaf, refusing names of none."""
    by_label = {leaf.label: leaf for leaf in leaves(target.space)}
    for label in rows:
        if label not in by_label:
            raise UsageError(
                f"the product has no space '{label}'",
                why=f"it is made of {', '.join(by_label)}",
                fix=suggestion(label, by_label),
            )
    return {by_label[label]: leaf_rows for label, leaf_rows in rows.items()}


def _refuse_tuned(needed: Iterable[Leaf]) -> None:
    tuned = [leaf.label for leaf in needed if leaf.spec.tuned]
    if tuned:
        raise UsageError(
            f"embeddings of {', '.join(tuned)} cannot be given",
            why="an Ft tuned its encoder, so that those of the model as it was are others",
            fix="give the files themselves: molspace infer",
        )


def _checked(label: str, rows: Any, dim: int, modality: Modality) -> NDArray[Any]:
    """Return rows as an array, once it is clear that each has a direction."""
    array = as_array(rows)
    if array.dtype.kind != "f" or array.ndim != 2:
        got = f"{array.dtype} of shape {array.shape}"
        raise UsageError(
            f"{modality} of {label} is {got}", why=f"it takes (n, {dim}) floating-point numbers"
        )
    if array.shape[1] != dim:
        raise DimensionMismatch(
            f"{modality} rows of {label} have {array.shape[1]} numbers, and {label} {dim}",
            fix="give the embeddings of that model",
        )
    for start in range(0, len(array), _CHECKED_ROWS):
        norms = np.linalg.norm(
            np.asarray(array[start : start + _CHECKED_ROWS], dtype=np.float64), axis=1
        )
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(bad):
            what = "zero" if norms[bad[0]] == 0 else "not finite"
            raise DataError(
                f"{modality} row {start + int(bad[0]):,} of {label} is {what}",
                why="only a direction can be embedded",
                fix="leave the item out",
                row=start + int(bad[0]),
            )
    return array


def _refuse_unit(leaf: Leaf, rows: NDArray[Any], modality: Modality) -> None:
    norms = np.linalg.norm(np.asarray(rows[:1024], dtype=np.float64), axis=1)
    if len(norms) and np.all(np.abs(norms - 1.0) < 1e-3):
        raise UsageError(
            f"{modality} rows of {leaf.label} have unit norm",
            why="an Lcl of this product takes them at the norm that the model gives",
            fix="give them as the model gives them",
        )


def _check_directions(embeddings: NDArray[np.float32], modality: Modality) -> None:
    norms = np.linalg.norm(embeddings.astype(np.float64), axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1.0) < 1e-2))
    if len(bad):
        raise DataError(
            f"the product has no embedding of {modality} row {int(bad[0]):,}",
            why=f"it has length {norms[bad[0]]:g}, not 1: the projectors' numbers overflow, or "
            "cancel out",
            row=int(bad[0]),
        )


# --- folders -------------------------------------------------------------------------------


@dataclass(frozen=True)
class GivenFolders:
    """Folders of embeddings that stand in for a product's encoders.

    Attributes:
        specs: what is looked up in place of a leaf.
        modalities: those that can be embedded from them, sorted.
        notices: how rows are paired, and what is left out.
    """

    specs: Mapping[Leaf, SpaceSpec]
    modalities: tuple[Modality, ...]
    notices: tuple[str, ...]
    _ids: Mapping[Modality, tuple[str, ...]]
    _positional: frozenset[Modality]

    def items(self) -> Iterator[Item]:
        """Yield an item for each row, in the order of the first folder."""
        for modality in self.modalities:
            own_id = modality not in self._positional
            for id in self._ids[modality]:
                yield Item(id, modality, None, own_id=own_id)

    def __len__(self) -> int:
        return sum(map(len, self._ids.values()))


def given_folders(
    values: Iterable[str],
    target: Target,
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    digests: DigestCache,
) -> GivenFolders:
    """Open the folders that stand in for a product's encoders.

    Args:
        values: ``SPACE=FOLDER``, or a folder with a folder a space, by name.
        target: the product.
        adjustment: factors and experts.
        digests: of their files.

    Raises:
        UsageError: a space is not the product's, is named twice, or one that is needed is not.
        MissingError: there is no such folder.
        DataError: a folder is damaged, or has other items than the others.
        DimensionMismatch: a folder's rows are not as wide as the space.
    """
    from reactions.encoders.precomputed.corpora import common_corpus

    specs = {
        leaf: _spec_of(leaf, folder, digests) for leaf, folder in _folders(values, target).items()
    }
    adjustment = fit_adjustment(target.space, adjustment)
    ids: dict[Modality, tuple[str, ...]] = {}
    positional = set()
    notices: list[str] = []
    lacks: dict[Modality, str] = {}
    for modality in target.space.modalities:
        if not any(modality in spec.modalities for spec in specs.values()):
            continue
        try:
            needed = needed_leaves(target.space, modality, adjustment)
        except UsageError as error:
            lacks[modality] = error.what
            continue
        _refuse_tuned(needed)
        lacking = [
            leaf.label
            for leaf in needed
            if leaf not in specs or modality not in specs[leaf].modalities
        ]
        if lacking:
            lacks[modality] = f"there are no {modality} rows of {', '.join(lacking)}"
            continue
        corpus = common_corpus([specs[leaf] for leaf in needed], modality)
        notices += corpus.notices
        ids[modality] = tuple(item.id for item in corpus.items(0, len(corpus)))
        if corpus.positional:
            positional.add(modality)
    if not ids:
        raise UsageError(
            "no modality can be embedded from these folders",
            why="; ".join(f"{m}: {why}" for m, why in lacks.items()) or "they hold none of it",
            fix="--embeddings SPACE=FOLDER for each space that has a share; or --experts, --sigma",
        )
    notices += [f"{m} is left out: {why}" for m, why in lacks.items()]
    return GivenFolders(specs, tuple(sorted(ids)), tuple(notices), ids, frozenset(positional))


def _folders(values: Iterable[str], target: Target) -> dict[Leaf, str]:
    by_label = {leaf.label: leaf for leaf in leaves(target.space)}
    folders: dict[Leaf, str] = {}

    def add(label: str, folder: str) -> None:
        if by_label[label] in folders:
            raise UsageError(f"--embeddings is given twice for {label}", fix="leave one out")
        folders[by_label[label]] = folder

    for value in values:
        # A label may be a quoted path or address with a sign of equality in it.
        label = next(
            (leaf_label for leaf_label in by_label if value.startswith(f"{leaf_label}=")), None
        )
        if label is not None:
            add(label, value.removeprefix(f"{label}="))
        elif is_dir(Path(value)):
            present = [leaf_label for leaf_label in by_label if is_dir(Path(value) / leaf_label)]
            if not present:
                raise UsageError(
                    f"'{value}' has no folder for a space of the product",
                    why=f"it is made of {', '.join(by_label)}",
                    fix=f"--embeddings {next(iter(by_label))}={value}, if they are its rows",
                )
            for leaf_label in present:
                add(leaf_label, str(Path(value) / leaf_label))
        else:
            name = value.partition("=")[0]
            raise UsageError(
                f"--embeddings {value}: there is no such folder, and no space '{name}'",
                why=f"the product is made of {', '.join(by_label)}",
                fix=f"--embeddings SPACE=FOLDER; {suggestion(name, by_label)}",
            )
    return folders


def _spec_of(leaf: Leaf, folder: str, digests: DigestCache) -> SpaceSpec:
    from reactions.encoders.precomputed.infer_outputs import made_with
    from reactions.encoders.precomputed.layouts import find_sets
    from reactions.encoders.registry import resolve_uri
    from reactions.weights.locate import WeightLocator

    spec = resolve_uri(
        f"precomputed:{folder}", digest_cache=digests, locator=WeightLocator.of_environment()
    )
    if spec.dim != leaf.dim:
        raise DimensionMismatch(
            f"rows in '{folder}' have {spec.dim} numbers, and {leaf.label} {leaf.dim}",
            fix=f"give the embeddings of {leaf.label}",
        )
    for modality, part in find_sets(Path(spec.source)).items():
        maker = made_with(part).strip().strip("\"'")
        if maker and maker != leaf.label.strip("\"'"):
            raise UsageError(
                f"the {modality} in '{folder}' was embedded by {maker}, not by {leaf.label}",
                why="infer noted what made them",
                fix=f"--embeddings {leaf.label}=FOLDER, of embeddings that {leaf.label} made",
            )
    return spec
