"""What becomes of the work where somebody presses Ctrl-C, said where it is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def on_interrupt(remark: str) -> Iterator[None]:
    """Give an interruption of the block a remark, unless it has one from further within.

    Args:
        remark: what becomes of the work, as in "what was finished is kept".

    Raises:
        KeyboardInterrupt: the block raised it; its text is the remark.
    """
    try:
        yield
    except KeyboardInterrupt as stopped:
        if str(stopped):
            raise
        raise KeyboardInterrupt(remark) from None
