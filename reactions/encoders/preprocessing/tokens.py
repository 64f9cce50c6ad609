"""Token ids of texts: one text at a time from a tokeniser, and a batch side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.left_out import longer_than, note

if TYPE_CHECKING:
    from numpy.typing import NDArray


def locked(tokenise: Callable[[str], Any]) -> Callable[[str], NDArray[np.int64]]:
    """Return a tokeniser that several threads may share: the fast ones are not re-entrant."""
    lock = Lock()

    def tokenise_alone(text: str) -> NDArray[np.int64]:
        with lock:
            return np.asarray(tokenise(text), dtype=np.int64)

    return tokenise_alone


def pad_tokens(
    inputs: Sequence[NDArray[np.int64]], pad_id: int, *, length: int | None = None
) -> NDArray[np.int64]:
    """Return (n, length) ids, filled up at the end; the longest row's length by default."""
    width = length or max(1, max(len(row) for row in inputs))
    out = np.full((len(inputs), width), pad_id, np.int64)
    for row, ids in zip(out, inputs, strict=True):
        row[: len(ids)] = ids
    return out


def cut_limits(most: int) -> tuple[str, ...]:
    """Return what is noted of texts by an encoder that reads so many tokens, ends included."""
    return (longer_than(f"{most} tokens"),)


def note_cut(most: int) -> None:
    """Note that the text at hand has more than so many tokens, ends included."""
    note(*cut_limits(most))
