"""Atoms and weights give what ``fuse`` gives, at any factors that are free."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CG, CM, IB, VL, cr, dr, headline, unit_rows
from hypothesis import given
from hypothesis import strategies as st
from untrained import make_heads

from reactions.core.errors import UsageError
from reactions.products.acting import reachable_leaves
from reactions.products.atoms import (
    Atom,
    Weigher,
    atom_rows,
    atoms_of,
    form_of,
    free_factors,
    inner_products,
    mixed_rows,
    pairs_of,
)
from reactions.products.fuse import fuse
from reactions.products.tree import Adjustment, fit_adjustment

N = 11
PRODUCTS = {
    "a space": IB,
    "displaced": dr(IB, VL),
    "combined": cr(IB, CM, CG),
    "the headline": headline(),
    "rescaled means": replace(cr(dr(IB, VL), CM, CG), mean="unit"),
    "weights": cr(IB, CM, CG, weights=[0.7, 0.3]),
    "a product that is displaced": dr(cr(IB, CM), VL),
    "a product as an expert": cr(IB, cr(CM, CG)),
    "experts without a common base": cr(VL, CM, IB),
    "three stages": cr(cr(dr(IB, VL), CM), CG),
}
CASES = [(name, m) for name, space in PRODUCTS.items() for m in space.modalities]


def prepared(space, modality):
    parts = make_heads(space)
    rows = {
        leaf: torch.from_numpy(unit_rows(N, leaf.dim, leaf.dim))
        for leaf in reachable_leaves(space, modality)
    }
    form = form_of(space, modality, parts)
    units, lengths = (x.numpy() for x in atom_rows(form, modality, rows, parts))
    return parts, rows, form, units, lengths


@pytest.mark.parametrize(("name", "modality"), CASES)
def test_atoms_are_unit_rows_and_their_products_are_kept(name, modality):
    _, _, form, units, lengths = prepared(PRODUCTS[name], modality)
    assert units.shape == (N, len(atoms_of(form)), PRODUCTS[name].dim)
    np.testing.assert_allclose(np.linalg.norm(units, axis=2), 1, atol=1e-6)
    assert ((lengths > 0) & (lengths < 1 + 1e-5)).all()
    products = inner_products(units)
    for column, (j, k) in enumerate(pairs_of(units.shape[1])):
        expected = (units[:, j].astype(float) * units[:, k]).sum(axis=1)
        np.testing.assert_allclose(products[:, column], expected, atol=1e-6)


@pytest.mark.parametrize(("name", "modality"), CASES)
@given(data=st.data())
def test_they_give_the_embeddings_of_fuse_at_any_free_factors(name, modality, data):
    space = PRODUCTS[name]
    parts, rows, form, units, lengths = prepared(space, modality)
    factor = st.sampled_from([0.0, 0.1, 0.5, 0.8, 1.0])
    free, _ = free_factors(space, parts)
    labels = {
        kind: [n.partition(" ")[2] for n in free if n.startswith(kind)] for kind in ("sigma", "lam")
    }
    adjustment = Adjustment(
        sigma={label: data.draw(factor) for label in labels["sigma"]},
        lambda_={label: data.draw(factor) for label in labels["lam"]},
    )
    chosen = data.draw(st.sets(st.sampled_from(labels["sigma"]))) if labels["sigma"] else set()
    if chosen and name not in ("a product as an expert", "experts without a common base"):
        adjustment = replace(adjustment, experts=frozenset({*chosen, *labels["lam"]}))
    adjustment = fit_adjustment(space, adjustment)
    weigher = Weigher(form, modality)
    with torch.inference_mode():
        try:
            expected = fuse(space, modality, rows, parts, adjustment).numpy()
        except UsageError:  # no space is left
            with pytest.raises(UsageError):
                weigher.coefficients(adjustment, lengths, inner_products(units))
            return
    scaled = weigher.coefficients(adjustment, lengths, inner_products(units))
    # Two roundings of float32: norms from inner products, and sums in another order.
    np.testing.assert_allclose(mixed_rows(units, scaled), expected, atol=5e-6)


def test_what_is_free_and_what_is_fixed():
    assert free_factors(headline()) == (
        ("lambda InternVL", "sigma CLAP_m", "sigma CLAP_g"),
        (),
    )
    assert free_factors(dr(cr(IB, CM), VL)) == (("lambda InternVL",), ("sigma CLAP_m",))
    assert free_factors(cr(IB, cr(CM, CG))) == (("sigma (CLAP_m + Cr(CLAP_g))",), ("sigma CLAP_g",))
    assert free_factors(IB) == ((), ())


def test_a_part_of_a_stages_own_closes_it():
    space = cr(dr(IB, VL), CM)
    form = form_of(space, "text", {(space, None): None})
    assert isinstance(form, Atom)
    assert free_factors(space, {(space, None): None})[0] == ()


def test_fixed_factors_are_refused_where_they_matter():
    space = dr(cr(IB, CM), VL)
    _, _, form, units, lengths = prepared(space, "audio")
    weigher = Weigher(form, "audio", Adjustment(sigma={"CLAP_m": 0.5}))
    products = inner_products(units)
    weigher.coefficients(Adjustment(sigma={"CLAP_m": 0.5}), lengths, products)
    with pytest.raises(UsageError, match="sigma CLAP_m within"):
        weigher.coefficients(Adjustment(sigma={"CLAP_m": 0.6}), lengths, products)


def test_rows_that_cancel_out_have_no_coefficients():
    space = cr(IB, CM)
    form = form_of(space, "text")
    units = np.zeros((2, 2, 8), dtype=np.float32)
    units[0, 0, 0], units[0, 1, 0] = 1, -1
    units[1, 0, 0], units[1, 1, 1] = 1, 1
    half = Adjustment(sigma={"": 0.5})
    weigher = Weigher(form, "text")
    scaled = weigher.coefficients(half, np.ones((2, 2)), inner_products(units))
    for row in scaled:
        assert np.isnan(row[0])
        assert row[1] == pytest.approx(2**-0.5)
