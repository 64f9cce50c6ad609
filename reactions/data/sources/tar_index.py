"""WebDataset shards: plain tars, indexed once, whose members are read where they lie.

A member ``dir/000001.left.jpg`` belongs to the sample ``dir/000001`` and is its file
``left.jpg``: the key ends at the first full stop of the last part.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import BinaryIO, NamedTuple

import numpy as np

from reactions.core.addresses import Entry
from reactions.core.hashing import bytes_digest, digest
from reactions.core.storage import check_unchanged, open_in_order
from reactions.core.transient import TransientError, look_at_all, run_again
from reactions.core.types import Modality
from reactions.data.scan_cache import ScanTable, Strings, TableCache
from reactions.data.sources.config import OnProgress, silent
from reactions.data.sources.files import looking
from reactions.data.sources.parts import signature_of
from reactions.data.tar_members import tar_members
from reactions.modalities.base import CheckDepth, at_least
from reactions.modalities.encoded import too_large
from reactions.modalities.registry import (
    BUILT_IN,
    LETTERS,
    check,
    check_version,
    check_versions,
)
from reactions.modalities.suffixes import count_loose, is_packaged, may_hold, modality_of

_VERSION = 2
_CHUNK_BYTES = 1 << 20
_HELD_BYTES = 1 << 28
"""Larger members are hashed in pieces, and their contents are taken on trust until decoded."""

_BATCH_MEMBERS = 256
_BATCH_BYTES = 1 << 26
"""Members looked at side by side: so many, or so large."""


def index_shards(
    shards: Sequence[Entry],
    *,
    modality: Modality | None = None,
    tables: TableCache,
    depth: CheckDepth = "header",
    on_progress: OnProgress = silent,
) -> Iterator[ScanTable]:
    """Yield an index of each tar's members, in order, reading only tars that changed.

    One index serves texts, images, sounds, and what installed packages add. Each other modality
    has one of its own: its files look like others', or, as videos, take long to look through.

    Args:
        shards: the tars.
        modality: whose members are looked at, besides those that one index serves.
        tables: remembers what earlier runs found, shard by shard.
        depth: how hard to look for damage of media; a harder look is not
            forgotten.
        on_progress: of the progress.

    Yields:
        Columns ``member``, ``offset``, ``size``, ``tag`` and ``why``; the fact ``loose`` counts
        members of no sample.

    Raises:
        DataError: a tar is cut short, damaged or compressed.
        TransientError: a tar or a member could not be looked at just now.
    """
    for i, shard in enumerate(shards):
        signature = signature_of([shard.stamp])
        for check_depth in at_least(depth):
            by = [shard.url, check_depth, check_versions(), *_own_index(modality), _VERSION]
            cached = "tar-" + digest("scan", by)[:32]
            if (table := tables.get(cached, signature)) is not None:
                break
        else:
            on_progress("shards", i, len(shards))
            try:
                table = _index(shard, modality, depth)
            except (OSError, MemoryError) as error:
                raise run_again(shard.url, error) from error
            table = tables.put(cached, signature, table)
        yield table
    on_progress("shards", len(shards), len(shards))


def split_member(name: str) -> tuple[str, str]:
    """Return the sample's key and the rest of a member's name; ("", "") for none of a sample."""
    folder, slash, base = name.rpartition("/")
    stem, dot, rest = base.partition(".")
    if not stem or not dot:
        return "", ""
    return f"{folder}{slash}{stem}".removeprefix("./"), rest.lower()


class _Member(NamedTuple):
    """A file of a sample: its bytes, or, where those are too many, their digest."""

    name: str
    offset: int
    size_bytes: int
    data: bytes
    sha256: str


def _own_index(modality: Modality | None) -> list[str | int]:
    """Return what names a modality's own index; [] where the common one serves it."""
    if modality is None or _is_common(modality):
        return []
    return [modality, check_version(modality)]


def _is_common(modality: Modality) -> bool:
    return modality in LETTERS.values() or modality not in BUILT_IN


def _index(shard: Entry, modality: Modality | None, depth: CheckDepth) -> ScanTable:
    members: list[_Member] = []
    tags: list[str] = []
    whys: list[str] = []
    loose: list[str] = []
    look = partial(_look, expected=modality, depth=depth)
    with open_in_order(shard) as stream, looking() as pool:
        for batch in _batches(shard, stream, loose):
            for tag, why in look_at_all(pool, look, batch):
                tags.append(tag)
                whys.append(why)
            # The names of millions of members fit in memory, their bytes do not.
            members += (member._replace(data=b"") for member in batch)
    check_unchanged(shard)
    return ScanTable(
        {
            "member": Strings.pack(member.name for member in members),
            "offset": np.array([member.offset for member in members], np.int64),
            "size": np.array([member.size_bytes for member in members], np.int64),
            "tag": Strings.pack(tags),
            "why": Strings.pack(whys),
        },
        {"loose": count_loose(loose)},
    )


def _look(member: _Member, *, expected: Modality | None, depth: CheckDepth) -> tuple[str, str]:
    """Return a member's tagged digest, and why it cannot be used."""
    modality = modality_of(member.name)
    if expected is not None and may_hold(member.name, expected):
        modality = expected
    elif modality is not None and not _is_common(modality):
        modality = None
    if modality is not None and _is_common(modality) and is_packaged(member.name):
        modality = None  # whoever picks it looks
    if member.sha256:
        why = too_large(member.size_bytes) if modality else None
        return f"file:{member.sha256}", why or ""
    try:
        why = check(modality, member.data, depth) if modality else ""
    except TransientError as error:
        raise run_again(member.name, error) from error
    return f"file:{bytes_digest(member.data)}", why


def _batches(shard: Entry, stream: BinaryIO, loose: list[str]) -> Iterator[list[_Member]]:
    """Yield the files of samples, a few at a time, and add the names of others to ``loose``."""
    batch: list[_Member] = []
    held_bytes = 0
    for name, offset, size_bytes in tar_members(stream, shard.url, shard.size_bytes):
        if split_member(name)[0] == "":
            loose.append(name)
            continue
        stream.seek(offset)
        if size_bytes <= _HELD_BYTES:
            batch.append(_Member(name, offset, size_bytes, stream.read(size_bytes), ""))
            held_bytes += size_bytes
        else:
            batch.append(_Member(name, offset, size_bytes, b"", _digest(stream, size_bytes)))
        if len(batch) >= _BATCH_MEMBERS or held_bytes >= _BATCH_BYTES:
            yield batch
            batch, held_bytes = [], 0
    yield batch


def _digest(stream: BinaryIO, size_bytes: int) -> str:
    sha = hashlib.sha256()
    while size_bytes > 0 and (chunk := stream.read(min(_CHUNK_BYTES, size_bytes))):
        sha.update(chunk)
        size_bytes -= len(chunk)
    return sha.hexdigest()
