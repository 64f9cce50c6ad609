"""What decoding met that is no error and should be known: counted, and reported once, at the end.

Media are decoded in several threads, again and again; what a reader of results should know of them
is gathered here, and whoever talks to people takes it: the command line when a command ends, the
Python interface when a call does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

MOST_PLACES: Final = 100_000
"""Of one kind: what is beyond is not counted."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of remark.

    Attributes:
        several: of ``{n}`` items, as a clause.
        one: the same of one.
    """

    several: str
    one: str


_lock = threading.Lock()
_places: dict[Kind, dict[str, None]] = {}


def note(kind: Kind, place: str) -> None:
    """Note something of an item; the same of the same item counts once."""
    with _lock:
        places = _places.setdefault(kind, {})
        if len(places) < MOST_PLACES:
            places[place] = None


def take() -> list[str]:
    """Return what was noted, a sentence a kind with the first item, and forget it."""
    with _lock:
        found = [(kind, list(places)) for kind, places in _places.items()]
        _places.clear()
    return [
        f"{kind.one if len(places) == 1 else kind.several.format(n=len(places))}, "
        f"first '{places[0]}'"
        for kind, places in found
    ]
