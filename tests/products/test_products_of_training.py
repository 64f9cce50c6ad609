"""Which arithmetic trained a bundle is in its record, and eval says where it moves scores."""

from types import SimpleNamespace

import fakes
import pytest

from reactions.core.step import Artifact
from reactions.core.types import Expert, Fusion, Leaf
from reactions.products.target import Target
from reactions.steps.assemble import Assemble

SPACE = Fusion("cr", Leaf(fakes.IB.spec), (Expert(Leaf(fakes.CM.spec), 1.0, ()),))
MCR = Fusion("cr", Leaf(fakes.IB.spec), (Expert(Leaf(fakes.CM.spec), 1.0, (), recipe="cmcr"),))


def target(space=SPACE, *, precision="fast", **record):
    bundle = SimpleNamespace(record={"settings": {"precision": precision}, **record})
    return Target("x", space, "mini", bundle)


def test_a_bundle_says_what_its_projectors_were_trained_in():
    def trained(**meta):
        return Artifact({}, {"loss": [1.0], **meta})

    inputs = {
        "0.T": trained(products="bfloat16"),
        "0.V": trained(products="float32"),
        "0.A": trained(),  # of an earlier version
    }
    assembled = Assemble(record={}, mixtures=()).run(fakes.Context(), inputs, 0, 1)
    assert assembled.meta["products"] == ["bfloat16", "float32"]


def test_scores_of_float32_are_called_what_they_are():
    (notice,) = target(products=["float32"]).score_notices()
    assert "trained in float32" in notice
    assert "may differ by some tenths of a point from those of bfloat16" in notice


@pytest.mark.parametrize(
    "other",
    [
        target(products=["bfloat16"]),
        target(products=[]),
        target(),  # an earlier version's bundle
        target(precision="exact", products=["float32"]),  # asked for
        target(MCR, products=["float32"]),
        Target("x", SPACE.base, "mini"),
    ],
)
def test_where_nothing_differs_nothing_is_said(other):
    assert other.score_notices() == ()
