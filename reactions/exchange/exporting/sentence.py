"""A product as a model of sentence-transformers: its own modules alone, no code of ours.

In each modality it is one encoder, dense layers, and rows rescaled to unit norm. Where modalities
differ in that, a ``Router`` tells them apart.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import StepError, UsageError, guarded
from reactions.core.types import Item, Leaf, Modality
from reactions.exchange.exporting.examples import example_items
from reactions.exchange.exporting.folder import TOLERANCE, Exported, facts_of, reasons
from reactions.exchange.exporting.place import RECORD, check_place, files_in, placed
from reactions.exchange.exporting.readme import sentence_readme_of
from reactions.exchange.exporting.single_path import SinglePath, single_path
from reactions.products.bundles.folder import write_file
from reactions.products.target import Target
from reactions.products.tree import NO_ADJUSTMENT, Adjustment, embedded_by, fit_adjustment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.inference.embedder import Embedder

FORM = "sentence-transformers"
_EXPORT = f"--to {FORM}"


def export_sentence(
    target: Target,
    out: Path,
    embedder_of: Callable[[Adjustment], Embedder],
    adjustment: Adjustment = NO_ADJUSTMENT,
    *,
    overwrite: bool = False,
) -> Exported:
    """Write a product for sentence-transformers, encoder included, at factors that become fixed.

    It is loaded again, and embeds texts and pictures of ours as the product does.

    Args:
        target: a trained product.
        out: the folder: a new one, an empty one, or with ``overwrite`` an earlier export.
        embedder_of: returns what embeds with the product at given factors.
        adjustment: factors and experts.
        overwrite: whether an earlier export may be replaced.

    Raises:
        UsageError: factors do not fit, something else is there, or the product is more than one
            encoder and dense layers in every modality; the reason names what stands in the way.
        MissingError: a package or an encoder's weights are missing.
        StepError: what was written computes something else.
        StoreError: the folder cannot be written.
    """
    from reactions.encoders.transformers.sentence import check_packages

    check_place(out, overwrite=overwrite)
    adjustment = fit_adjustment(target.space, adjustment)
    paths, left_out = _paths(target, adjustment)
    if not paths:
        raise UsageError(
            "the product cannot be written for sentence-transformers",
            why=reasons(left_out),
            fix="--to torch   or   --to onnx   write its heads",
        )
    check_packages()
    config = facts_of(target, adjustment, FORM)
    config["left_out"] = left_out
    with placed(out, overwrite=overwrite) as staging:
        _save(paths, staging)
        differences = _differences(staging, paths, embedder_of(adjustment))
        for modality, difference in differences.items():
            config["modalities"][modality] = {
                "space": paths[modality].leaf.label,
                "largest_difference": difference,
            }
        packages = ("sentence-transformers", "transformers", "torch")
        versions = ", ".join(f"{name} {version(name)}" for name in packages)
        write_file(staging / "README.md", sentence_readme_of(config, target, versions).encode())
        config["files"] = files_in(staging)
        write_file(staging / RECORD, json.dumps(config, indent=1).encode())
    return Exported(out, config, left_out)


def _paths(
    target: Target, adjustment: Adjustment
) -> tuple[dict[Modality, SinglePath], dict[Modality, str]]:
    """Return the modalities that can be written, and why others cannot."""
    from reactions.encoders.transformers.sentence import why_not

    space, parts = target.space, target.parts("cpu")
    embedded = embedded_by(space, adjustment)
    paths: dict[Modality, SinglePath] = {}
    left_out: dict[Modality, str] = {}
    for modality in space.modalities:
        if modality not in embedded:
            left_out[modality] = "none of the chosen experts embeds it"
            continue
        try:
            path = single_path(space, modality, parts, adjustment)
        except UsageError as error:
            left_out[modality] = error.why or error.what
            continue
        if why := why_not(path.leaf.spec, modality):
            left_out[modality] = why
        else:
            paths[modality] = path
    return paths, left_out


def _save(paths: Mapping[Modality, SinglePath], folder: Path) -> None:
    """Write the model's own files."""
    from reactions.encoders.packages import import_package
    from reactions.encoders.transformers.repository import quiet
    from reactions.encoders.transformers.sentence import module_of, pin_processor

    package = import_package("sentence_transformers", _EXPORT, FORM)
    modules = import_package("sentence_transformers.base.modules", _EXPORT, FORM)
    by_leaf: dict[Leaf, list[Modality]] = {}
    for modality, path in paths.items():
        by_leaf.setdefault(path.leaf, []).append(modality)
    encoders = {leaf: module_of(leaf.spec, modalities) for leaf, modalities in by_leaf.items()}
    routes = {
        modality: [encoders[path.leaf], *_layers(path, modules)] for modality, path in paths.items()
    }
    if _are_alike(list(paths.values())):
        chain = next(iter(routes.values()))
    else:
        chain = [modules.Router(routes, allow_empty_key=False)]
    with guarded(_not_saved), quiet():
        model = package.SentenceTransformer(
            modules=chain, device="cpu", similarity_fn_name="cosine"
        )
        model.save(str(folder), create_model_card=False)
    pin_processor(folder)


