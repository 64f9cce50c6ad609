"""fit: one map between two spaces, in closed form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from reactions.core.step import Artifact, Context, Cost, entering
from reactions.core.types import Modality
from reactions.ops.recipes import recipe_of
from reactions.steps.projector import ProjectorStep
from reactions.steps.subsets import subset_name

_TILE_ROWS = 8192  # ``ops.closed_form.TILE_ROWS``, which needs torch


@dataclass(frozen=True, eq=False, kw_only=True)
class FitMap(ProjectorStep):
    """Solves for one map.

    Its artifact holds the map's tensors (``closed_form.map_shapes``), and in ``meta`` the number of
    pairs and the rank of the matrix. There is nothing to draw and nothing to set: its key has
    neither a seed nor hyper-parameters.

    Attributes:
        recipe: whose closed form; its ``params`` enter the key.
        embeds: modalities of the projected space, with pseudo-pairs or without.
    """

    KIND = "fit"
    VERSION = 1

    recipe: str = field(metadata=entering("", lambda step: recipe_of(step.recipe).params({})))
    embeds: Sequence[Modality]

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"fit {self.spaces} on {subset_name(self.anchors)}"

    @cached_property
    def cost(self) -> Cost:
        """Estimates: the cross-covariance, and its singular values."""
        (d_in, d_out), (sources, targets) = self.widths, self.sides
        n = sum(self.rows[anchor] for anchor in self.anchors)
        shared = len(set(sources) & set(targets))
        smaller = min(d_in, d_out)
        size_bytes = 4 * (d_in * d_out + len(self.embeds) * (d_in + d_out + 1))
        tile = min(n, _TILE_ROWS) * (len(sources) * d_in + len(targets) * d_out)
        return Cost(
            flops=2.0 * n * shared * d_in * d_out + 20.0 * smaller * smaller * max(d_in, d_out),
            size_bytes=size_bytes,
            memory_bytes=8 * (2 * tile + 6 * d_in * d_out),
        )

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Fit on the pairs of the subset.

        Raises:
            DataError: they fix no direction.
        """
        from reactions.ops.closed_form import fit_map

        sources, targets = self.sides
        fitted, pair_moments, rank = fit_map(
            list(self.pseudo_pairs(inputs).values()),
            sources,
            targets,
            recipe=self.recipe,
            name=self.spaces,
            modalities=self.embeds,
            device=context.device,
            progress=lambda done, total: context.progress(done, total, "pairs"),
        )
        arrays = {name: np.asarray(tensor) for name, tensor in fitted.state().items()}
        return Artifact(arrays, {"pairs": pair_moments.n, "rank": rank, "loss": []})
