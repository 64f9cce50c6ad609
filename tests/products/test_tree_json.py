import json
from dataclasses import replace

import pytest
from fakes import CG, CM, IB, VL, cr, fusion
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.tuning_options import TuningOptions
from reactions.core.types import Tuned
from reactions.products.tree_json import tree_from_json, tree_to_json

SPECS = {leaf.spec.name: leaf.spec for leaf in (IB, VL, CG, CM)}
leaf_spaces = st.sampled_from([IB, VL, CG, CM])


@st.composite
def products(draw, children):
    op = draw(st.sampled_from(["dr", "cr"]))
    count = 1 if op == "dr" else draw(st.integers(1, 3))
    experts = [draw(children) for _ in range(count)]
    product = fusion(op, draw(children), *experts, recipe=draw(st.sampled_from(["paper", "cmcr"])))
    anchors = draw(st.none() | st.sampled_from([("audio",), ("audio", "text")]))
    return replace(product, experts=tuple(replace(e, anchors=anchors) for e in product.experts))


tunings = st.builds(
    TuningOptions,
    heads=st.sampled_from([True, False, "only"]),
    epochs=st.none() | st.integers(1, 9),
    lr=st.none() | st.floats(0, 1, exclude_min=True),
    lora=st.none() | st.integers(1, 9),
    pairs=st.none() | st.just("scenes"),
)
PAIR = st.just(("audio", "image"))
spaces = st.recursive(
    leaf_spaces,
    lambda s: (
        products(s) | st.builds(Tuned, st.just("ft"), s, st.just(("audio", "image")), tunings)
    ),
    max_leaves=6,
)


@given(spaces)
def test_trees_survive_json(space):
    text = json.dumps(tree_to_json(space))
    assert tree_from_json(json.loads(text), SPECS) == space


def test_the_json_of_a_product():
    assert tree_to_json(cr(IB, CG, anchors=("audio", "text"))) == {
        "op": "cr",
        "base": {"leaf": "ImageBind"},
        "experts": [
            {
                "space": {"leaf": "CLAP_g"},
                "weight": 1.0,
                "factors": {"audio": 0.5, "text": 0.1},
                "anchors": ["audio", "text"],
                "recipe": "paper",
            }
        ],
    }
    tuned = Tuned("lcl", IB, ("kb",))
    assert tree_to_json(tuned) == {"lcl": {"leaf": "ImageBind"}, "arguments": ["kb"]}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"op": "xr"}, ValueError),
        ({"experts": []}, ValueError),
        ({"op": "dr"}, ValueError),
        ({"base": {"leaf": "gone"}}, KeyError),
        ({"base": {}}, KeyError),
    ],
)
def test_trees_that_are_none(change, error):
    data = {**tree_to_json(cr(IB, CM, CG)), **change}
    with pytest.raises(error):
        tree_from_json(data, SPECS)


def test_the_json_of_a_tuning_has_the_options_that_differ():
    ft = Tuned("ft", IB, ("audio", "image"))
    assert "options" not in tree_to_json(ft)
    only = Tuned("ft", IB, ("audio", "image"), TuningOptions(heads="only", epochs=1))
    assert tree_to_json(only)["options"] == {"heads": "only", "epochs": 1}