def _layers(path: SinglePath, modules: Any) -> list[Any]:
    """Return the modules behind an encoder."""
    from torch import nn

    modules_behind = [modules.Normalize()]
    for layer in path.layers:
        n_out, n_in = layer.weight.shape
        activation = nn.ReLU() if layer.is_activated else nn.Identity()
        modules_behind.append(
            modules.Dense(
                n_in,
                n_out,
                activation_function=activation,
                init_weight=layer.weight.clone(),
                init_bias=layer.bias.clone(),
            )
        )
        if layer.is_rescaled:
            modules_behind.append(modules.Normalize())
    return modules_behind


def _are_alike(paths: list[SinglePath]) -> bool:
    """Return whether all modalities have the same encoder and the same layers."""
    first, *rest = paths
    return all(
        other.leaf == first.leaf
        and len(other.layers) == len(first.layers)
        and all(
            a.weight.equal(b.weight)
            and a.bias.equal(b.bias)
            and (a.is_activated, a.is_rescaled) == (b.is_activated, b.is_rescaled)
            for a, b in zip(first.layers, other.layers, strict=True)
        )
        for other in rest
    )


def _differences(
    folder: Path, paths: Mapping[Modality, SinglePath], embedder: Embedder
) -> dict[Modality, float]:
    """Return by how much the numbers of a saved model differ at most.

    Raises:
        StepError: by more than ``TOLERANCE``, or it cannot be loaded.
    """
    from reactions.encoders.packages import import_package
    from reactions.encoders.transformers.repository import quiet

    package = import_package("sentence_transformers", _EXPORT, FORM)
    with guarded(_not_saved), quiet():
        model = package.SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    gaps = {}
    for modality in paths:
        items, inputs = _examples(modality)
        expected = embedder.embed(modality, items)
        with guarded(_not_saved), quiet():
            rows: NDArray[np.float32] = model.encode(
                inputs, batch_size=2, show_progress_bar=False, convert_to_numpy=True
            )
        gap = float(np.abs(rows - expected).max()) if rows.shape == expected.shape else float("inf")
        if not gap <= TOLERANCE:  # also where it is not a number
            raise StepError(
                f"the exported {modality} differs by {gap:.1e}",
                why=f"it was loaded again and compared; {TOLERANCE:g} is allowed",
                fix="other versions of sentence-transformers and transformers, or --to torch",
            )
        gaps[modality] = gap
    return gaps


def _examples(modality: Modality) -> tuple[list[Item], list[Any]]:
    """Return items to compare with, and what sentence-transformers takes for them."""
    from PIL import Image

    items = example_items(modality)
    inputs = [
        Image.fromarray(item.value) if isinstance(item.value, np.ndarray) else item.value
        for item in items
    ]
    return items, inputs


def _not_saved(error: Exception) -> StepError:
    return StepError(
        "sentence-transformers cannot write or load the product",
        why=f"{type(error).__name__}: {' '.join(str(error).split())}"[:400],
        fix="another version of it, or --to torch",
    )
