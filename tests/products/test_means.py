from dataclasses import replace

from fakes import CG, CM, IB, VL, cr, dr, headline

from reactions.core.types import leaves
from reactions.products.tree import (
    Adjustment,
    acting_mean,
    effective_means,
)
from reactions.products.tree_json import tree_from_json, tree_to_json


def test_how_experts_are_averaged_is_reported_where_it_acts():
    product = replace(headline(), mean="unit")
    assert effective_means(headline()) == {}
    assert effective_means(product) == {"CLAP_m & CLAP_g": "unit"}
    assert effective_means(dr(product, VL)) == {"CLAP_m & CLAP_g": "unit"}
    assert effective_means(product, Adjustment(experts=frozenset({"CLAP_g"}))) == {}
    assert acting_mean(product, (0.25, 0.25)) == "unit"
    assert acting_mean(product, (0.0, 0.5)) == "eq10"
    assert acting_mean(headline(), (0.25, 0.25)) == "eq10"


def test_a_tree_names_only_means_that_are_rescaled():
    plain = cr(IB, CM, CG)
    product = replace(plain, mean="unit")
    assert tree_to_json(product) == {**tree_to_json(plain), "mean": "unit"}
    specs = {leaf.label: leaf.spec for leaf in leaves(product)}
    assert tree_from_json(tree_to_json(product), specs) == product != plain
    assert tree_from_json(tree_to_json(plain), specs) == plain
