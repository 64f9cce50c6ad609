"""libsndfile, opened so that what a file's bytes say reaches neither Python nor other files."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def open_sound(
    stream: BinaryIO, data: bytes | None = None, *, forward: bool = True
) -> Iterator[Any]:
    """Open a sound.

    Args:
        stream: of a file, unbuffered if it is a real one: its descriptor is moved.
        data: its bytes, where they are not those of the stream.
        forward: never seek: some codecs cannot, and others lose samples where they do.

    Yields:
        A ``soundfile.SoundFile``.

    Raises:
        RuntimeError: libsndfile cannot open it.
    """
    import soundfile

    if data is None and (os.name != "posix" or isinstance(stream, io.BytesIO)):
        stream.seek(0)
        data = stream.read()
    with ExitStack() as stack:
        opener = _forward_reader() if forward else soundfile.SoundFile
        yield stack.enter_context(opener(_source(stream, data, stack)))


def _source(stream: BinaryIO, data: bytes | None, stack: ExitStack) -> Any:
    """Return what libsndfile opens: by descriptor, so that it reads without asking Python.

    Callbacks into Python would print tracebacks where a damaged header makes it seek below zero.
    By the descriptor's name, because it looks for resource forks (``._NAME``) beside a file's
    path, or in the working folder where it has none.
    """
    if os.name != "posix":
        return _Steady(data or b"")
    if data is None:
        handle = stream.fileno()
    elif hasattr(os, "memfd_create"):
        handle = os.memfd_create("sound", os.MFD_CLOEXEC)
        stack.callback(os.close, handle)
        with open(handle, "wb", closefd=False) as copy:
            copy.write(data)
    else:
        handle = stack.enter_context(tempfile.TemporaryFile(buffering=0)).fileno()  # noqa: SIM115
        with open(handle, "wb", closefd=False) as copy:
            copy.write(data)
    # Where /dev/fd duplicates a descriptor (macOS), or is not there, the offset is shared.
    os.lseek(handle, 0, os.SEEK_SET)
    path = Path(f"/dev/fd/{handle}")
    return str(path) if path.exists() else handle


class _Steady(io.BytesIO):
    """Bytes that stay where they are when they are asked to seek below zero."""

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return super().seek(offset, whence)
        except (ValueError, OverflowError):
            return self.tell()


@lru_cache(maxsize=1)
def _forward_reader() -> Any:
    import soundfile

    class ForwardReader(soundfile.SoundFile):  # type: ignore[misc]
        """A sound that is read from start to end: soundfile seeks after every read of others."""

        def seekable(self) -> bool:
            return False

    return ForwardReader
