"""The members of a plain tar, in order, each held against the file, and the tar against its end.

Whatever its headers say, no more than ``MAX_HEADER_BYTES`` is read of one, and every member lies
behind the one before it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, BinaryIO, NamedTuple, cast

from reactions.core.errors import DataError

MAX_HEADER_BYTES = 1 << 20
"""A member's name and further fields."""

_BLOCK = tarfile.BLOCKSIZE
_END_BYTES = 2 * _BLOCK
_CHUNK_BYTES = 1 << 20
_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd", b"PK": "zip"}


class TarMember(NamedTuple):
    """A file in a tar: its name, where its bytes begin, and how many there are."""

    name: str
    offset: int
    size_bytes: int


def tar_members(stream: BinaryIO, url: str, size_bytes: int) -> Iterator[TarMember]:
    """Yield every ordinary member; the stream may be moved in between.

    Args:
        stream: of the tar.
        url: for messages.
        size_bytes: of the tar.

    Raises:
        DataError: it is compressed, damaged, cut short, or several tars were joined. What was cut
            between two members shows at the end: the two blocks of zeros are missing there.
    """
    if size_bytes == 0:
        raise damaged_tar(url, "it is empty")
    stream.seek(0)
    head = stream.read(2)
    if head in _PACKED:
        raise DataError(
            f"'{url}' is compressed ({_PACKED[head]})",
            why="members of a compressed tar cannot be read where they lie",
            fix="unpack it to a plain .tar; images and sounds are compressed already",
            path=url,
        )
    stream.seek(0)
    end = 0
    try:
        with tarfile.open(fileobj=cast(IO[bytes], _Headers(stream)), mode="r:") as tar:
            while (member := tar.next()) is not None:
                # At least a header lies between two members; one that points back would never end.
                if member.size < 0 or member.offset_data < end + _BLOCK:
                    raise damaged_tar(url, f"at byte {end} a member lies before its header")
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if member.offset_data + member.size > size_bytes:
                    missing = member.offset_data + member.size - size_bytes
                    raise damaged_tar(
                        url, f"it is cut short: '{member.name}' lacks {missing} bytes"
                    )
                tar.members = []  # type: ignore[attr-defined]  # or it remembers them all
                if member.isreg() and not member.issparse():
                    yield TarMember(member.name, member.offset_data, member.size)
    except (DataError, OSError, MemoryError):
        raise
    # Damaged headers make tarfile raise whatever its parser meets.
    except Exception as error:
        raise damaged_tar(url, str(error) or type(error).__name__) from error
    _check_end(stream, url, end)


def damaged_tar(url: str, why: str, fix: str = "") -> DataError:
    """Return the error for a tar that cannot be used."""
    return DataError(
        f"the tar '{url}' is damaged",
        why=why,
        fix=fix or "copy or download it again; nothing of it was used",
        path=url,
    )


def _check_end(stream: BinaryIO, url: str, end: int) -> None:
    """Hold what follows the last member against what must: tarfile takes anything for the end."""
    stream.seek(end)
    rest = stream.read(_END_BYTES)
    if rest[:_BLOCK].strip(b"\0"):
        raise damaged_tar(url, f"at byte {end} there is neither a header nor the end")
    if len(rest) < _END_BYTES:
        raise damaged_tar(
            url,
            f"it is cut short: it ends at byte {end + len(rest)}, without the two blocks of zeros "
            "that end a tar",
            "copy or download it again; if it is known to hold all its members, end it: "
            "truncate -s +1024 FILE",
        )
    place = end + _BLOCK
    rest = rest[_BLOCK:]
    while rest:
        if rest.strip(b"\0"):
            place += len(rest) - len(rest.lstrip(b"\0"))
            raise damaged_tar(
                url,
                f"more follows its end, at byte {place}, as where several tars were joined",
                "list the tars one by one, or join them so that all are read: tar --concatenate",
            )
        place += len(rest)
        rest = stream.read(_CHUNK_BYTES)


class _Headers:
    """A tar's stream for headers alone: their own sizes are not to be believed."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.name = None
        self.tell, self.seek = stream.tell, stream.seek

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size} bytes, more than {MAX_HEADER_BYTES}")
        return self._stream.read(size)
