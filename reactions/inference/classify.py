"""Naming what items show: the classes whose descriptions they are nearest to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.centre_options import CentreOptions
from reactions.core.step import Artifact
from reactions.core.types import Item

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class Classifier:
    """Classes, described by embedding centres in the space of the items.

    Attributes:
        classes: names.
        options: how centres were chosen, and the rule by which they score.
        about: of the centres, as records of scores have it.
        notices: what the user should know of them.
    """

    classes: tuple[str, ...]
    options: CentreOptions
    about: Mapping[str, Any]
    notices: tuple[str, ...]
    _centres: Tensor = field(repr=False)
    _counts: Tensor = field(repr=False)

    @classmethod
    def of(
        cls,
        classes: Sequence[str],
        options: CentreOptions,
        about: Mapping[str, Any],
        notices: Sequence[str],
        artifact: Artifact,
        device: str,
    ) -> Classifier:
        """Load the artifact of a step of ``steps.centres`` onto a device."""
        import torch

        centres, counts = (
            torch.from_numpy(np.array(artifact.arrays[name][slice(None)])).to(device)
            for name in ("centres", "counts")
        )
        told = {
            **about,
            **artifact.meta,
            **options.rule_json(),
            "zero_shot": options.is_zero_shot,
        }
        return cls(tuple(classes), options, told, tuple(notices), centres, counts)

    def of_items(
        self, items: Sequence[Item], rows: NDArray[np.float32], n: int
    ) -> list[list[tuple[str, float]]]:
        """Return what ``best`` does: the classes are the same for items of any modality."""
        return self.best(rows, n)

    def best(self, rows: NDArray[np.float32], n: int) -> list[list[tuple[str, float]]]:
        """Return the classes that items score highest in.

        Args:
            rows: (m, d) unit-norm embeddings of items.
            n: how many classes an item; all where there are fewer.

        Returns:
            (class, score) pairs of each item, best first; of equal scores, in the order of the
            classes. Scores are cosines, or means of some.
        """
        import torch

        from reactions.ops.centres import class_scores
        from reactions.ops.precision import full_float32

        device = self._centres.device
        with torch.inference_mode(), full_float32():
            scores = class_scores(
                torch.from_numpy(np.ascontiguousarray(rows, np.float32)).to(device),
                self._centres,
                self._counts,
                rule=self.options.rule,
                m=self.options.m,
            )
            order = scores.argsort(dim=1, descending=True, stable=True)[:, :n]
            values = scores.gather(1, order)
        return [
            [(self.classes[place], value) for place, value in zip(places, item_scores, strict=True)]
            for places, item_scores in zip(order.tolist(), values.tolist(), strict=True)
        ]
