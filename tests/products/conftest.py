"""A bundle of a small product."""

import pytest
from bundles import record_of, tensors_of
from fakes import headline

from reactions.products.bundles.bundle import write_bundle


@pytest.fixture
def bundle_path(tmp_path):
    space = headline()
    return write_bundle(tmp_path / "bundles" / "b", record_of(space), tensors_of(space))
