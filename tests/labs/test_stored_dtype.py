"""The type that embeddings and pseudo-pairs are stored in: the lab's, else the precision's."""

from dataclasses import replace

import pytest
from planning import SETTINGS, lab, plan

CASES = [
    ("fast", "auto", "float16"),
    ("exact", "auto", "float32"),
    ("exact", "float16", "float16"),
    ("fast", "float32", "float32"),
]


@pytest.mark.parametrize(("precision", "dtype", "stored"), CASES)
def test_every_stored_step_has_it(precision, dtype, stored):
    settings = replace(SETTINGS, precision=precision, dtype=dtype)
    planned = plan(laboratory=lab(settings=settings))
    kinds = {}
    for step in planned.steps():
        if step.kind in ("embed", "collect"):
            kinds.setdefault(step.kind, set()).add(step.preimage["params"]["dtype"])
    assert kinds == {"embed": {stored}, "collect": {stored}}
    assert planned.targets[0].preimage["params"]["record"]["settings"]["dtype"] == stored
