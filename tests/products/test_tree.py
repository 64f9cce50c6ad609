import pytest
from fakes import CG, CM, IB, VL, changed, cr, dr, headline, spec
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import UsageError
from reactions.core.types import Expert, Fusion, Leaf, leaves
from reactions.products.acting import acting_adjustment
from reactions.products.tree import (
    NO_ADJUSTMENT,
    Adjustment,
    coefficients,
    effective_factors,
    fit_adjustment,
    mixtures,
    needed_leaves,
    spread,
)

POINT = Leaf(spec("ULIP", 3, "point", "text"))


# --- coefficients: equations 1-3, 9, 10 ---


def test_equations_1_and_3_displacement():
    lam_v, lam_t = 0.9, 0.7
    product = dr(IB, VL, factors={"image": lam_v, "text": lam_t})
    assert coefficients(product, "image") == (pytest.approx(1 - lam_v), (lam_v,))
    assert coefficients(product, "text") == (pytest.approx(1 - lam_t), (lam_t,))
    assert coefficients(product, "audio") == (1.0, (0.0,))


def test_equation_2_combination():
    sigma_a, sigma_t = 0.5, 0.1
    product = cr(IB, CG, factors={"audio": sigma_a, "text": sigma_t})
    assert coefficients(product, "audio") == (1 - sigma_a, (sigma_a,))
    assert coefficients(product, "image") == (1.0, (0.0,))
    assert coefficients(product, "text") == (1 - sigma_t, (sigma_t,))


def test_equation_9_a_combination_on_a_displacement():
    lam, sigma_a, sigma_t = 0.9, 0.8, 0.5
    inner = dr(IB, VL, factors={"image": lam, "text": lam})
    product = cr(inner, CG, factors={"audio": sigma_a, "text": sigma_t})
    assert coefficients(product, "audio") == (pytest.approx(1 - sigma_a), (sigma_a,))
    assert coefficients(product, "image") == (1.0, (0.0,))
    assert coefficients(product, "text") == (1 - sigma_t, (sigma_t,))
    assert coefficients(inner, "text") == (pytest.approx(1 - lam), (lam,))


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_equation_10_parallel_experts_share_the_factor(n):
    sigma_a, sigma_t = 0.5, 0.1
    experts = [changed(CG, name=f"CLAP_{i}") for i in range(n)]
    product = cr(IB, *experts, factors={"audio": sigma_a, "text": sigma_t})
    for modality, sigma in (("audio", sigma_a), ("text", sigma_t)):
        base, shares = coefficients(product, modality)
        assert base == pytest.approx(1 - sigma)
        assert shares == pytest.approx((sigma / n,) * n)


def test_weights_divide_the_factor():
    product = cr(IB, CM, CG, weights=[0.7, 0.3], factors={"audio": 0.5, "text": 0.1})
    assert coefficients(product, "audio") == (pytest.approx(0.5), pytest.approx((0.35, 0.15)))
    assert coefficients(product, "text") == (pytest.approx(0.9), pytest.approx((0.07, 0.03)))


def test_experts_may_have_factors_of_their_own():
    product = Fusion(
        "cr",
        IB,
        (
            Expert(CM, 0.7, (("audio", 0.5), ("text", 0.2))),
            Expert(CG, 0.3, (("audio", 1.0), ("text", 0.0))),
        ),
    )
    assert coefficients(product, "audio") == (pytest.approx(0.35), pytest.approx((0.35, 0.3)))
    assert coefficients(product, "text") == (pytest.approx(0.86), pytest.approx((0.14, 0.0)))


def test_an_expert_without_the_modality_leaves_it_to_the_others():
    product = cr(IB, VL, CG, weights=[0.7, 0.3], factors={"audio": 0.5, "image": 0.4, "text": 0.1})
    assert coefficients(product, "audio") == (0.5, (0.0, 0.5))
    assert coefficients(product, "image") == (0.6, (0.4, 0.0))
    assert coefficients(product, "text") == (pytest.approx(0.9), pytest.approx((0.07, 0.03)))


