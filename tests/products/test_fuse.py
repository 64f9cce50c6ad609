"""``fuse`` against equations 1-3, 9 and 10 written out in float64."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import CG, CM, IB, VL, cr, dr, headline, unit_rows
from untrained import make_heads

from reactions.core.types import Fusion
from reactions.products.fuse import fuse
from reactions.products.tree import Adjustment

N = 13


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def psi(heads, x):
    """The paper's mixture of projectors: the mean of the heads' outputs, at inference."""

    def batch_norm(y, w, layer):
        y = (y - w[f"{layer}.running_mean"]) / np.sqrt(w[f"{layer}.running_var"] + 1e-5)
        return y * w[f"{layer}.weight"] + w[f"{layer}.bias"]

    outputs = []
    for head in heads:
        w = {name: value.double().numpy() for name, value in head.state().items()}
        hidden = np.maximum(batch_norm(x @ w["0.weight"].T + w["0.bias"], w, "1"), 0)
        outputs.append(unit(batch_norm(hidden @ w["3.weight"].T + w["3.bias"], w, "4")))
    return unit(np.mean(outputs, axis=0))


def embeddings(modality):
    rows = {leaf: unit_rows(N, leaf.dim, leaf.dim) for leaf in (IB, VL, CG, CM)}
    return {leaf: r for leaf, r in rows.items() if modality in leaf.modalities}


def both(space, modality, heads, adjustment=None):
    rows = embeddings(modality)
    tensors = {leaf: torch.from_numpy(r) for leaf, r in rows.items()}
    options = () if adjustment is None else (adjustment,)
    fused = fuse(space, modality, tensors, heads, *options).numpy()
    return fused, {leaf: r.astype(np.float64) for leaf, r in rows.items()}


def close(actual, expected):
    assert actual.dtype == np.float32
    # fp32 through batch norms with gains of up to 7.
    np.testing.assert_allclose(actual, expected, atol=5e-6)


def test_equations_1_and_3():
    product = dr(IB, VL, factors={"image": 0.9, "text": 0.6})
    heads = make_heads(product)
    (psi_u,) = heads.values()
    fused, x = both(product, "image", heads)
    close(fused, unit((1 - 0.9) * psi(psi_u, x[IB]) + 0.9 * x[VL]))
    fused, x = both(product, "text", heads)
    close(fused, unit((1 - 0.6) * psi(psi_u, x[IB]) + 0.6 * x[VL]))
    fused, x = both(product, "audio", heads)
    close(fused, psi(psi_u, x[IB]))


def test_equation_2():
    product = cr(IB, CG, factors={"audio": 0.5, "text": 0.1})
    heads = make_heads(product)
    (psi_at,) = heads.values()
    fused, x = both(product, "audio", heads)
    close(fused, unit((1 - 0.5) * x[IB] + 0.5 * psi(psi_at, x[CG])))
    fused, x = both(product, "text", heads)
    close(fused, unit((1 - 0.1) * x[IB] + 0.1 * psi(psi_at, x[CG])))
    fused, x = both(product, "image", heads)
    close(fused, x[IB])


def test_equations_9_and_10():
    lam, sigma_a, sigma_t = 0.9, 0.5, 0.1
    product = headline()
    heads = make_heads(product)
    psi_u, psi_m, psi_g = heads.values()
    fused, x = both(product, "audio", heads)
    mean = (psi(psi_m, x[CM]) + psi(psi_g, x[CG])) / 2
    close(fused, unit((1 - sigma_a) * psi(psi_u, x[IB]) + sigma_a * mean))
    fused, x = both(product, "text", heads)
    inner = unit((1 - lam) * psi(psi_u, x[IB]) + lam * x[VL])
    mean = (psi(psi_m, x[CM]) + psi(psi_g, x[CG])) / 2
    close(fused, unit((1 - sigma_t) * inner + sigma_t * mean))
    fused, x = both(product, "image", heads)
    close(fused, unit((1 - lam) * psi(psi_u, x[IB]) + lam * x[VL]))


def test_customised_inference():
    product = headline()
    heads = make_heads(product)
    psi_u, _, psi_g = heads.values()
    chosen = Adjustment(
        sigma={"": (0.8, 0.5)}, lambda_={"": 0.3}, experts=frozenset({"InternVL", "CLAP_g"})
    )
    fused, x = both(product, "text", heads, chosen)
    inner = unit(0.7 * psi(psi_u, x[IB]) + 0.3 * x[VL])
    close(fused, unit(0.5 * inner + 0.5 * psi(psi_g, x[CG])))
    # A deselected displacement still decides where the base lies.
    fused, x = both(product, "image", heads, Adjustment(experts=frozenset()))
    close(fused, psi(psi_u, x[IB]))


def test_weighted_experts():
    product = cr(IB, CM, CG, weights=[0.7, 0.3], factors={"audio": 0.6, "text": 0.1})
    heads = make_heads(product)
    psi_m, psi_g = heads.values()
    fused, x = both(product, "audio", heads)
    close(fused, unit(0.4 * x[IB] + 0.42 * psi(psi_m, x[CM]) + 0.18 * psi(psi_g, x[CG])))


def outputs(heads, x):
    """The unit-norm outputs of the heads, each by itself."""
    return np.stack([psi([head], x) for head in heads])


@pytest.mark.parametrize("weights", [None, [0.7, 0.3]])
def test_the_mean_of_all_projectors_at_unit_norm(weights):
    product = replace(cr(IB, CM, CG, weights=weights), mean="unit")
    heads = make_heads(product)
    psi_m, psi_g = heads.values()
    m, g = weights or (0.5, 0.5)
    for modality, sigma in (("audio", 0.5), ("text", 0.1)):
        fused, x = both(product, modality, heads)
        # No expert's own mean is rescaled first.
        mean = m * outputs(psi_m, x[CM]).mean(0) + g * outputs(psi_g, x[CG]).mean(0)
        close(fused, unit((1 - sigma) * x[IB] + sigma * unit(mean)))
    equal = replace(product, mean="eq10")
    fused, x = both(product, "audio", heads)
    other, _ = both(equal, "audio", {(equal, i): part for (_, i), part in heads.items()})
    assert np.abs(fused - other).max() > 1e-2


def test_unit_means_of_experts_with_factors_of_their_own():
    product = replace(cr(IB, CM, CG), mean="unit")
    heads = make_heads(product)
    psi_m, psi_g = heads.values()
    chosen = Adjustment(sigma={"CLAP_m": 0.8, "CLAP_g": 0.2})
    fused, x = both(product, "audio", heads, chosen)
    mean = 0.4 * outputs(psi_m, x[CM]).mean(0) + 0.1 * outputs(psi_g, x[CG]).mean(0)
    close(fused, unit(0.5 * x[IB] + 0.5 * unit(mean)))


def test_of_one_expert_the_means_are_the_same_to_the_bit():
    product = replace(cr(IB, CM, CG), mean="unit")
    heads = make_heads(product)
    equal = replace(product, mean="eq10")
    others = {(equal, i): part for (_, i), part in heads.items()}
    for chosen in (
        Adjustment(experts=frozenset({"CLAP_g"})),
        Adjustment(sigma={"CLAP_m": 0.0, "CLAP_g": 0.5}),
        Adjustment(experts=frozenset()),
    ):
        fused, _ = both(product, "audio", heads, chosen)
        np.testing.assert_array_equal(fused, both(equal, "audio", others, chosen)[0])


def test_a_product_as_an_expert():
    inner = dr(CM, CG)
    product = cr(IB, inner, factors={"audio": 0.5, "text": 0.1})
    heads = make_heads(product)
    psi_inner, psi_outer = heads.values()
    fused, x = both(product, "audio", heads)
    expert = unit((1 - 0.9) * psi(psi_inner, x[CM]) + 0.9 * x[CG])
    close(fused, unit(0.5 * x[IB] + 0.5 * psi(psi_outer, expert)))


def test_half_precision_rows_are_brought_to_unit_norm_first():
    product = cr(IB, CG, factors={"audio": 0.5, "text": 0.1})
    heads = make_heads(product)
    rows = embeddings("audio")
    tensors = {IB: torch.from_numpy(1.01 * rows[IB]), CG: torch.from_numpy(0.98 * rows[CG])}
    expected, _ = both(product, "audio", heads)
    np.testing.assert_allclose(fuse(product, "audio", tensors, heads), expected, atol=1e-6)
    np.testing.assert_allclose(fuse(IB, "audio", tensors, {}), rows[IB], atol=1e-6)


@pytest.mark.parametrize("modality", ["audio", "image", "text"])
def test_rows_have_unit_norm(modality):
    product = headline()
    fused, _ = both(product, modality, make_heads(product))
    assert fused.shape == (N, product.dim)
    np.testing.assert_allclose(np.linalg.norm(fused, axis=1), 1, atol=1e-6)


def test_only_leaves_with_a_share_are_asked_for():
    product = headline()
    heads = make_heads(product)
    rows = {VL: torch.from_numpy(unit_rows(N, VL.dim, 0))}
    alone = Adjustment(sigma={"": 0.0}, lambda_={"": 1.0})
    np.testing.assert_allclose(fuse(product, "text", rows, heads, alone), rows[VL], atol=1e-6)


def test_batch_norm_uses_what_it_learned():
    # A row's embedding must not depend on which rows come with it.
    product = dr(IB, VL)
    heads = make_heads(product)
    assert isinstance(product, Fusion)
    rows = {leaf: torch.from_numpy(r) for leaf, r in embeddings("text").items()}
    together = fuse(product, "text", rows, heads)
    single = fuse(product, "text", {leaf: r[:1] for leaf, r in rows.items()}, heads)
    np.testing.assert_allclose(single, together[:1], atol=1e-6)
