"""Sets of sounds with a class each that are published in folds, with one csv of all clips."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from reactions.eval.labelled import Labelled, classification
from reactions.eval.published import PublishedSet
from reactions.eval.task_data import ClassificationData, without_fold


@dataclass(frozen=True, slots=True)
class ClipsInFolds:
    """How to read such a set.

    Attributes:
        file: the column of the csv with the names of clips.
        number: the column with the numbers of their classes.
        category: the column with the names of their classes.
        n_folds: folds, which are published from 1, in the column ``fold``.
    """

    file: str
    number: str
    category: str
    n_folds: int

    def read(self, published: PublishedSet) -> ClassificationData:
        """Return the clips that are there; classes in the order of their published numbers.

        Raises:
            MissingError: no clip is there.
            DataError: the csv is damaged, or no clip can be decoded.
        """
        path = published.labels
        rows = list(published.read_csv(path, (self.file, "fold", self.number, self.category)))
        names: dict[int, str] = {}
        for row in rows:
            if why := self._damage(row, names):
                raise published.damaged(path, why)
        numbers = sorted(names)
        media_index = published.media_index("audio")
        items = [
            Labelled(
                row[self.file].rpartition(".")[0],
                entry,
                numbers.index(int(row[self.number])),
                int(row["fold"]) - 1,  # published folds count from 1, ours from 0
            )
            for row in rows
            if (entry := media_index.get([row[self.file]])) is not None
        ]
        return classification(
            published,
            "audio",
            items,
            (names[number] for number in numbers),
            expected=published.task.expected,
            in_folds=True,
        )

    def splits(self) -> dict[str, Callable[[PublishedSet], ClassificationData]]:
        """Return what reads all folds but one, to be trained on, by name."""
        return {f"fold{n}": partial(self._all_but, n) for n in range(1, self.n_folds + 1)}

    def _all_but(self, fold: int, published: PublishedSet) -> ClassificationData:
        return without_fold(self.read(published), fold, f"fold{fold}")

    def _damage(self, row: Mapping[str, str], names: dict[int, str]) -> str:
        """Return what is wrong with a row, or ""; the name of its class is added to ``names``."""
        number, fold, category = row[self.number], row["fold"], row[self.category]
        if not (number.isdecimal() and fold.isdecimal()):
            return f"{self.number} or fold of '{row[self.file]}' is not a number"
        if not 1 <= int(fold) <= self.n_folds:
            return f"there is a fold {fold}, and they are 1 to {self.n_folds}"
        first = names.setdefault(int(number), category)
        return "" if first == category else f"{self.number} {number} is '{first}' and '{category}'"
