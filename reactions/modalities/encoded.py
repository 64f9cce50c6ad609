"""Encoded media: files, tars' members, remote objects and bytes, opened alike within limits.

Decoding is lenient about names (contents decide) and strict about damage: what is cut short or
holds no usable samples is an error, never a guess.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from reactions.core.errors import MediaError
from reactions.core.storage import Blob
from reactions.modalities.undecoded import UndecodedKind

Source: TypeAlias = Path | Blob | bytes
"""Where encoded media are read from."""

ENCODED = (Path, Blob, bytes)
"""Types of values that are still to be decoded."""

MAX_HELD_BYTES = 1 << 30
"""Encoded items that are read from tars and servers, and image files."""

_START_BYTES = 32
"""What kinds of files are known by."""

_STREAM = re.compile(r"<_io\.[^>]*>")


def place(source: Source) -> str:
    """Return what messages call a source."""
    return f"{len(source)} bytes" if isinstance(source, bytes) else str(source)


def open_encoded(source: Source, *, buffered: bool = True) -> BinaryIO:
    """Open a source; blobs are read whole.

    Args:
        source: a file, blob or bytes.
        buffered: of a file; not where something else reads from its descriptor as well.

    Raises:
        OSError: the file is missing, not a regular file, or cannot be read.
        MediaError: it is larger than any that is decoded from memory.
        DataError: the tar or the server a blob lies in cannot be read.
    """
    if isinstance(source, Blob):
        if (why := too_large(source.size_bytes or 0)) is not None:
            raise MediaError(f"cannot use '{source}'", why=why, fix="cut it up", path=str(source))
        source = source.read()
    if isinstance(source, bytes):
        return io.BytesIO(source)
    mode = source.stat().st_mode
    # Folders go on to ``open``, whose error says what they are.
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a pipe may wait forever, or never end
        raise OSError(errno.EINVAL, "not a regular file")
    # Unbuffered, it is a raw file, of which we use no more than a BinaryIO has.
    return source.open("rb") if buffered else cast(BinaryIO, source.open("rb", buffering=0))


def too_large(size_bytes: int) -> str | None:
    """Return why an encoded item is too large to be held in memory; None if it is not."""
    if size_bytes <= MAX_HELD_BYTES:
        return None
    return f"it has {size_bytes} bytes, more than {MAX_HELD_BYTES >> 20} MiB"


def in_memory(stream: BinaryIO, whole_bytes: int) -> BinaryIO:
    """Read a file whole unless it is large: decoders read many small pieces, out of order.

    Raises:
        ValueError: it is larger than any that is held in memory, as some decoders hold it.
    """
    if isinstance(stream, io.BytesIO):
        return stream
    size_bytes = os.fstat(stream.fileno()).st_size
    if (why := too_large(size_bytes)) is not None:
        raise ValueError(why)
    if size_bytes > whole_bytes:
        return stream
    return io.BytesIO(stream.read())


def first_bytes(stream: BinaryIO) -> bytes | None:
    """Return what a stream begins with; None if it is closed or cannot be read."""
    try:
        stream.seek(0)
        return stream.read(_START_BYTES)
    except (OSError, ValueError):
        return None


def undecodable(
    modality: str,
    path: str,
    error: Exception,
    undecoded: Sequence[UndecodedKind],
    start: bytes | None = None,
) -> MediaError:
    """Return the error for an item that a decoder failed on.

    Args:
        modality: what it should be.
        path: the item, for messages.
        error: what the decoder raised.
        undecoded: kinds of the modality's files that are not decoded.
        start: what the item begins with; None if that is not known.
    """
    fix = ""
    if isinstance(error, FileNotFoundError):
        why = "there is no such file"
    elif isinstance(error, OSError) and error.strerror:
        why = error.strerror.lower()
    else:
        # The libraries' own words, without the address of the object they read from.
        words = _STREAM.sub("", getattr(error, "error_string", None) or str(error))
        why = " ".join(words.split()) or type(error).__name__
        suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122
        if start == b"":
            why = "it is empty"
        elif by_content := [
            kind for kind in undecoded if kind.starts and kind.starts.match(start or b"")
        ]:
            why = f"it holds {by_content[0].name}, which is not decoded"
            fix = by_content[0].fix
        elif by_name := [kind for kind in undecoded if suffix in kind.suffixes]:
            # The last of them, as elsewhere where an ending is that of several kinds.
            why = f"its name is that of {by_name[-1].name}, which is not decoded ({why})"
            fix = by_name[-1].fix
    return MediaError(f"cannot decode the {modality} '{path}'", why=why, fix=fix, path=path)
