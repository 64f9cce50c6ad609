"""embed: a corpus into a space, with the norms of what its model gives."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.errors import DataError
from reactions.core.left_out import Tally
from reactions.core.step import Artifact, Context, Rows
from reactions.encoders.raw_view import RawView
from reactions.encoding.items import CorpusRange
from reactions.encoding.stream import encode
from reactions.steps.embed import EmbedLeaf, check_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

NORMS: Final = "norms"
"""Name of the array of norms beside ``embeddings``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class EmbedRaw(EmbedLeaf):
    """Encodes a corpus, and keeps the norms of what the model gives.

    Its artifact is ``embeddings`` as that of ``EmbedLeaf``, and ``norms``: (rows, 1) float32.
    """

    KIND = "embed raw"

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Encode rows, batch by batch.

        Raises:
            UsageError: the space gives rows of norm 1 alone.
            DimensionMismatch: the encoder gave embeddings of another shape.
            DataError: it gave one that is zero or not finite.
        """
        encoder = RawView(self.load(context, inputs))
        rows = np.empty((stop - start, self.space.dim), np.float32)
        done, tally = 0, Tally()
        items = CorpusRange(self.corpus, start, stop)
        with closing(encode(encoder, items, device=context.device, tally=tally)) as batches:
            for batch in batches:
                check_shape(batch, self.space)
                rows[np.array(batch.places) - start] = batch.rows
                done += len(batch.places)
                context.progress(done, stop - start, "items")
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        bad = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
        if len(bad):
            (item,) = self.corpus.items(start + int(bad[0]), start + int(bad[0]) + 1)
            raise DataError(
                f"'{self.space.name}' gave no usable embedding for {item.modality} '{item.id}'",
                why=f"{len(bad)} of {len(rows)} rows are zero or not finite",
                fix="leave the item out",
                id=item.id,
            )
        return Artifact(
            {"embeddings": (rows / norms).astype(self.dtype), NORMS: norms.astype(np.float32)},
            left_out=tally.of(self.space.name, self.corpus.modality, stop - start),
        )


class ScaledRows:
    """Unit-norm rows with their norms put back; reads both when rows are asked for.

    Args:
        rows: (n, d).
        norms: (n, 1).
    """

    def __init__(self, rows: Rows, norms: Rows) -> None:
        self._rows, self._norms = rows, norms

    @property
    def shape(self) -> tuple[int, ...]:
        """That of the rows."""
        return self._rows.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return np.dtype(np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        values = np.asarray(self._rows[rows], np.float32)
        # Rounded to half precision, rows are a little off norm 1.
        unit = values / np.linalg.norm(values, axis=1, keepdims=True)
        scaled: NDArray[Any] = unit * self._norms[rows]
        return scaled


def stored_rows(artifact: Artifact) -> Rows:
    """Return stored embeddings, of the norm that their model gave where it was kept."""
    rows = artifact.arrays["embeddings"]
    return ScaledRows(rows, artifact.arrays[NORMS]) if NORMS in artifact.arrays else rows
