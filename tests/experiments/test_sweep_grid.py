import pytest
from fakes import CG, CM, IB, VL, cr, dr, headline

from reactions.core.errors import UsageError
from reactions.experiments.sweep import make_grid, plan_grid
from reactions.products.tree import effective_factors

PRODUCT = headline()


def acting(cell):
    return effective_factors(PRODUCT, cell.adjustment)


def test_factors_of_each_shared_modality_are_axes():
    grid = make_grid(PRODUCT, sigma="0:1:0.5,0.1/0.2")
    assert grid.axes == {"sigma audio": (0.0, 0.5, 1.0), "sigma text": (0.1, 0.2)}
    assert len(grid.cells) == 6
    assert grid.cells[1].values == {"sigma audio": 0.0, "sigma text": 0.2}
    assert acting(grid.cells[1]) == {
        "lambda InternVL": {"image": 0.9, "text": 0.9},
        "sigma CLAP_m": {"audio": 0.0, "text": 0.2},
        "sigma CLAP_g": {"audio": 0.0, "text": 0.2},
    }


def test_a_single_range_is_for_all_modalities_together():
    grid = make_grid(PRODUCT, sigma="0:1:0.5")
    assert [cell.values for cell in grid.cells] == [
        {"sigma audio": v, "sigma text": v} for v in (0.0, 0.5, 1.0)
    ]


def test_what_is_not_named_keeps_the_products_factor():
    (cell,) = make_grid(PRODUCT, sigma="audio=0.7").cells
    assert cell.values == {"sigma audio": 0.7}
    assert acting(cell)["sigma CLAP_g"] == {"audio": 0.7, "text": 0.1}


def test_one_expert_may_have_factors_of_its_own():
    grid = make_grid(PRODUCT, sigma=["0.5,0.1", "CLAP_m:0:1:0.5,0.2"])
    assert list(grid.axes) == [
        "sigma audio",
        "sigma text",
        "sigma CLAP_m audio",
        "sigma CLAP_m text",
    ]
    assert len(grid.cells) == 3
    assert acting(grid.cells[2])["sigma CLAP_m"] == {"audio": 1.0, "text": 0.2}
    assert acting(grid.cells[2])["sigma CLAP_g"] == {"audio": 0.5, "text": 0.1}


def test_lambda_and_sigma_multiply():
    grid = make_grid(PRODUCT, sigma="0:1:0.5", lambda_="0/0.9")
    assert len(grid.cells) == 6
    assert list(grid.axes) == ["lambda image", "lambda text", "sigma audio", "sigma text"]


def test_cells_that_act_alike_are_there_once():
    grid = make_grid(PRODUCT, sigma="0:1:0.5,0.1", experts=["InternVL", "InternVL,CLAP_g"])
    # Without a CLAP, sigma does nothing: one cell for the first subset, three for the second.
    assert [cell.experts for cell in grid.cells] == [("InternVL",), *[("CLAP_g", "InternVL")] * 3]
    assert grid.cells[0].values == {}
    assert plan_grid(PRODUCT, sigma="0:1:0.5,0.1", experts=["InternVL"]).size == 3


def test_all_subsets_of_the_experts():
    grid = make_grid(PRODUCT, experts="all-subsets")
    assert [cell.experts for cell in grid.cells] == [
        ("InternVL",),
        ("CLAP_m",),
        ("CLAP_g",),
        ("CLAP_m", "InternVL"),
        ("CLAP_g", "InternVL"),
        ("CLAP_g", "CLAP_m"),
        ("CLAP_g", "CLAP_m", "InternVL"),
    ]


def test_an_expert_that_is_a_product_stays_with_those_inside():
    inner = cr(CG, CM)
    grid = make_grid(cr(IB, inner), experts="all-subsets")
    assert {cell.experts for cell in grid.cells} == {
        ("(CLAP_g + Cr(CLAP_m))", "CLAP_m"),
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": "0.5,0.1,0.2"}, "3 factors do not fit the shared modalities"),
        ({"sigma": "image=0.5"}, "'image' is not a shared modality"),
        ({"sigma": "CLAP_x:0.5"}, "no expert 'CLAP_x'"),
        ({"sigma": "InternVL:0.5"}, "no expert 'InternVL'"),
        ({"experts": "CLAP"}, "no expert 'CLAP'"),
    ],
)
def test_options_that_do_not_fit_the_product_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        make_grid(PRODUCT, **options)


def test_factors_without_a_reaction_of_their_kind_are_refused():
    with pytest.raises(UsageError, match="--sigma has no effect"):
        make_grid(dr(IB, VL), sigma="0.5")
    with pytest.raises(UsageError, match="--lambda has no effect"):
        make_grid(IB, lambda_="0:1:0.5")
