"""What a record says of a reaction, held to what the language could say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from reactions.core.types import Fusion, shared_modalities
from reactions.dsl.check import MAX_STAGES
from reactions.dsl.lcl_options import LCL_OPTIONS, lcl_option_of
from reactions.dsl.syntax import Ft, Lcl
from reactions.dsl.tuning_options import TUNING_OPTIONS, tuning_option_of
from reactions.dsl.values import anchors_of, check_recipe, factor_of, mean_of, weight_of
from reactions.products.bundles.json_values import a_list, a_mapping, a_text
from reactions.products.tree import coefficients


def check_tree(data: Any, names: set[str], depth: int = 0) -> None:
    """Check the values of a tree that ``tree_from_json`` would convert."""
    if depth > MAX_STAGES:
        raise ValueError(f"more than {MAX_STAGES} stages")
    a_mapping("a reaction", data)
    if "leaf" in data:
        if set(data) != {"leaf"} or data["leaf"] not in names:
            raise ValueError(f"no space {data['leaf']!r:.80} is described")
        return
    if "op" not in data:
        if "ft" in data:
            _check_tuning(data)
        elif "lcl" in data:
            _check_learning(data)
        else:
            raise ValueError("products of this version are reactions of Dr, Cr, Ft and Lcl alone")
        check_tree(data["ft" if "ft" in data else "lcl"], names, depth + 1)
        return
    if "mean" in data and mean_of(data["mean"]) == "eq10":
        raise ValueError("a mean that is always left out: eq10")
    check_tree(data["base"], names, depth + 1)
    for item in a_list("experts", data["experts"]):
        check_tree(item["space"], names, depth + 1)
        if type(item["weight"]) not in (int, float):
            raise ValueError(f"weight {item['weight']!r:.40}")
        weight_of(item["weight"])
        for modality, factor in a_mapping("factors", item["factors"]).items():
            factor_of(f"the factor of {modality}", factor)
        if item["anchors"] is not None:
            anchors = a_list("anchors", item["anchors"])
            if list(anchors_of(anchors)) != anchors:
                raise ValueError(f"anchors {anchors!r:.80} are not sorted")
        check_recipe(item["recipe"])


def _check_learning(data: Mapping[str, Any]) -> None:
    """Check the values of what an Lcl says, as the language does."""
    arguments = a_list("arguments", data["arguments"])
    if len(arguments) != 1:
        raise ValueError(f"Lcl of {arguments!r:.80}")
    options = a_mapping("options", data.get("options", {}))
    if unknown := options.keys() - set(LCL_OPTIONS):
        raise ValueError(f"Lcl has no option {min(unknown)!r:.80}")
    for name, value in options.items():
        hashable = tuple(value) if isinstance(value, list) else value
        # By type as well: 1 equals True.
        read = lcl_option_of(name, hashable)
        if value is None or read != hashable or (type(read) is bool) != (type(hashable) is bool):
            raise ValueError(f"{name} is {value!r:.80}")
    Lcl(a_text("the knowledge base", arguments[0]))  # for what its constructor raises


def _check_tuning(data: Mapping[str, Any]) -> None:
    """Check the values of what an Ft says, as the language does."""
    arguments = a_list("arguments", data["arguments"])
    if len(arguments) != 2:
        raise ValueError(f"Ft of {arguments!r:.80}")
    options = a_mapping("options", data.get("options", {}))
    if unknown := options.keys() - TUNING_OPTIONS.keys():
        raise ValueError(f"Ft has no option {min(unknown)!r:.80}")
    for name, value in options.items():
        if value is None or tuning_option_of(name, value) != value:
            raise ValueError(f"{name} is {value!r:.80}")
    Ft(*arguments, **options)  # for what its constructor raises


def check_fusion(fusion: Fusion) -> None:
    """Check what the language would of a stage."""
    # Shares are quotients, so their sum is 1 only up to rounding.
    total = math.fsum(expert.weight for expert in fusion.experts)
    if abs(total - 1.0) > 1e-6:
        raise ValueError(f"the experts' weights sum to {total:g}, not to 1")
    experts = [expert.space for expert in fusion.experts]
    if any(experts.index(space) < i for i, space in enumerate(experts)):
        raise ValueError(f"an expert stands twice in {fusion.label}")
    if fusion.mean != "eq10" and len(experts) < 2:
        raise ValueError(f"a mean of one expert in {fusion.label}")
    if fusion.base in experts:
        raise ValueError(f"{fusion.base.label} is the base and the expert")
    for expert in fusion.experts:
        shared = shared_modalities(fusion.base, expert.space)
        if tuple(modality for modality, _ in expert.factors) != shared:
            raise ValueError(
                f"factors of {expert.label} for {[m for m, _ in expert.factors]!r:.200}; it "
                f"shares {list(shared)}"
            )
        both = {*fusion.base.modalities, *expert.space.modalities}
        if expert.anchors is not None and not set(expert.anchors) <= both:
            raise ValueError(f"anchors {list(expert.anchors)!r:.200}, which nothing embeds")
    # Called for what it raises.
    for modality in fusion.modalities:
        coefficients(fusion, modality)
