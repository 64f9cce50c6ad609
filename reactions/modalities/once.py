"""Decoding an item once, although several encoders ask for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

_kept = threading.local()


@contextmanager
def decode_once() -> Iterator[None]:
    """Keep what is decoded, in this thread, until the block ends.

    Encoders may want an item differently (ImageBind takes the first channel of a sound, CLAP
    the mean of all), so each of them decodes for itself; within this block those that want the
    same share it. The sources must live as long as the block.
    """
    _kept.values = {}
    try:
        yield
    finally:
        del _kept.values


def decoded(source: object, how: Hashable, decode: Callable[[], Any]) -> Any:
    """Return what ``decode`` gives for a source, or what it gave within this block.

    Args:
        source: what is decoded, known by its identity.
        how: everything else that decides the result.
        decode: decodes it.
    """
    values: dict[tuple[int, Hashable], Any] | None = getattr(_kept, "values", None)
    if values is None:
        return decode()
    key = (id(source), how)
    if key not in values:
        values[key] = decode()
    return values[key]
