"""Spaces, encoders and an executor for tests: four spaces named as the paper's, tiny."""

import hashlib
from dataclasses import replace

import numpy as np
from toy_steps import make_step

from reactions.core.factor_defaults import FactorDefaults
from reactions.core.step import Artifact
from reactions.core.types import Expert, Fusion, Leaf, SpaceSpec


def spec(name, dim, *modalities, **changes):
    return SpaceSpec(
        name=name,
        dim=dim,
        modalities=tuple(sorted(modalities)),
        adapter="fake",
        source=f"/weights/{name}",
        weights_digest=hashlib.sha256(name.encode()).hexdigest(),
        preprocessing=tuple((m, f"{m}-1") for m in sorted(modalities)),
        flops_per_item=tuple((m, 10.0) for m in sorted(modalities)),
        **changes,
    )


IB = Leaf(spec("ImageBind", 8, "audio", "image", "text", hub="image"))
VL = Leaf(spec("InternVL", 6, "image", "text"))
CG = Leaf(spec("CLAP_g", 5, "audio", "text"))
CM = Leaf(spec("CLAP_m", 4, "audio", "text"))


def changed(leaf, **changes):
    return Leaf(replace(leaf.spec, **changes))


def fusion(op, base, *experts, factors=None, weights=None, **options):
    """A stage with default factors, or the same factors for every expert."""
    defaults = FactorDefaults()
    weights = weights or [1 / len(experts)] * len(experts)
    experts_made = []
    for expert, weight in zip(experts, weights, strict=True):
        shared = sorted(set(base.modalities) & set(expert.modalities))
        chosen = factors or {m: defaults.of(op, m) for m in shared}
        experts_made.append(
            Expert(expert, weight, tuple((m, chosen[m]) for m in shared), **options)
        )
    return Fusion(op, base, tuple(experts_made))


def dr(base, expert, **options):
    return fusion("dr", base, expert, **options)


def cr(base, *experts, **options):
    return fusion("cr", base, *experts, **options)


def headline():
    """ImageBind + Dr(InternVL) | Cr(CLAP_m) & Cr(CLAP_g)."""
    return cr(dr(IB, VL), CM, CG)


def unit_rows(n, d, seed, dtype=np.float32):
    rows = np.random.default_rng(seed).normal(size=(n, d))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype)


class Encoder:
    """Embeds an item by hashing its id, the modality and the weights' digest."""

    def __init__(self, spec):
        self.spec = spec
        self.sizes = []

    def embed(self, modality, items):
        self.sizes.append(len(items))
        rows = []
        for item in items:
            text = f"{self.spec.weights_digest}/{modality}/{item.id}"
            seed = int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)
            rows.append(unit_rows(1, self.spec.dim, seed)[0])
        return np.stack(rows)


class Context:
    """What steps get from an executor; remembers what they reported."""

    device = "cpu"

    def __init__(self, encoder=Encoder):
        self._make = encoder
        self.encoders = {}
        self.reports = []
        self.measured = []
        self.checkpoint = None
        self.dropped = []

    def encoder(self, spec, prepare=None):
        if spec not in self.encoders:
            self.encoders[spec] = self._make(spec)
            if prepare is not None:
                prepare(self.encoders[spec])
        return self.encoders[spec]

    def saved(self):
        return self.checkpoint

    def save(self, arrays):
        self.checkpoint = dict(arrays)

    def drop_saved(self, why):
        self.checkpoint = None
        self.dropped.append(why)

    def progress(self, n_done, total, unit):
        self.reports.append((n_done, total, unit))

    def measure(self, name, value, position):
        self.measured.append((name, value, position))

    def shared(self, build):
        return build()


def ready(name, rows):
    """A step by rows that has embeddings at hand."""
    return make_step(
        "embed",
        name,
        {"rows": hashlib.sha256(rows.tobytes()).hexdigest()},
        (),
        lambda context, inputs, start, stop: Artifact({"embeddings": rows[start:stop]}),
        n_rows=len(rows),
        shard_rows=1 << 16,
    )


def run(step, context=None, artifacts=None):
    """Run a step and all it needs, in memory, each whole."""
    context = context or Context()
    artifacts = {} if artifacts is None else artifacts
    if step.key not in artifacts:
        inputs = {name: run(child, context, artifacts) for name, child in step.inputs}
        stop = 1 if step.n_rows is None else step.n_rows
        artifacts[step.key] = step.run(context, inputs, 0, stop)
    return artifacts[step.key]
