"""Which product an index belongs to."""

from __future__ import annotations

from pathlib import Path

from reactions.core.errors import UsageError
from reactions.core.hashing import digest
from reactions.core.types import Leaf
from reactions.products.target import Target
from reactions.search.record import IndexRecord


def space_digest(target: Target) -> str:
    """Return the digest of what decides a target's embeddings."""
    if target.bundle is not None:
        return target.bundle.digest
    assert isinstance(target.space, Leaf), "what is not a bundle is a space"
    spec = target.space.spec
    return digest("index of a space", [spec.identity(m) for m in spec.modalities])


def check_made_by(record: IndexRecord, target: Target, directory: Path) -> None:
    """Refuse an index of another product: its rows mean nothing in this one.

    Raises:
        UsageError: it is.
    """
    if record.space != space_digest(target):
        raise UsageError(
            f"the index '{directory}' does not belong to {target.name}",
            why=f"it was made with {record.name}"
            + (f", {record.bundle}" if record.bundle else "")
            + (", trained otherwise" if record.name == target.name else ""),
            fix="give the bundle it was made with, or build an index of this one",
            path=str(directory),
        )
