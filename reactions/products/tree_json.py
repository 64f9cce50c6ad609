"""Typed reactions as JSON, as bundles and keys have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reactions.core.lcl_options import LclOptions
from reactions.core.tuning_options import TuningOptions
from reactions.core.types import Anchors, Expert, Fusion, Leaf, Space, SpaceSpec, Tuned
from reactions.dsl.values import mean_of


def tree_to_json(space: Space) -> dict[str, Any]:
    """Return a typed reaction as a JSON object; leaves are referred to by name."""
    if isinstance(space, Leaf):
        return {"leaf": space.spec.name}
    if isinstance(space, Tuned):
        options = space.options.to_json()
        return {
            space.op: tree_to_json(space.base),
            "arguments": list(space.arguments),
            **({"options": options} if options else {}),
        }
    return {
        "op": space.op,
        **({} if space.mean == "eq10" else {"mean": space.mean}),
        "base": tree_to_json(space.base),
        "experts": [
            {
                "space": tree_to_json(expert.space),
                "weight": expert.weight,
                "factors": dict(expert.factors),
                "anchors": None if expert.anchors is None else list(expert.anchors),
                "recipe": expert.recipe,
            }
            for expert in space.experts
        ],
    }


def tree_from_json(data: Mapping[str, Any], specs: Mapping[str, SpaceSpec]) -> Space:
    """Rebuild a typed reaction.

    Args:
        data: what ``tree_to_json`` returned.
        specs: leaf name to spec.

    Raises:
        KeyError: a leaf or a field is missing.
        ValueError: a reaction of no known kind, or with a wrong number of experts.
    """
    if "leaf" in data:
        return Leaf(specs[data["leaf"]])
    if "op" not in data:
        op: Any = "ft" if "ft" in data else "lcl"
        return Tuned(op, tree_from_json(data[op], specs), tuple(data["arguments"]), _options(data))
    experts = tuple(
        Expert(
            space=tree_from_json(item["space"], specs),
            weight=float(item["weight"]),
            factors=tuple(sorted((m, float(f)) for m, f in item["factors"].items())),
            anchors=_anchors(item["anchors"]),
            recipe=item["recipe"],
        )
        for item in data["experts"]
    )
    if data["op"] not in ("dr", "cr") or not experts or (data["op"] == "dr" and len(experts) > 1):
        raise ValueError(f"no reaction is a {data['op']!r} with {len(experts)} experts")
    mean = mean_of(data.get("mean", "eq10"))
    return Fusion(data["op"], tree_from_json(data["base"], specs), experts, mean)


def _options(data: Mapping[str, Any]) -> TuningOptions | LclOptions:
    options = dict(data.get("options", {}))
    if "ft" in data:
        return TuningOptions(**options)
    if "modalities" in options:
        options["modalities"] = tuple(options["modalities"])
    return LclOptions(**options)


def _anchors(value: list[str] | None) -> Anchors | None:
    return None if value is None else tuple(value)
