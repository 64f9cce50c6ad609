"""WebDataset shards: plain tars, indexed once, whose members are read where they lie.

A member ``dir/000001.left.jpg`` belongs to the sample ``dir/000001`` and is its file
``left.jpg``: the key ends at the first full stop of the last part.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from reactions.data import checks
from reactions.data.checks import check
from reactions.data.places import Entry, open_binary
from reactions.data.sources.files import modality_of
from reactions.data.sources.parts import signature_of
from reactions.data.sources.source import Depth, Told, silent
from reactions.data.tables import Strings, Table, TableCache
from reactions.errors import DataError
from reactions.hashing import bytes_digest, digest

_BLOCK = tarfile.BLOCKSIZE
_CHUNK_BYTES = 1 << 20
_HELD_BYTES = 1 << 28
"""Larger members are hashed in pieces and taken on trust: no media item is a quarter gigabyte."""

_PACKED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"\x28\xb5": "zstd"}


def index_shards(
    shards: Sequence[Entry],
    *,
    tables: TableCache,
    depth: Depth = "header",
    told: Told = silent,
) -> Iterator[Table]:
    """Yield an index of each tar's members, in order, reading only tars that changed.

    Args:
        shards: the tars.
        tables: remembers what earlier runs found, shard by shard.
        depth: how hard to look for damage of images and sounds.
        told: of the progress.

    Yields:
        Columns ``member``, ``offset``, ``size``, ``tag`` and ``why``.

    Raises:
        DataError: a tar is cut short, damaged or compressed.
    """
    for i, shard in enumerate(shards):
        cached = "tar-" + digest("scan", [shard.url, depth, checks.VERSION])[:32]
        signature = signature_of([shard.stamp])
        table = tables.get(cached, signature)
        if table is None:
            told("shards", i, len(shards))
            table = _index(shard, depth)
            tables.put(cached, signature, table)
        yield table
    told("shards", len(shards), len(shards))


def split_member(name: str) -> tuple[str, str]:
    """Return the sample's key and the rest of a member's name; ("", "") for none of a sample."""
    folder, slash, base = name.rpartition("/")
    stem, dot, rest = base.partition(".")
    if not stem or not dot:
        return "", ""
    return f"{folder}{slash}{stem}".removeprefix("./"), rest.lower()


def _index(shard: Entry, depth: Depth) -> Table:
    members: list[str] = []
    numbers: list[tuple[int, int]] = []
    tags: list[str] = []
    whys: list[str] = []
    with open_binary(shard.url) as stream:
        for name, offset, size_bytes in _members(shard, stream):
            if split_member(name)[0] == "":
                continue
            stream.seek(offset)
            modality = modality_of(name) or ""
            if size_bytes <= _HELD_BYTES:
                data = stream.read(size_bytes)
                tag, why = bytes_digest(data), check(modality, data, depth) if modality else ""
            else:
                tag, why = _digest(stream, size_bytes), ""
            members.append(name)
            numbers.append((offset, size_bytes))
            tags.append(f"file:{tag}")
            whys.append(why)
    columns = np.array(numbers, np.int64).reshape(-1, 2)
    return Table(
        {
            "member": Strings.pack(members),
            "offset": columns[:, 0],
            "size": columns[:, 1],
            "tag": Strings.pack(tags),
            "why": Strings.pack(whys),
        }
    )


def _members(shard: Entry, stream: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of every ordinary member."""
    if shard.size_bytes == 0:
        raise _damaged(shard, "it is empty")
    head = stream.read(2)
    if head in _PACKED:
        raise DataError(
            f"'{shard.url}' is compressed ({_PACKED[head]})",
            why="members of a compressed tar cannot be read where they lie",
            fix="unpack it to a plain .tar; images and sounds are compressed already",
            path=shard.url,
        )
    stream.seek(0)
    end = 0
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            while (member := tar.next()) is not None:
                end = member.offset_data + -(-member.size // _BLOCK) * _BLOCK
                if member.offset_data + member.size > shard.size_bytes:
                    missing = member.offset_data + member.size - shard.size_bytes
                    raise _damaged(shard, f"it is cut short: '{member.name}' lacks {missing} bytes")
                tar.members = []  # type: ignore[attr-defined]  # or it remembers them all
                if member.isreg() and not member.issparse():
                    yield member.name, member.offset_data, member.size
    except tarfile.TarError as error:
        raise _damaged(shard, str(error)) from error
    # tarfile takes a damaged header, or the lack of one, for the end.
    stream.seek(end)
    rest = stream.read(_BLOCK)
    if rest.strip(b"\0"):
        raise _damaged(shard, f"at byte {end} there is neither a header nor the end")


def _digest(stream: BinaryIO, size_bytes: int) -> str:
    sha = hashlib.sha256()
    while size_bytes > 0 and (chunk := stream.read(min(_CHUNK_BYTES, size_bytes))):
        sha.update(chunk)
        size_bytes -= len(chunk)
    return sha.hexdigest()


def _damaged(shard: Entry, why: str) -> DataError:
    return DataError(
        f"the tar '{shard.url}' is damaged",
        why=why,
        fix="copy or download it again; nothing of it was used",
        path=shard.url,
    )
