"""A small plan that needs neither torch nor encoders, and counts what really runs."""

from functools import partial

import numpy as np

from reactions.graph import Artifact
from reactions.kinds import SpaceSpec
from reactions.run.local import LocalExecutor
from reactions.steps.step import make_step

SPEC = SpaceSpec("toy", 3, ("text",), "toy", "memory", weights_digest="a" * 64)


def counting(ran, label, seed=0, inputs=(), **kwargs):
    """A whole step: the sum of its inputs, plus its seed."""
    return make_step(
        "train", label, {"seed": seed}, inputs, partial(_sum, ran, label, seed), **kwargs
    )


def _sum(ran, label, seed, context, inputs, start, stop):
    ran.append(label)
    total = sum((a.arrays["x"][:].sum() for a in inputs.values()), start=float(seed))
    return Artifact({"x": np.full((2, 2), total)}, {"label": label})


def by_rows(ran, n_rows, shard_rows, label="rows", hook=lambda start: None, seed=0):
    """A step by rows: row i holds i + seed."""
    return make_step(
        "embed",
        label,
        {"n": n_rows, "seed": seed},
        (),
        partial(_rows, ran, seed, hook),
        n_rows=n_rows,
        shard_rows=shard_rows,
    )


def _rows(ran, seed, hook, context, inputs, start, stop):
    hook(start)
    ran.append((start, stop))
    context.progress(stop - start, stop - start, "items")
    return Artifact({"x": np.arange(start, stop, dtype=np.float64)[:, None] + seed})


def no_encoder(spec, device):
    raise AssertionError("this plan needs no encoder")


def executor(store, events=None, **kwargs):
    kwargs = {"device": "cpu", "load_encoder": no_encoder, **kwargs}
    return LocalExecutor(store, events=(events if events is not None else []).append, **kwargs)
