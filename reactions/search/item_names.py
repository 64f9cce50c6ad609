"""How an index calls its items: the same in every run, from whichever folder they are named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

from reactions.core.addresses import is_url
from reactions.core.local_files import is_file, whole_path
from reactions.core.storage import Blob
from reactions.core.types import Item

_CORPUS: Final = "corpus "
"""Before a corpus's name, where a file's path stands of others."""


def named(item: Item, prefix: str = "") -> Item:
    """Return an item by an id that means the same in another run.

    Where the input gives none, the number of a line and a path from the working folder do not: the
    text itself, or the whole path, takes their place. Paths lose their ``..``.

    Args:
        item: as the input has it.
        prefix: stands, with a slash, before an id that the input gives; "" for nothing.
    """
    value = item.value
    if isinstance(value, Path):
        value = whole_path(value)
    elif isinstance(value, Blob) and not is_url(value.url):
        value = replace(value, url=str(whole_path(Path(value.url))))
    item = replace(item, value=value, origin=_whole(item.origin))
    if item.own_id:
        return replace(item, id=f"{prefix}/{item.id}") if prefix else item
    return replace(item, id=str(value)) if isinstance(value, Path | str | Blob) else item


def of_corpus(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yield a corpus's items with what gave them their ids.

    Args:
        name: of the corpus.
        items: all of them, or some.
    """
    for item in items:
        yield replace(item, origin=f"{_CORPUS}{name}")


def is_there(origin: str) -> bool:
    """Return whether what gave an item its id is still there, as far as a look at it tells."""
    return origin.startswith(_CORPUS) or is_url(origin) or is_file(Path(origin))


def _whole(origin: str) -> str:
    is_path = origin and not origin.startswith(_CORPUS) and not is_url(origin)
    return str(whole_path(Path(origin))) if is_path else origin
