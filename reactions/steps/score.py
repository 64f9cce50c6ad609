"""score: one task on one space, from the embeddings of its leaves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from reactions.core.hashing import digest
from reactions.core.step import NOT_IN_KEY, Artifact, Context, Step, entering, inputs_from
from reactions.core.types import Space
from reactions.eval.metrics import Ties
from reactions.eval.protocol import corpora, identity, score
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.products.bundles.trained import Trained
from reactions.products.parts import NO_PARTS
from reactions.products.tree import Adjustment, effective_factors, needed_leaves, tree_to_json


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreTask(Step):
    """Scores a space on a task.

    Its artifact holds the per-item results as arrays, and the metrics, prompts and factors
    in ``meta``.

    Attributes:
        name: of the space, for people.
        task: the protocol.
        data: labels and corpora.
        ties: whether ties count against the model or for it.
        scored: a product or a leaf.
        embedded: ``<corpus>/<leaf>`` to embed step, for every leaf with a share.
        trained: where the product's trained parts are; None for a leaf.
        adjustment: factors and experts.
    """

    KIND = "score"
    VERSION = 3

    name: str = field(metadata=NOT_IN_KEY)
    task: Task = field(metadata=entering(by=lambda step: step.identity))
    data: BenchmarkData = field(metadata=NOT_IN_KEY)  # in the task's identity, as are ties
    ties: Ties = field(default="strict", metadata=NOT_IN_KEY)
    scored: Space = field(metadata=entering("tree", lambda step: tree_to_json(step.scored)))
    embedded: Mapping[str, Step] = field(metadata=inputs_from())
    trained: Trained | None = field(
        metadata=entering("heads", lambda step: step.trained.digest if step.trained else "")
    )
    adjustment: Adjustment = field(metadata=entering("", lambda step: step.effective))

    @property
    def identity(self) -> dict[str, Any]:
        """What of the task, its data and the rule for ties can change the score."""
        return identity(self.task, self.data, self.ties)

    @property
    def effective(self) -> dict[str, Any]:
        """Factors and experts as they act."""
        experts = self.adjustment.experts
        return {
            "factors": effective_factors(self.scored, self.adjustment),
            "experts": None if experts is None else sorted(experts),
        }

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"score {self.name} on {self.task.name}"

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Fuse the embeddings of each corpus and hold them to the protocol."""
        from reactions.products.fuse import embed_product

        parts = self.trained.load(context.device) if self.trained else NO_PARTS
        embeddings = {
            name: embed_product(
                self.scored,
                corpus.modality,
                {
                    leaf: inputs[f"{name}/{leaf.label}"].arrays["embeddings"]
                    for leaf in needed_leaves(self.scored, corpus.modality, self.adjustment)
                },
                parts,
                self.adjustment,
                device=context.device,
                on_rows=lambda done, total: context.progress(done, total, "items"),
            )
            for name, corpus in corpora(self.task, self.data).items()
        }
        result = score(self.task, self.data, embeddings, self.ties)
        # A class without a positive item has no average precision; what is stored is finite.
        arrays = {name: rows[np.isfinite(rows[:, 0])] for name, rows in result.arrays.items()}
        meta: dict[str, Any] = {"prompts": list(self.task.templates), **self.effective}
        if not isinstance(self.data, RetrievalData):
            # Names of classes are prompts too: this says which ones were used.
            named = digest("classes", list(self.data.classes))
            meta["classes"] = {"n": len(self.data.classes), "digest": named[:12]}
        return Artifact(arrays, {**meta, **result.to_json()})