def test_a_deselected_expert_leaves_its_weight_to_the_others():
    product = cr(IB, CM, CG, weights=[0.7, 0.3], factors={"audio": 0.5, "text": 0.1})
    only_g = Adjustment(experts=frozenset({"CLAP_g"}))
    assert coefficients(product, "audio", only_g) == (0.5, (0.0, 0.5))
    nobody = Adjustment(experts=frozenset())
    assert coefficients(product, "audio", nobody) == (1.0, (0.0, 0.0))


def test_a_modality_only_experts_have_comes_from_them_alone():
    depth = Leaf(spec("DepthCLIP", 3, "point", "text"))
    product = cr(IB, POINT, depth, weights=[0.8, 0.2], factors={"text": 0.1})
    assert coefficients(product, "point") == (0.0, pytest.approx((0.8, 0.2)))
    adjustment = Adjustment(experts=frozenset({"ULIP"}), sigma={"": 0.3})
    assert coefficients(product, "point", adjustment) == (0.0, (1.0, 0.0))
    assert coefficients(dr(IB, POINT), "point") == (0.0, (1.0,))
    with pytest.raises(UsageError, match="none of the chosen experts embeds point"):
        coefficients(product, "point", Adjustment(experts=frozenset()))


def test_a_base_without_a_share_gets_exactly_nothing():
    # 1 - 6 * (1/6) is 1.1e-16, for which the base would have to be loaded and run.
    experts = [changed(CG, name=f"CLAP_{i}") for i in range(6)]
    product = cr(IB, *experts, factors={"audio": 1.0, "text": 1.0})
    assert coefficients(product, "text")[0] == 0.0
    assert IB not in needed_leaves(product, "text")


