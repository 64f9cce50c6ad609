"""Small plans that need neither torch nor encoders, and count what really runs."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
from toy_steps import make_step

from reactions.core.step import Artifact
from reactions.core.types import SpaceSpec
from reactions.run.local import LocalExecutor

TWO = "cpu,cpu"
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


def meeting(n=2):
    """A place where n threads wait for each other; alone, a test fails instead of hanging."""
    return threading.Barrier(n, timeout=120)


def whole(label, body, inputs=(), shares="", **params):
    """A whole step that calls ``body(context)``."""

    def run(context, inputs, start, stop):
        body(context)
        return Artifact({"x": np.zeros((1, 1))})

    inputs = [(source.label, source) for source in inputs]
    return make_step("train", label, {"label": label, **params}, inputs, run, shares=shares)


def encoding(space, corpus, body=lambda context: None, rows=4, shard_rows=4):
    """A step by rows that needs an encoder."""
    spec = replace(SPEC, name=space, weights_digest=space * 64)

    def run(context, inputs, start, stop):
        context.encoder(spec)
        body(context)
        return Artifact({"x": np.zeros((stop - start, 1))})

    return make_step(
        "embed",
        f"{space} {corpus}",
        {"space": spec.identity("text"), "corpus": corpus},
        (),
        run,
        n_rows=rows,
        shard_rows=shard_rows,
        space=spec,
    )


class Held:
    """Something large; knows how many of its like there are."""

    alive = 0

    def __init__(self):
        type(self).alive += 1

    def __del__(self):
        type(self).alive -= 1


class Sink(list):
    """Where ``executor`` appends events, as a function."""

    def __init__(self, sink):
        super().__init__()
        self.append = sink


def assert_sound(store):
    assert list(store.verify()) == []
    assert list(store.root.glob("tmp/*")) == []
    assert list(store.root.glob("locks/*")) == []


def contents(root):
    """Return what a store's entries hold, apart from when they were made, and how fast."""
    files = {}
    for path in sorted(path for path in root.rglob("entries/*/*/*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".json":
            lines = data.splitlines()
            data = b"\n".join(x for x in lines if not x.startswith((b' "created"', b' "seconds"')))
        files[str(path.relative_to(root))] = data
    return files
