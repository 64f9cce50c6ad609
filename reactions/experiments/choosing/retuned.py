"""A bundle with other default factors and fewer experts: the same trained parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from reactions.core.errors import BundleError, LanguageError, UsageError
from reactions.core.types import Expert, Fusion, Space, Tuned, leaves
from reactions.dsl import parse
from reactions.dsl.syntax import Cr, Dr, Expression, Parallel, Product
from reactions.dsl.syntax import Space as Name
from reactions.products.bundles.bundle import Bundle, write_bundle
from reactions.products.bundles.fields import spec_record
from reactions.products.tree import Adjustment, effective_factors, mixtures
from reactions.products.tree_json import tree_to_json


def write_retuned(
    bundle: Bundle, adjustment: Adjustment, directory: Path, tuned: Mapping[str, Any]
) -> Path:
    """Write a bundle whose own factors are those of an adjustment.

    Args:
        bundle: whose trained parts are taken over.
        adjustment: fitted to its product.
        directory: where the new one goes.
        tuned: for the record: how the factors were chosen.

    Raises:
        UsageError: an expert is dropped whose parts cannot be left out.
        BundleError: the product would have other factors than those that were scored.
        StoreError: it cannot be written.
    """
    from safetensors.numpy import load_file

    record = dict(bundle.record)
    space = with_factors(bundle.space, adjustment)
    _check_factors(space, bundle.space, adjustment)
    positions = [
        position
        for position, (fusion, i) in enumerate(mixtures(bundle.space))
        if adjustment.keeps(fusion.experts[i])
    ]
    drops = len(positions) < len(record["mixtures"])
    if drops and record.get("parts"):
        raise UsageError(
            "experts cannot be dropped from a bundle with parts of other kinds",
            why="they belong to places in the reaction that would move",
            fix="leave --experts out",
        )
    number = {str(old): str(new) for new, old in enumerate(positions)}
    names = {leaf.label for leaf in leaves(space)}
    tensors = {}
    for file in bundle.files:
        arrays = load_file(bundle.path / file)
        prefix = "" if file == bundle.files[-1] else f"part.{file.split('-')[1].split('.')[0]}."
        for name, array in arrays.items():
            first, _, rest = name.partition(".")
            if prefix:
                tensors[prefix + name] = array
            elif first == "mean":
                if rest.rpartition(".")[0] in names:
                    tensors[name] = array
            elif first in number:
                tensors[f"{number[first]}.{rest}"] = array
    for stale in ("digest", "files", "quality"):  # quality was measured at other factors
        record.pop(stale, None)
    if drops:
        record.pop("projectors", None)  # they do not say whose they are
    for name in ("losses", "ranks", "steps"):
        if name in record:
            record[name] = _renumbered(record[name], number)
    record |= {
        "expression": expression_with(str(record["expression"]), adjustment),
        "tree": tree_to_json(space),
        "modalities": list(space.modalities),
        "spaces": [spec_record(leaf.spec) for leaf in leaves(space)],
        "mixtures": [record["mixtures"][position] for position in positions],
        "tuned": {**tuned, "from": bundle.digest},
    }
    return write_bundle(directory, record, tensors)


def with_factors(space: Space, adjustment: Adjustment) -> Space:
    """Return a product whose own factors and experts are those of an adjustment.

    Raises:
        UsageError: a displacement loses its expert, and so its space.
    """
    if isinstance(space, Tuned):
        return replace(space, base=with_factors(space.base, adjustment))
    if not isinstance(space, Fusion):
        return space
    base = with_factors(space.base, adjustment)
    present = [expert for expert in space.experts if adjustment.keeps(expert)]
    if not present:
        if space.op == "dr":
            raise UsageError(
                f"{space.experts[0].label} cannot be dropped",
                why="the product is in its space",
                fix="--lambda 0 takes its share away",
            )
        return base
    total = sum(expert.weight for expert in present)
    experts = tuple(
        Expert(
            space=with_factors(expert.space, adjustment),
            weight=expert.weight / total,
            factors=tuple(sorted(adjustment.factors(space.op, space, expert).items())),
            anchors=expert.anchors,
            recipe=expert.recipe,
        )
        for expert in present
    )
    return Fusion(space.op, base, experts, space.mean if len(experts) > 1 else "eq10")


def _check_factors(space: Space, scored: Space, adjustment: Adjustment) -> None:
    """Refuse a product whose factors are not those that act where it was scored."""
    # By position, for an expert that is a product may have another label without its experts.
    bundle_factors = list(effective_factors(space).values())
    if bundle_factors != list(effective_factors(scored, adjustment).values()):
        raise BundleError(
            "the bundle is not written: its factors are not those that were scored",
            why=f"it would have {bundle_factors}",
            fix="eval with --sigma, --lambda and --experts gives the scores without a bundle",
        )


def _renumbered(entries: Mapping[str, Any], number: Mapping[str, str]) -> dict[str, Any]:
    """Return what goes by the places of experts, ``0.TVA``, by their new ones.

    Args:
        entries: what goes by none is kept.
        number: old place to new place, of experts that are kept.
    """
    renumbered = {}
    for name, value in entries.items():
        place, dot, rest = name.partition(".")
        if not place.isdecimal():
            renumbered[name] = value
        elif place in number:
            renumbered[f"{number[place]}{dot}{rest}"] = value
    return renumbered


def expression_with(text: str, adjustment: Adjustment) -> str:
    """Return a reaction with the factors and experts of an adjustment written into it."""
    try:
        return str(_rewritten(parse(text).result, adjustment))
    except LanguageError:  # the name of an imported product is not a reaction
        return text


def _rewritten(expression: Expression, adjustment: Adjustment) -> Expression:
    if not isinstance(expression, Product):
        return expression
    stages: list[Any] = []
    for stage in expression.stages:
        members = stage.members if isinstance(stage, Parallel) else (stage,)
        reactions = [
            _reaction(member, adjustment)
            for member in members
            if not isinstance(member, Cr | Dr) or _keeps(member, adjustment)
        ]
        if len(reactions) == 1 and len(members) > 1:  # what it shared with the others
            stages.append(reactions[0].changed(weight=None, mean=None))
        elif len(reactions) == 1:
            stages.append(reactions[0])
        elif reactions:
            stages.append(Parallel(tuple(reactions)))
    return Product(expression.base, tuple(stages)) if stages else expression.base


def _keeps(member: Cr | Dr, adjustment: Adjustment) -> bool:
    return (
        adjustment.experts is None
        or not isinstance(member.space, Name)
        or member.space.name in adjustment.experts
    )


def _reaction(member: Any, adjustment: Adjustment) -> Any:
    if not isinstance(member, Cr | Dr):
        return member
    if not isinstance(member.space, Name):
        return member.changed(space=_rewritten(member.space, adjustment))
    by_expert = adjustment.sigma if isinstance(member, Cr) else adjustment.lambda_
    factors = by_expert.get(member.space.name, by_expert.get(""))
    if factors is None:
        return member
    written = tuple(factors.items()) if isinstance(factors, Mapping) else factors
    return member.changed(factors=written)