@given(
    st.lists(
        st.tuples(st.sampled_from([VL, CG, CM, POINT]), st.floats(0.01, 9), st.floats(0, 1)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["audio", "image", "point", "text"]),
    st.integers(0, 31),
)
def test_shares_are_a_weighted_average(drawn, modality, bits_chosen):
    experts = tuple(
        Expert(
            changed(leaf, name=str(i)),
            weight,
            tuple((m, factor) for m in leaf.modalities if m in IB.modalities),
        )
        for i, (leaf, weight, factor) in enumerate(drawn)
    )
    product = Fusion("cr", IB, experts)
    chosen = frozenset(str(i) for i in range(len(experts)) if bits_chosen >> i & 1)
    try:
        base, shares = coefficients(product, modality, Adjustment(experts=chosen))
    except UsageError:
        assert modality == "point"
        assert not any("point" in e.space.modalities and e.label in chosen for e in experts)
        return
    assert base + sum(shares) == pytest.approx(1, abs=1e-12)
    assert all(share >= 0 for share in (base, *shares))
    for expert, share in zip(experts, shares, strict=True):
        if expert.label not in chosen or modality not in expert.space.modalities:
            assert share == 0
    if modality == "point":
        assert base == 0


# --- adjusting ---


def test_spread_takes_one_number_one_each_or_names():
    shared = ("audio", "text")
    assert spread(0.5, shared, option="--sigma") == {"audio": 0.5, "text": 0.5}
    assert spread(1, shared, option="--sigma") == {"audio": 1.0, "text": 1.0}
    assert spread((0.25,), shared, option="--sigma") == {"audio": 0.25, "text": 0.25}
    assert spread((0.5, 0.1), shared, option="--sigma") == {"audio": 0.5, "text": 0.1}
    assert spread([0.5, 0.1], shared, option="--sigma") == {"audio": 0.5, "text": 0.1}
    assert spread({"text": 0, "audio": 1}, shared, option="--sigma") == {"audio": 1.0, "text": 0.0}


@pytest.mark.parametrize(
    ("factors", "words"),
    [
        ((0.1, 0.2, 0.3), "3 factors for 2 shared modalities"),
        ((), "0 factors for 2 shared modalities"),
        ({"audio": 0.1}, "no factor for text"),
        ({"audio": 0.1, "text": 0.2, "image": 0.3}, "'image' is not a shared modality"),
        ({"audi": 0.1, "text": 0.2}, "did you mean 'audio'"),
        (1.5, r"the factor 1.5 for audio is outside 0 to 1"),
        (-0.1, "outside 0 to 1"),
        ((0.5, 2), "2 for text"),
        (float("nan"), "outside 0 to 1"),
    ],
)
def test_factors_that_do_not_fit(factors, words):
    with pytest.raises(UsageError, match=words) as caught:
        spread(factors, ("audio", "text"), option="--sigma")
    assert caught.value.what.startswith("--sigma: ")


def test_sigma_is_for_combinations_and_lambda_for_displacements():
    product = headline()
    inner = product.base
    both = Adjustment(sigma={"": (0.8, 0.5)}, lambda_={"": 0.6})
    assert coefficients(product, "audio", both) == (
        pytest.approx(0.2),
        pytest.approx((0.4, 0.4)),
    )
    assert coefficients(product, "text", both) == (0.5, (0.25, 0.25))
    assert coefficients(inner, "text", both) == (0.4, (0.6,))
    only_sigma = Adjustment(sigma={"": 0.8})
    assert coefficients(inner, "text", only_sigma) == coefficients(inner, "text")


def test_a_factor_for_one_expert_goes_before_the_one_for_all():
    product = cr(IB, CM, CG)
    chosen = Adjustment(sigma={"CLAP_m": 0.2, "": 0.8})
    assert coefficients(product, "audio", chosen) == (
        pytest.approx(0.5),
        (pytest.approx(0.1), pytest.approx(0.4)),
    )
    alone = Adjustment(sigma={"CLAP_m": 0.2})
    assert coefficients(product, "audio", alone)[1] == pytest.approx((0.1, 0.25))


@pytest.mark.parametrize(
    ("adjustment", "words"),
    [
        (Adjustment(sigma={"CLAP_x": 0.5}), r"--sigma: no expert 'CLAP_x'.*did you mean"),
        (Adjustment(sigma={"InternVL": 0.5}), "--sigma: no expert 'InternVL'"),
        (Adjustment(lambda_={"CLAP_m": 0.5}), "--lambda: no expert 'CLAP_m'"),
        (Adjustment(experts=frozenset({"clapm"})), r"--experts: no expert 'clapm'.*'CLAP_m'"),
        (Adjustment(sigma={"": 2.0}), "outside 0 to 1"),
        (Adjustment(sigma={"CLAP_m": (0.1, 0.2, 0.3)}), "3 factors for 2"),
        (Adjustment(lambda_={"": {"audio": 0.5}}), "'audio' is not a shared modality"),
    ],
)
def test_adjustments_that_do_not_fit_the_product(adjustment, words):
    with pytest.raises(UsageError, match=f"(?s){words}"):
        fit_adjustment(headline(), adjustment)


@pytest.mark.parametrize(
    ("product", "adjustment", "words"),
    [
        (cr(IB, CG), Adjustment(lambda_={"": 0.9}), r"--lambda has no effect.*no displacement"),
        (dr(IB, VL), Adjustment(sigma={"": 0.9}), r"--sigma has no effect.*no combination"),
        (IB, Adjustment(sigma={"": 0.9}), "--sigma has no effect"),
        (
            IB,
            Adjustment(experts=frozenset({"CLAP_g"})),
            r"--experts: no expert 'CLAP_g'.*leave --experts out",
        ),
    ],
)
def test_adjustments_without_a_reaction_of_their_kind(product, adjustment, words):
    with pytest.raises(UsageError, match=f"(?s){words}"):
        fit_adjustment(product, adjustment)


@pytest.mark.parametrize(
    "adjustment",
    [
        NO_ADJUSTMENT,
        Adjustment(sigma={"": (0.5, 0.1)}, lambda_={"": 0.9}),
        Adjustment(sigma={"CLAP_g": {"audio": 0.5, "text": 0.1}}),
        Adjustment(lambda_={"InternVL": (0.9, 0.8)}),
        Adjustment(experts=frozenset({"InternVL", "CLAP_g"})),
        Adjustment(experts=frozenset()),
    ],
)
def test_adjustments_that_fit(adjustment):
    fit_adjustment(headline(), adjustment)


def test_factors_as_they_act_are_reported():
    assert effective_factors(headline()) == {
        "lambda InternVL": {"image": 0.9, "text": 0.9},
        "sigma CLAP_m": {"audio": 0.5, "text": 0.1},
        "sigma CLAP_g": {"audio": 0.5, "text": 0.1},
    }
    chosen = Adjustment(sigma={"CLAP_g": 0.8}, experts=frozenset({"CLAP_g"}))
    assert effective_factors(headline(), chosen) == {"sigma CLAP_g": {"audio": 0.8, "text": 0.8}}
    assert effective_factors(IB) == {}


def test_an_expert_within_an_expert_acts_with_the_one_around_it():
    product = cr(IB, cr(VL, CM))
    acting = acting_adjustment(product, Adjustment(experts=frozenset({"CLAP_m"})))
    assert acting["experts"] == ["(InternVL + Cr(CLAP_m))", "CLAP_m"]
    assert acting["factors"] == effective_factors(product)
    assert set(acting["factors"]) == {"sigma CLAP_m", "sigma (InternVL + Cr(CLAP_m))"}


def test_factors_that_do_not_fit_say_of_which_expert():
    product = cr(IB, cr(VL, CM))
    with pytest.raises(UsageError, match="2 factors for 1 shared modality") as refused:
        fit_adjustment(product, Adjustment(sigma={"": (0.5, 0.1)}))
    assert refused.value.why == "CLAP_m shares text with its base"
    with pytest.raises(UsageError, match="'audio' is not a shared modality of CLAP_m"):
        fit_adjustment(product, Adjustment(sigma={"": {"audio": 0.5}}))


# --- walking ---


def test_leaves_that_a_modality_needs():
    product = headline()
    assert needed_leaves(product, "audio") == (IB, CM, CG)
    assert needed_leaves(product, "image") == (IB, VL)
    assert needed_leaves(product, "text") == (IB, VL, CM, CG)
    assert needed_leaves(IB, "text") == (IB,)
    full = Adjustment(lambda_={"": 1.0}, sigma={"": 0.0})
    assert needed_leaves(product, "text", full) == (VL,)
    adjustment = Adjustment(experts=frozenset({"CLAP_g", "InternVL"}))
    assert needed_leaves(product, "audio", adjustment) == (IB, CG)


def test_mixtures_come_bases_first_and_once():
    inner = dr(IB, VL)
    product = headline()
    assert list(mixtures(product)) == [(inner, 0), (product, 0), (product, 1)]
    nested = cr(inner, cr(CG, CM))
    assert list(mixtures(nested)) == [(inner, 0), (nested.experts[0].space, 0), (nested, 0)]
    product_twice = cr(dr(inner, CG), inner)
    assert [f for f, _ in mixtures(product_twice)].count(inner) == 1
    assert list(mixtures(IB)) == []


def test_every_leaf_is_found_once():
    assert list(leaves(headline())) == [IB, VL, CM, CG]
    assert list(leaves(cr(dr(IB, VL), dr(CG, VL)))) == [IB, VL, CG]


# --- experts inside experts ---


def keeping(*labels: str) -> Adjustment:
    return Adjustment(experts=frozenset(labels))


def test_an_expert_inside_an_expert_keeps_what_is_around_it():
    nested = cr(IB, cr(CG, CM))
    (outer,) = nested.experts
    assert fit_adjustment(nested, keeping("CLAP_m")).experts == {"CLAP_m", outer.label}
    assert fit_adjustment(nested, keeping(outer.label)).experts == {"CLAP_m", outer.label}
    fitted = fit_adjustment(nested, keeping("CLAP_m"))
    assert set(needed_leaves(nested, "audio", fitted)) == {IB, CG, CM}


def test_a_base_does_not_embed_what_only_a_dropped_expert_brought():
    product = cr(cr(VL, CG), CM)  # audio comes with the CLAPs alone
    fitted = fit_adjustment(product, keeping("CLAP_m"))
    assert coefficients(product, "audio", fitted) == (0.0, (1.0,))
    assert needed_leaves(product, "audio", fitted) == (CM,)
    assert coefficients(product, "image", fitted) == (1.0, (0.0,))


def test_the_same_expert_in_two_stages_is_reported_twice():
    product = cr(cr(IB, CG, factors={"audio": 0.5, "text": 0.1}), CG)
    assert list(effective_factors(product)) == ["sigma CLAP_g", "sigma CLAP_g (2)"]
