"""Similarities between items of two modalities, or within one."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.api.arguments import check_count
from reactions.api.counting import cut_json
from reactions.api.results import CAPTION, Cell, ResultTable, aligned, cell_text, data_frame
from reactions.core.arrays import as_array
from reactions.core.errors import DataError, DimensionMismatch, UsageError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

MOST_CELLS: Final = 1 << 28
"""A gigabyte of float32."""

_SHOWN: Final = 12


@dataclass(frozen=True)
class ComparedItems:
    """The items of rows, or of columns.

    Attributes:
        modality: of them; "rows" where embeddings were given.
        labels: what to call them.
        embeddings: (n, dim) float32 unit rows.
    """

    modality: str
    labels: tuple[str, ...]
    embeddings: NDArray[np.float32]


class SimilarityMatrix(ResultTable):
    """Cosines: a row an item of the left side, a column an item of the right one.

    ``numpy.asarray`` gives the cosines.

    Attributes:
        cosines: (n, m) float32.
        left: modality of the rows.
        right: modality of the columns; may be the same.
        row_labels: what to call the items of the rows.
        column_labels: what to call the items of the columns.
    """

    def __init__(self, left: ComparedItems, right: ComparedItems, lab: str) -> None:
        cells = len(left.embeddings) * len(right.embeddings)
        if cells > MOST_CELLS:
            raise UsageError(
                f"{len(left.embeddings):,} times {len(right.embeddings):,} cosines do not fit",
                why=f"they would take {cells * 4 >> 20:,} MiB",
                fix="fewer items at a time, or index() and search()",
            )
        self.cosines: NDArray[np.float32] = left.embeddings @ right.embeddings.T
        self.left, self.right = left.modality, right.modality
        self.row_labels, self.column_labels = left.labels, right.labels
        self.lab = lab

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return len(self.row_labels), len(self.column_labels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.cosines if dtype is None else self.cosines.astype(dtype)
        return array.copy() if copy and array is self.cosines else array

    def best(self, k: int = 1) -> list[list[tuple[str, float]]]:
        """Return the k nearest columns of each row as (label, cosine), nearest first.

        Within one modality an item is its own nearest.

        Raises:
            UsageError: k is less than 1.
        """
        check_count("k", k)
        order = np.argsort(-self.cosines, axis=1, kind="stable")[:, :k]
        return [
            [(self.column_labels[j], float(row[j])) for j in columns]
            for row, columns in zip(self.cosines, order.tolist(), strict=True)
        ]

    @property
    def title(self) -> str:
        """Which modalities."""
        return f"{self.left} x {self.right}, cosines"

    @property
    def columns(self) -> tuple[str, ...]:
        """A column an item of the right side, after the items of the left."""
        return (self.left, *self.column_labels)

    def rows(self) -> Iterator[tuple[Cell, ...]]:
        """Yield an item of the left side, and its cosines."""
        for label, row in zip(self.row_labels, self.cosines.tolist(), strict=True):
            yield label, *row

    def to_dataframe(self) -> pd.DataFrame:
        """Return the cosines as a data frame: labels as index and columns.

        Raises:
            MissingError: pandas is not installed.
        """
        frame = data_frame(self.cosines, index=self.row_labels, columns=self.column_labels)
        frame.index.name, frame.columns.name = self.left, self.right
        frame.attrs["lab"] = self.lab
        return frame

    def to_json(self) -> dict[str, Any]:
        """Return it as an object for ``json.dumps``; labels need not differ."""
        return {
            "lab": self.lab,
            "left": self.left,
            "right": self.right,
            "rows": list(self.row_labels),
            "columns": list(self.column_labels),
            "cosines": self.cosines.tolist(),
            **cut_json(self.items_cut),
        }

    def _corner(self) -> tuple[list[str], list[tuple[Cell, ...]], str]:
        """Return what is shown of a large matrix, and a sentence on the rest."""
        n, m = self.shape
        heads = [self.left, *self.column_labels[:_SHOWN]]
        rows = [
            (label, *cosines.tolist())
            for label, cosines in zip(
                self.row_labels[:_SHOWN], self.cosines[:_SHOWN, :_SHOWN], strict=True
            )
        ]
        cut = f"the first {min(n, _SHOWN)} x {min(m, _SHOWN)} of {n:,} x {m:,}"
        return heads, rows, cut if n > _SHOWN or m > _SHOWN else ""

    def __repr__(self) -> str:
        heads, rows, cut = self._corner()
        heads = [cell_text(head, 16) for head in heads]
        cells = [(label, *(f"{value:.3f}" for value in cosines)) for label, *cosines in rows]
        return "\n".join(filter(None, [self._caption(), *aligned(heads, cells), cut]))

    def _repr_html_(self) -> str:
        heads, rows, cut = self._corner()
        head = "".join(f"<th>{html.escape(cell_text(text, 40))}</th>" for text in heads)
        values = [float(value) for _, *cosines in rows for value in cosines]  # type: ignore[arg-type]
        low, high = min(values, default=0.0), max(values, default=1.0)
        body = "".join(
            f"<tr><th>{html.escape(cell_text(label, 40))}</th>"
            + "".join(_shaded(float(value), low, high) for value in cosines)  # type: ignore[arg-type]
            + "</tr>"
            for label, *cosines in rows
        )
        caption = html.escape(self._caption())
        return (
            f'<table class="molspace"><caption style="{CAPTION}">{caption}</caption>'
            f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            + (f"<div>{cut}</div>" if cut else "")
        )


def _shaded(value: float, low: float, high: float) -> str:
    """Return a cell whose ground is the bluer the nearer its items are to each other."""
    share = (value - low) / (high - low) if high > low else 0.0
    style = f"text-align:right;background:rgba(31,119,180,{0.55 * share:.2f})"
    return f'<td style="{style}">{value:.3f}</td>'


def given_rows(place: str, rows: Any, dim: int) -> ComparedItems:
    """Return embeddings that a caller gives, at unit norm.

    Args:
        place: "first" or "second", for messages.
        rows: (n, dim) floats: an array or a tensor.
        dim: of the product.

    Raises:
        UsageError: they are not numbers.
        DimensionMismatch: they are not (n, dim).
        DataError: one is zero or not finite.
    """
    array = as_array(rows)
    if array.dtype.kind not in "fiu":
        raise UsageError(
            f"the {place} rows are of the type {array.dtype}",
            why="they are embeddings",
            fix='embeddings by name: text=[...], or rows of embed()["text"]',
        )
    if array.ndim != 2 or array.shape[1] != dim:
        raise DimensionMismatch(
            f"the {place} rows have the shape {array.shape}",
            why=f"embeddings of this space are (n, {dim})",
        )
    wide = array.astype(np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
    if len(bad):
        raise DataError(
            f"row {bad[0]} of the {place} rows has no direction",
            why="it is zero, or not finite",
            position=int(bad[0]),
        )
    unit: NDArray[np.float32] = (wide / norms).astype(np.float32)
    return ComparedItems("rows", labels_of(range(len(unit))), unit)


def labels_of(names: Sequence[object]) -> tuple[str, ...]:
    """Return names as texts."""
    return tuple(map(str, names))
