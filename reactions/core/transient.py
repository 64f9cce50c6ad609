"""Failures that say nothing about a file: memory, descriptors, disks and servers that give way.

A scan's verdicts are remembered and decide what a corpus is. What would read well a minute
later is not a verdict: the run stops, keeps what it looked at, and can be run again.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from reactions.core.errors import DataError

T = TypeVar("T")
R = TypeVar("R")

_LASTING = frozenset(
    {
        errno.EACCES,
        errno.EBADMSG,
        errno.EFBIG,
        errno.EILSEQ,
        errno.EINVAL,
        errno.EISDIR,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EOVERFLOW,
        errno.EPERM,
        errno.ESPIPE,
    }
)
"""What the system says of the file itself; whatever else it says, it may not say again."""

_NUMBERS = (errno.EIO, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETIMEDOUT)
_WORDS = (*(os.strerror(number).casefold() for number in _NUMBERS), "out of memory", "malloc")
"""How libraries that raise errors of their own (Pillow, libsndfile) word these."""


class TransientError(DataError):
    """A file could not be looked at just now: nothing about it is known."""


def is_transient(error: BaseException | None) -> bool:
    """Return whether an error may not come again: it says nothing about the file."""
    if isinstance(error, MemoryError | TransientError | TimeoutError | ConnectionError):
        return True
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno not in _LASTING
    if isinstance(error, OSError | RuntimeError):
        message = f"{getattr(error, 'error_string', '')} {error}".casefold()
        return any(words in message for words in _WORDS)
    return False


def run_again(path: str, error: BaseException) -> TransientError:
    """Return the error for a file that could not be looked at just now."""
    if isinstance(error, TransientError):
        why = error.why
    elif isinstance(error, MemoryError):
        why = "there is not enough memory at present"
    else:
        why = (getattr(error, "strerror", None) or str(error)).lower()
    return TransientError(
        f"cannot look at '{path}' now",
        why=why,
        fix="run it again: what is done stays done; if it fails again, give it more memory, raise "
        "ulimit -n, check the disk, or leave the file out (skip)",
        path=path,
    )


def look_at_all(
    pool: ThreadPoolExecutor, look: Callable[[T], R], things: Sequence[T]
) -> Iterator[R]:
    """Yield what ``look`` returns for each thing, in order; several are looked at side by side.

    Raises:
        TransientError: one of them cannot be looked at even alone, once all others are done.
    """
    # list(): all others are done, and have let go of their memory, before one is tried alone.
    for thing, result in zip(
        things, list(pool.map(partial(_or_nothing, look), things)), strict=True
    ):
        # Side by side they may need more memory or descriptors than there are.
        yield look(thing) if result is None else result[0]


def _or_nothing(look: Callable[[T], R], thing: T) -> tuple[R] | None:
    try:
        return (look(thing),)
    except TransientError:
        return None
