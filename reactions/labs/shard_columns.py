"""What the samples of WebDataset shards have: the endings of their files, as columns of a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from reactions.core.storage import find, open_in_order
from reactions.core.types import Modality
from reactions.data.sources.config import COLUMNS
from reactions.data.sources.shards import TEXTS
from reactions.data.sources.tar_index import split_member
from reactions.data.sources.text_values import parse_json
from reactions.data.tar_members import tar_members
from reactions.modalities.registry import READ_AS_LISTS
from reactions.modalities.suffixes import modality_of, suffix_of
from reactions.modalities.text import TEXT

_LOOKED_AT: Final = 200
"""Members at the start of the first shard whose endings are listed."""

_MAX_JSON_BYTES: Final = 1 << 20


def are_shards(path: Path) -> bool:
    """Return whether a path, or a pattern, is of tars."""
    return path.suffix.lower() == ".tar"


def endings_of(pattern: Path) -> list[str]:
    """Return the endings of samples' files, those of most samples first, and fields of their JSON.

    Args:
        pattern: of a tar on this machine, or several.

    Raises:
        MissingError: nothing is there.
        DataError: the first tar is damaged.
    """
    first = find(str(pattern))[0]
    counts: Counter[str] = Counter()
    fields: dict[str, None] = {}
    with open_in_order(first) as stream:
        for member in islice(tar_members(stream, first.url, first.size_bytes), _LOOKED_AT):
            _, rest = split_member(member.name)
            counts[rest] += bool(rest)
            if rest == "json" and not fields and member.size_bytes <= _MAX_JSON_BYTES:
                stream.seek(member.offset)
                record, _ = parse_json(stream.read(member.size_bytes))
                fields = dict.fromkeys(record) if isinstance(record, dict) else {}
    endings = [ending for ending, n in counts.most_common() if n]
    return [*endings, *(f"json.{name}" for name in fields)]


def media_of(endings: Sequence[str], *, captions: bool) -> dict[Modality, list[str]]:
    """Return the endings of each modality; of captions, the first that a corpus would read.

    Args:
        endings: from ``endings_of``.
        captions: whether they count beside media.
    """
    media: dict[Modality, list[str]] = {}
    for ending in endings:
        name = f"x.{ending}"
        modality = modality_of(name) if suffix_of(name) not in READ_AS_LISTS else None
        if modality is not None and not ending.startswith("json."):
            media.setdefault(modality, []).append(ending)
    has_caption = any(f"json.{name}" in endings for name in COLUMNS)
    texts = [t for t in TEXTS if t in endings and (t != "json" or has_caption)]
    return {**media, TEXT.name: texts[:1]} if texts and (captions or not media) else media
