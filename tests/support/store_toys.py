"""Small steps and artifacts for the tests of the store."""

from pathlib import Path

import numpy as np
from toy_steps import make_step

from reactions.core.step import Artifact


def step(seed=0, *, n_rows=None, shard_rows=0, kind="train"):
    return make_step(kind, "toy", {"seed": seed}, (), _never, n_rows=n_rows, shard_rows=shard_rows)


def _never(context, inputs, start, stop):
    raise AssertionError("the store runs nothing")


def artifact(n=3, *, meta=None):
    return Artifact(
        {"x": np.arange(n * 2, dtype=np.float32).reshape(n, 2), "0.bias": np.ones(4)}, meta or {}
    )


def rows(start, stop, **meta):
    return Artifact({"x": np.arange(start, stop, dtype=np.int64)[:, None]}, meta)


def everything(root: Path):
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
