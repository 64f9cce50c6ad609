"""peaks: how peaked a hop of pseudo-pair collection is, measured on a sample of its queries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from reactions.core.step import NOT_IN_KEY, Artifact, Context, Cost, Step
from reactions.steps.sample import choose_rows, take

SAMPLE = 512
"""Queries of a hop that are measured, at most."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MeasurePeaks(Step):
    """Measures how many items share the weight of each query of a soft retrieval.

    Its artifact is ``entropy`` and ``top``, (n, 1) float32 each: see ``ops.peaks``; ``meta`` has
    the number of keys, ``keys``.

    Attributes:
        hop: names the retrieval, for people.
        queries: embeddings asked with.
        keys: the corpus that is searched, in the same space.
        temperature: of the softmax.
        sample: queries that are measured, at most.
    """

    KIND = "peaks"
    VERSION = 1

    hop: str = field(metadata=NOT_IN_KEY)
    queries: Step
    keys: Step
    temperature: float
    sample: int = SAMPLE

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"measure how peaked {self.hop} is"

    @cached_property
    def cost(self) -> Cost:
        """Estimates: one product of the sample and all keys."""
        n = min(self.sample, self.queries.n_rows or 0)
        m = self.keys.n_rows or 0
        # An item of embeddings has at least two bytes; the width follows from what is stored.
        width = self.keys.cost.size_bytes // (2 * m) if m else 0
        return Cost(
            flops=2.0 * n * m * width, size_bytes=8 * n, memory_bytes=4 * 8192 * (n + width)
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Ask with the sample, and look at the weights."""
        import torch

        from reactions.ops.peaks import softmax_peaks

        queries, keys = (inputs[name].arrays["embeddings"] for name in ("queries", "keys"))
        rows = choose_rows(len(queries), self.sample)
        entropy, top = softmax_peaks(
            torch.from_numpy(take(queries, rows)),
            keys,
            temperature=self.temperature,
            device=context.device,
            progress=lambda done, total: context.progress(done, total, "keys"),
        )
        arrays = {"entropy": entropy[:, None].numpy(), "top": top[:, None].numpy()}
        return Artifact(arrays, {"keys": len(keys), "queries": len(queries)})
