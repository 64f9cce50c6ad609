"""The settings that ``tune`` tries where none are given."""

import pytest
from fakes import CG, CM, IB, VL, cr, dr, headline

from molspace_cli.tune import _usual

TENTHS = 11


@pytest.mark.parametrize(
    ("product", "n_settings"),
    [
        (headline(), TENTHS**2),
        (dr(IB, VL), TENTHS**2),
        (cr(IB, CM, VL), 5**3),  # parallel experts that share different modalities
        (cr(IB, cr(VL, CG)), 5**3),  # an expert within an expert, which shares text alone
    ],
)
def test_any_product_can_be_tuned(product, n_settings):
    assert len(_usual(product).plan(product).grid().cells) == n_settings
