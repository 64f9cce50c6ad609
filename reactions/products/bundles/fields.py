"""Parts of a bundle beside its projectors: means of centred spaces, rows, the quality report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactions.core.errors import BundleError
from reactions.core.types import Leaf, Modality, Space, SpaceSpec, leaves

if TYPE_CHECKING:
    from torch import Tensor

_NORM_SLACK = 1e-3
"""A mean of unit-norm rows is no longer than 1, up to rounding."""

_ROWS = {"product", "part", "sum", "centred sum", "better factors"}


def load_means(path: Path, space: Space, device: str) -> dict[tuple[Leaf, Modality], Tensor]:
    """Load the means of the leaves that are centred; a product without such has none.

    Args:
        path: the tensor file of a bundle.
        space: the product.
        device: where they go.

    Returns:
        (leaf, modality) to (d,) float32, for each modality that had training rows.

    Raises:
        BundleError: one is misshapen, not finite, or longer than 1; a centred leaf has none.
    """
    centred = [leaf for leaf in leaves(space) if leaf.spec.centre]
    means: dict[tuple[Leaf, Modality], Tensor] = {}
    if not centred:
        return means
    import torch
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as tensors:
            names = set(tensors.keys())
            for leaf in centred:
                for modality in leaf.modalities:
                    name = f"mean.{leaf.label}.{modality}"
                    if name in names:
                        mean = tensors.get_tensor(name)
                        length = mean.norm() if mean.is_floating_point() else torch.tensor(2.0)
                        # A NaN is not within any bound.
                        if mean.shape != (leaf.dim,) or not length <= 1 + _NORM_SLACK:
                            raise BundleError(f"{path}: tensor {name} is not a mean of embeddings")
                        means[leaf, modality] = mean.float().to(device)
    except (SafetensorError, OSError) as error:
        raise BundleError(f"cannot read {path}", why=str(error)) from None
    for leaf in centred:
        if not any((leaf, modality) in means for modality in leaf.modalities):
            raise BundleError(f"{path} lacks the means of space '{leaf.label}', which is centred")
    return means


def mean_sizes(space: Space) -> dict[str, int]:
    """Return names and lengths of the means that a product's tensors may hold."""
    return {
        f"mean.{leaf.label}.{modality}": leaf.dim
        for leaf in leaves(space)
        if leaf.spec.centre
        for modality in leaf.modalities
    }


def spec_record(spec: SpaceSpec) -> dict[str, Any]:
    """Return a space's fields; those that earlier records lack only where they say something."""
    record = asdict(spec)
    del record["tuned"]  # records name spaces with the encoders as they are
    for later in ("centre", "tower_digests", "derived"):
        if not record[later]:
            del record[later]
    return record


def check_fields(record: Mapping[str, Any]) -> None:
    """Check what a record says of rows, projectors and quality; all are absent in early bundles.

    Raises:
        ValueError: a value is not one that molspace writes.
        LookupError: a field is missing.
        TypeError: a value has another type.
    """
    for count in record.get("rows", ()):
        _texts(count, "modality", "corpus")
        _counts(count, "rows", "held_out")
    for projector in record.get("projectors", ()):
        _texts(projector, "pair", "subset")
        _counts(projector, "rows")
        if "chosen" not in projector:  # solved for in closed form, with no numbers to choose
            continue
        _counts(projector, "hidden_dim", "batch_size", "epochs")
        for name in projector["chosen"]:
            _text(name)
    ranks = record.get("ranks", {})
    _counts(ranks, *ranks.keys())
    report = record.get("quality")
    if report is None:
        return
    _text(report["cross_reason"])
    for entry in report["found_again"]:
        _texts(entry, "base", "expert", "modality")
        if entry["op"] not in ("dr", "cr"):
            raise ValueError(f"no reaction is a {entry['op']!r}")
        _counts(entry, "n")
        _recalls(entry)
    for entry in report["cross"]:
        _check_cross(entry)


def _check_cross(entry: Mapping[str, Any]) -> None:
    first, second = entry["modalities"]
    _text(first)
    _text(second)
    _counts(entry, "n")
    kinds = [row["row"] for row in entry["rows"]]
    worse, better = entry["worse"], entry["better"]
    if not set(kinds) <= _ROWS or kinds.count("product") != 1:
        raise ValueError(f"{kinds!r} are not rows of a quality report")
    if "centred sum" in kinds and "sum" not in kinds:
        raise ValueError("a centred sum without a plain one")
    if (better is None) != ("better factors" not in kinds):
        raise ValueError("better factors without their figures, or figures without them")
    parts = [row["name"] for row in entry["rows"] if row["row"] == "part"]
    for row in entry["rows"]:
        _recalls(row)
        if row["row"] == "part":
            _texts(row, "name")
        elif row["row"] == "better factors":
            _check_factors(row["factors"])
        elif row["row"] != "product":
            for weight in row["weights"].values():
                _number(weight, 0, 1)
    if worse is not None:
        if worse["metric"] not in ("R@1", "R@10") or worse["part"] not in parts:
            raise ValueError("worse by no metric, or than no part, of the report")
        for key in ("mean", "low", "high"):
            _number(worse[key], -100, 100)
    if better is not None:
        _check_factors(better)


def _check_factors(by_option: Mapping[str, Mapping[str, Mapping[str, float]]]) -> None:
    for option, experts in by_option.items():
        if option not in ("sigma", "lambda"):
            raise ValueError(f"{option!r} is not a factor")
        for factors in experts.values():
            for factor in factors.values():
                _number(factor, 0, 1)


def _recalls(entry: Mapping[str, Any]) -> None:
    for values in (entry, entry["there"], entry["back"]):
        for key in ("R@1", "R@10"):
            _number(values[key], 0, 100)


def _counts(entry: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        if type(entry[key]) is not int or entry[key] < 0:
            raise ValueError(f"{key} is {entry[key]!r}, not a count")


def _texts(entry: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        _text(entry[key])


def _text(value: Any) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{value!r} is not text")


def _number(value: Any, low: float, high: float) -> None:
    # Written as percentages: the mean of a hundred per cent may be rounded up.
    if type(value) not in (int, float) or not low - 1e-6 <= value <= high + 1e-6:
        raise ValueError(f"{value!r} is not within {low} to {high}")
