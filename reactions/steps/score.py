"""score: one task on one space, from the embeddings of its leaves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.hashing import digest
from reactions.core.step import (
    NOT_IN_KEY,
    UNLESS_DEFAULT,
    Artifact,
    Context,
    Rows,
    Step,
    entering,
    inputs_from,
)
from reactions.core.types import Corpus, Modality, Space, leaves
from reactions.eval.metrics import Ties
from reactions.eval.protocol import corpora, identity, score
from reactions.eval.score import Score
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.products.acting import acting_adjustment
from reactions.products.bundles.trained import Trained
from reactions.products.parts import NO_PARTS, Parts
from reactions.products.tree import Adjustment, needed_leaves
from reactions.products.tree_json import tree_to_json
from reactions.steps.planned_parts import load_planned_means, load_planned_mixtures
from reactions.steps.raw_rows import stored_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreRows(Step):
    """Scores embeddings on a task; subclasses say whose.

    Its artifact holds the per-item results as arrays, and the metrics, prompts and ``facts``
    in ``meta``.

    Attributes:
        name: of what is scored, for people.
        task: the protocol.
        data: labels and corpora.
        ties: whether ties count against the model or for it.
        further: whether the field's other metrics are computed, too.
        embedded: ``<corpus>/<leaf>`` to embed step, for every leaf that takes part.
    """

    KIND = "score"
    VERSION = 3

    name: str = field(metadata=NOT_IN_KEY)
    task: Task = field(metadata=entering(by=lambda step: step.identity))
    data: BenchmarkData = field(metadata=NOT_IN_KEY)  # in the task's identity, as are ties
    ties: Ties = field(default="strict", metadata=NOT_IN_KEY)
    further: bool = field(default=False, metadata=UNLESS_DEFAULT)
    embedded: Mapping[str, Step] = field(metadata=inputs_from())

    @property
    def identity(self) -> dict[str, Any]:
        """What of the task, its data and the rule for ties can change the score."""
        return identity(self.task, self.data, self.ties)

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the record says of how the embeddings were made."""

    @abstractmethod
    def parts(self, inputs: Mapping[str, Artifact], device: str) -> Parts:
        """Load what was trained or averaged onto a device."""

    @abstractmethod
    def rows(
        self,
        modality: Modality,
        stored: Mapping[str, Rows],
        parts: Parts,
        *,
        device: str,
        on_rows: Callable[[int, int], None],
    ) -> NDArray[np.float32]:
        """Return the (n, d) unit-norm rows of one of the task's corpora.

        Args:
            modality: of its items.
            stored: name of a leaf to the embeddings that its encoder gives.
            parts: from ``parts``.
            device: where to compute.
            on_rows: called with how many rows are done, and of how many.
        """

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"score {self.name} on {self.task.name}"

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Embed each corpus and hold the rows to the protocol."""
        parts = self.parts(inputs, context.device)
        embeddings = {}
        for name, corpus in self.corpora().items():
            stored = {
                path.removeprefix(f"{name}/"): stored_rows(artifact)
                for path, artifact in inputs.items()
                if path.startswith(f"{name}/")
            }
            embeddings[name] = self.rows(
                corpus.modality,
                stored,
                parts,
                device=context.device,
                on_rows=lambda done, total: context.progress(done, total, "items"),
            )
        result = self.score(embeddings, inputs, context.device)
        # A class without a positive item has no average precision; what is stored is finite.
        arrays = {name: rows[np.isfinite(rows[:, 0])] for name, rows in result.arrays.items()}
        context_facts = self.context(inputs)
        return Artifact(arrays, {**context_facts, **self.facts, **result.to_json()})

    def corpora(self) -> Mapping[str, Corpus]:
        """Return what is embedded, by the names that ``embedded`` has them under."""
        return corpora(self.task, self.data)

    def score(
        self, embeddings: Mapping[str, Rows], inputs: Mapping[str, Artifact], device: str
    ) -> Score:
        """Hold the rows of the task's corpora to its protocol."""
        return score(self.task, self.data, embeddings, self.ties, further=self.further)

    def context(self, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
        """Return what the score was made with besides embeddings: prompts, and which classes."""
        return score_context(self.task, self.data)


def score_context(task: Task, data: BenchmarkData) -> dict[str, Any]:
    """Return what a score was made with besides embeddings: prompts, and which classes."""
    facts: dict[str, Any] = {"prompts": list(task.templates)}
    if not isinstance(data, RetrievalData):
        # Names of classes are prompts too: this says which ones were used.
        classes_digest = digest("classes", list(data.classes))
        facts["classes"] = {"n": len(data.classes), "digest": classes_digest[:12]}
    elif data.left_labels is not None:
        facts["hit"] = task.hit
    return facts


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreTask(ScoreRows):
    """Scores a space on a task.

    Attributes:
        scored: a product or a leaf.
        trained: where the product's trained parts are; None for a leaf, and where ``heads`` are.
        heads: steps of the plan that make the product's projectors, by subset, one mapping a
            mixture; none where they are made already.
        means: leaf's label and modality to the mean of each centred leaf, beside ``heads``.
        adjustment: factors and experts.
    """

    scored: Space = field(metadata=entering("tree", lambda step: tree_to_json(step.scored)))
    trained: Trained | None = field(
        metadata=entering("heads", lambda step: step.trained.digest if step.trained else "")
    )
    heads: Sequence[Mapping[str, Step]] = field(default=(), metadata=inputs_from("head"))
    means: Mapping[str, Mapping[Modality, Step]] = field(
        default_factory=dict, metadata=inputs_from("mean")
    )
    adjustment: Adjustment = field(metadata=entering("", lambda step: step.facts))

    @property
    def facts(self) -> dict[str, Any]:
        """Factors, experts and the means that are not equation 10's, as they act."""
        return acting_adjustment(self.scored, self.adjustment)

    def parts(self, inputs: Mapping[str, Artifact], device: str) -> Parts:
        """Load the trained parts; a leaf has none."""
        if self.trained is not None:
            return self.trained.load(device)
        if not self.heads:
            return NO_PARTS
        from reactions.products.parts import load_centring

        means = load_planned_means(leaves(self.scored), self.means, inputs, device)
        mixtures = load_planned_mixtures(self.scored, self.heads, inputs, device)
        return {**load_centring(means), **mixtures}

    def rows(
        self,
        modality: Modality,
        stored: Mapping[str, Rows],
        parts: Parts,
        *,
        device: str,
        on_rows: Callable[[int, int], None],
    ) -> NDArray[np.float32]:
        """Fuse the embeddings of the leaves."""
        from reactions.products.fuse import embed_product

        needed = needed_leaves(self.scored, modality, self.adjustment)
        return embed_product(
            self.scored,
            modality,
            {leaf: stored[leaf.label] for leaf in needed},
            parts,
            self.adjustment,
            device=device,
            on_rows=on_rows,
        )
