"""score: one task on one space, its classes described by embedding centres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.centre_options import CentreOptions
from reactions.core.step import Artifact, Rows, Step, entering
from reactions.core.types import Corpus
from reactions.eval.protocol import check, identity, score_classes
from reactions.eval.score import Score
from reactions.eval.task_data import RetrievalData
from reactions.steps.score import ScoreTask, score_context

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreCentres(ScoreTask):
    """Scores a space on a task by descriptions of its classes, instead of prompts.

    Attributes:
        centres: makes the embeddings of the descriptions, one set a class.
        options: how they were chosen, and the rule by which they score.
        about: what the record says of where they are from.
    """

    centres: Step
    options: CentreOptions = field(metadata=entering("", lambda step: step.options.rule_json()))
    about: Mapping[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What of the task, its data and the rule for ties can change the score."""
        facts = identity(self.task, self.data, self.ties)
        return {name: value for name, value in facts.items() if name != "templates"}

    def corpora(self) -> Mapping[str, Corpus]:
        """Return the queries alone: what describes the classes is embedded already."""
        check(self.task, self.data)
        assert not isinstance(self.data, RetrievalData), "the planner takes tasks with classes"
        return {"queries": self.data.queries}

    def score(
        self, embeddings: Mapping[str, Rows], inputs: Mapping[str, Artifact], device: str
    ) -> Score:
        """Score the queries by the rule."""
        import torch

        from reactions.ops.centres import class_scores
        from reactions.ops.precision import full_float32

        assert not isinstance(self.data, RetrievalData), "the planner takes tasks with classes"
        arrays = inputs["centres"].arrays
        centres, counts = (
            torch.from_numpy(np.array(arrays[name][slice(None)])).to(device)
            for name in ("centres", "counts")
        )

        def scores_of(queries: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode(), full_float32():
                scores = class_scores(
                    torch.from_numpy(queries).to(device),
                    centres,
                    counts,
                    rule=self.options.rule,
                    m=self.options.m,
                )
            rows: NDArray[np.float32] = scores.cpu().numpy()
            return rows

        queries = embeddings["queries"]
        return score_classes(
            self.task, self.data, queries, scores_of, self.ties, further=self.further
        )

    def context(self, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
        """Return which classes, without prompts, and what describes them."""
        described = {
            **self.about,
            **inputs["centres"].meta,
            **self.options.rule_json(),
            "zero_shot": self.options.is_zero_shot,
        }
        return {**score_context(self.task, self.data), "prompts": [], "centres": described}
