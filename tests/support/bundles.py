"""Bundles with small projectors, and records changed by hand."""

import json
from pathlib import Path

from reactions.core.hashing import digest
from reactions.ops.projector import Projector
from reactions.products.bundles.bundle import (
    RECORD,
    describe,
)
from reactions.products.parts import ProjectorMixture
from reactions.products.tree import mixtures

GOLDEN = Path(__file__).parents[1] / "data" / "bundle_v1"
SUBSETS = ["T", "TVA"]


def heads_of(space, subsets=SUBSETS):
    """Projectors of the right widths for every mixture, one a subset."""
    heads = {}
    for index, (fusion, i) in enumerate(mixtures(space)):
        ends = (fusion.base.dim, fusion.experts[i].space.dim)
        d_in, d_out = ends if fusion.op == "dr" else ends[::-1]
        heads[fusion, i] = ProjectorMixture(
            Projector(d_in, d_out, 4, seed=10 * index + k).eval() for k in range(len(subsets))
        )
    return heads


def tensors_of(space, subsets=SUBSETS):
    return {
        f"{index}.{subset}.{name}": value.numpy()
        for index, heads in enumerate(heads_of(space, subsets).values())
        for subset, head in zip(subsets, heads, strict=True)
        for name, value in head.state().items()
    }


def record_of(space, subsets=SUBSETS, **changes):
    record = describe(
        "A + Cr(B)",
        space,
        lab={"name": "tests", "label": "mini (tests)", "seed": 3},
        subsets=[subsets for _ in mixtures(space)],
        settings={"hidden_dim": 4, "learning_rate": 1e-3},
        step_keys={"0.T": "0" * 64},
        version="0.1.0",
    )
    return {**record, **changes}


def rewrite(directory, change, *, redigest=True):
    """Change the record as an attacker would: with a digest that fits again."""
    path = directory / RECORD
    record = json.loads(path.read_text())
    record.pop("digest", None)
    change(record)
    if redigest:
        record["digest"] = digest("bundle", record)
    path.write_text(json.dumps(record))
