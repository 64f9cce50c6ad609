"""Embeddings as Arrow tables: what writers of parquet and of Lance put on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra
from reactions.core.types import Item
from reactions.inference.writer_base import is_numbered, json_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

METADATA: Final = b"molspace"
"""The key of the schema's metadata under which a table says what it is, as JSON."""


def pyarrow_for(path: Path, extra: str) -> Any:
    """Return pyarrow.

    Args:
        path: what is to be written, for the error.
        extra: brings it.

    Raises:
        MissingError: it is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise MissingError(
            f"cannot write '{path}'", why="pyarrow is not installed", fix=install_extra(extra)
        ) from None
    return pyarrow


class ArrowRows:
    """Collects items: columns ``id``, ``modality``, ``numbered``, ``embedding`` of dim float32.

    Args:
        pa: pyarrow.
        about: from ``writers.describe``; it becomes the schema's metadata.

    Attributes:
        schema: of the tables.
    """

    def __init__(self, pa: Any, about: Mapping[str, Any]) -> None:
        self._pa, self._dim = pa, about["dim"]
        self.schema = pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("modality", pa.dictionary(pa.int32(), pa.string()), nullable=False),
                pa.field("numbered", pa.bool_(), nullable=False),
                pa.field("embedding", pa.list_(pa.float32(), self._dim), nullable=False),
            ],
            metadata={METADATA: json_text(dict(about)).encode()},
        )
        self._waiting: list[tuple[Item, NDArray[np.float32]]] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, items: Sequence[Item], rows: NDArray[np.float32]) -> None:
        """Take (len(items), dim) rows."""
        self._waiting += zip(items, rows, strict=True)

    def take(self) -> Any:
        """Return what was added as a table, and forget it."""
        pa = self._pa
        items = [item for item, _ in self._waiting]
        rows = np.stack([row for _, row in self._waiting]).astype(np.float32, copy=False)
        self._waiting = []
        modalities = pa.array([item.modality for item in items]).dictionary_encode()
        columns = [
            pa.array([item.id for item in items], pa.string()),
            modalities.cast(self.schema.field("modality").type),
            pa.array([is_numbered(item) for item in items]),
            pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), self._dim),
        ]
        return pa.Table.from_arrays(columns, schema=self.schema)
