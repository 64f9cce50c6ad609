"""How an index calls its items: the same in every run, from whichever folder they are named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from reactions.core.addresses import is_url
from reactions.core.local_files import whole_path
from reactions.core.storage import Blob
from reactions.core.types import Item


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
    item = replace(item, value=value)
    if item.own_id:
        return replace(item, id=f"{prefix}/{item.id}") if prefix else item
    return replace(item, id=str(value)) if isinstance(value, Path | str | Blob) else item
