"""Steps that are nothing but data, as the library's own: they run in any process."""

from dataclasses import dataclass, field

import numpy as np

from reactions.core.errors import DataError
from reactions.core.step import Artifact, Step, inputs_from
from reactions.core.types import SpaceSpec

SPEC = SpaceSpec("plain", 3, ("text",), "plain", "memory", weights_digest="b" * 64)


class Encoder:
    """Embeds row i as i, twice i, three times i."""

    def embed(self, start, stop):
        return np.arange(start, stop, dtype=np.float64)[:, None] * [1, 2, 3]


def load_encoder(spec, device):
    assert (spec, device) == (SPEC, "cpu")
    return Encoder()


@dataclass(frozen=True, eq=False, kw_only=True)
class Encoded(Step):
    """Rows of an encoder, plus a seed; those from ``bad`` on cannot be made."""

    KIND, VERSION = "embed", 1
    n_rows: int
    seed: int
    bad: int = 99
    shard_rows = 2
    space = SPEC

    @property
    def label(self):
        return f"encode {self.seed}"

    def run(self, context, inputs, start, stop):
        if stop > self.bad:
            raise DataError(f"row {self.bad} is bad", why="so it says", row=self.bad)
        rows = context.encoder(SPEC).embed(start, stop) + self.seed
        context.progress(stop - start, stop - start, "items")
        return Artifact({"x": rows})


@dataclass(frozen=True, eq=False, kw_only=True)
class Scaled(Step):
    """The rows of a source, times a factor; those of one source are made in one pass."""

    KIND, VERSION = "collect", 1
    source: Step
    factor: float
    shard_rows = 2

    @property
    def label(self):
        return f"times {self.factor}"

    @property
    def n_rows(self):
        return self.source.n_rows

    @property
    def together(self):
        return self.source.key

    def run(self, context, inputs, start, stop):
        return Artifact({"x": inputs["source"].arrays["x"][start:stop] * self.factor})


@dataclass(frozen=True, eq=False, kw_only=True)
class Total(Step):
    """The sum of all rows of its sources."""

    KIND, VERSION = "train", 1
    sources: tuple[Step, ...] = field(metadata=inputs_from())
    label = "total"

    def run(self, context, inputs, start, stop):
        total = sum(artifact.arrays["x"][:].sum() for artifact in inputs.values())
        for position in (1, 2):
            context.measure("loss", total / position, position)
        return Artifact({"total": np.array([total])}, {"of": sorted(inputs)})


def plan(bad=99):
    """Two encoded corpora, three columns made of one of them, and their sum."""
    first, second = Encoded(n_rows=5, seed=0, bad=bad), Encoded(n_rows=3, seed=10)
    columns = [Scaled(source=first, factor=factor) for factor in (0.5, 2.0, 3.0)]
    return Total(sources=(*columns, second))
