"""Shares of leaves in a product, and the weights of their cosines."""

import itertools

import pytest
import torch
from fakes import CG, CM, IB, VL, cr, dr, fusion, headline

from reactions.core.types import Tuned, leaves
from reactions.products.shares import cosine_weights, leaf_shares, leaves_of_both
from reactions.products.tree import Adjustment

ADJUSTMENTS = [
    Adjustment(),
    Adjustment(sigma={"": (0.8, 0.5)}, lambda_={"": 0.3}),
    Adjustment(experts=frozenset({"InternVL", "CLAP_m"})),
    Adjustment(experts=frozenset()),
]


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
@pytest.mark.parametrize("modality", ["audio", "image", "text"])
def test_shares_sum_to_one(adjustment, modality):
    assert sum(leaf_shares(headline(), modality, adjustment).values()) == pytest.approx(1)


def test_shares_follow_the_path():
    space = headline()  # sigma: audio 0.5, text 0.1; lambda: image and text 0.9
    assert leaf_shares(space, "text") == pytest.approx(
        {IB: 0.9 * 0.1, VL: 0.9 * 0.9, CM: 0.05, CG: 0.05}
    )
    assert leaf_shares(space, "audio") == pytest.approx({IB: 0.5, CM: 0.25, CG: 0.25})
    assert leaf_shares(space, "image") == pytest.approx({IB: 0.1, VL: 0.9})
    nested = cr(dr(IB, CG), CG)
    assert leaf_shares(nested, "audio") == pytest.approx({IB: 0.5 * 0.1, CG: 0.5 * 0.9 + 0.5})
    tuned = Tuned("ft", nested, ("audio", "image"))
    assert leaf_shares(tuned, "audio") == leaf_shares(nested, "audio")


@pytest.mark.parametrize("adjustment", ADJUSTMENTS)
def test_weights_are_the_coefficients_of_a_leaf_with_itself(adjustment):
    """Products of shares, rescaled, as in a fused similarity."""
    space = headline()
    for first, second in itertools.combinations(("audio", "image", "text"), 2):
        weights = cosine_weights(space, first, second, adjustment)
        shares, others = (leaf_shares(space, m, adjustment) for m in (first, second))
        left, two = (
            torch.tensor([own_weights.get(leaf, 0.0) for leaf in leaves(space)])
            for own_weights in (shares, others)
        )
        expected = left * two / (left * two).sum()
        assert [weights.get(leaf, 0.0) for leaf in leaves(space)] == pytest.approx(
            expected.tolist()
        )


def test_a_pair_of_modalities_that_no_leaf_has_both_of_has_no_weights():
    space = fusion("cr", CG, VL)
    assert cosine_weights(space, "audio", "image") == {}
    assert leaves_of_both(space, "audio", "image") == ()
    assert leaves_of_both(space, "image", "text") == (VL,)


def test_parts_do_not_depend_on_factors_but_on_experts():
    space = headline()
    assert leaves_of_both(space, "audio", "text") == (IB, CM, CG)
    unmoved = Adjustment(sigma={"": 0.0})
    assert leaves_of_both(space, "audio", "text", unmoved) == (IB, CM, CG)
    assert set(cosine_weights(space, "audio", "text", unmoved)) == {IB}
    assert leaves_of_both(space, "audio", "text", ADJUSTMENTS[2]) == (IB, CM)
    assert leaves_of_both(space, "audio", "text", ADJUSTMENTS[3]) == (IB,)
