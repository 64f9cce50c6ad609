"""What needs a package that is not installed is named as people know it."""

import pytest

from reactions.core.errors import MissingError
from reactions.encoders.packages import import_package, need_package


@pytest.mark.parametrize(
    ("needing", "what"),
    [
        ("x.parquet", "'x.parquet' needs the package no_such_package"),
        ("hf:org/name", "'hf:org/name' needs the package no_such_package"),
        ("the report", "the report needs the package no_such_package"),
        ("--track wandb:x", "--track wandb:x needs the package no_such_package"),
        ("to_dataframe()", "to_dataframe() needs the package no_such_package"),
    ],
)
def test_a_missing_package(needing, what):
    for look in (need_package, import_package):
        with pytest.raises(MissingError) as caught:
            look("no_such_package", needing)
        assert caught.value.what == what
        assert caught.value.why == "no_such_package is not installed"
        assert caught.value.fix == "pip install no_such_package"
