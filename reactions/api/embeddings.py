"""Embeddings by modality: a dict of arrays that notebooks show and pandas takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.api.counting import ItemsCut, cut_json
from reactions.api.results import data_frame, html_table
from reactions.core.types import Modality

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray


class Embeddings(dict[Modality, "NDArray[np.float32]"]):
    """Modality to (n, dim) float32 unit-norm rows, in the order of the items given.

    Attributes:
        labels: modality to what to call each item; by number where nothing names it.
        lab: label of the lab that they come from.
        items_cut: what encoders left out of the items, an object a space and modality: those that
            were counted, clauses with how many are so, and how many were not counted.
    """

    items_cut: ItemsCut = ()

    def __init__(
        self,
        rows: Mapping[Modality, NDArray[np.float32]],
        labels: Mapping[Modality, Sequence[str]],
        lab: str,
    ) -> None:
        super().__init__(rows)
        self.labels = {modality: list(item_labels) for modality, item_labels in labels.items()}
        self.lab = lab

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self), self.labels, self.lab), {"items_cut": self.items_cut}

    def to_dataframe(self) -> pd.DataFrame:
        """Return a data frame with a row an item: columns 0 to dim - 1.

        The index has the modality and the item; ``attrs["lab"]`` the lab's label.

        Raises:
            MissingError: pandas is not installed.
        """
        index = [(modality, label) for modality in self for label in self.labels[modality]]
        rows = np.concatenate(list(self.values())) if self else np.empty((0, 0), np.float32)
        frame = data_frame(rows)
        from pandas import MultiIndex

        names = ["modality", "item"]
        frame.index = (
            MultiIndex.from_tuples(index, names=names)
            if index
            else MultiIndex.from_arrays([[], []], names=names)
        )
        frame.attrs["lab"] = self.lab
        return frame

    def to_json(self) -> dict[str, Any]:
        """Return them as an object for ``json.dumps``."""
        return {
            "lab": self.lab,
            "embeddings": {
                modality: [
                    {"item": label, "embedding": row}
                    for label, row in zip(self.labels[modality], array.tolist(), strict=True)
                ]
                for modality, array in self.items()
            },
            **cut_json(self.items_cut),
        }

    def _repr_html_(self) -> str:
        rows = [(modality, *array.shape) for modality, array in self.items()]
        return html_table(f"embeddings   lab: {self.lab}", ("modality", "items", "dim"), rows)
