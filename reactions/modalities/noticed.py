"""What decoding met that is not an error but should be known: counted, reported once, at the end.

Media are decoded in several threads, again and again; what a reader of results should know of them
is gathered here, and whoever talks to people takes it: the command line when a command ends, the
Python interface when a call does.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from reactions.core import left_out
from reactions.core.left_out import LeftOut
from reactions.core.types import Modality

MOST_PLACES: Final = 100_000
"""Of one kind: what is beyond is not counted."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of remark.

    Attributes:
        several: of ``{n}`` items, as a clause.
        singular: the same of a single item.
    """

    several: str
    singular: str


_NOUNS = {"text": "text", "audio": "sound", "image": "picture", "video": "video"}

_lock = threading.Lock()
_places: dict[Kind, dict[str, None]] = {}


def note(kind: Kind, place: str) -> None:
    """Note something of an item; the same of the same item counts once."""
    with _lock:
        places = _places.setdefault(kind, {})
        if len(places) < MOST_PLACES:
            places[place] = None


def take() -> list[str]:
    """Return what was noted, a sentence a kind with the first item, and forget it.

    What encoders left out of items (``core.left_out``) is among it.
    """
    with _lock:
        places_of_kinds = [(kind, list(places)) for kind, places in _places.items()]
        _places.clear()
    sentences = [
        f"{kind.singular if len(places) == 1 else kind.several.format(n=len(places))}, "
        f"first '{places[0]}'"
        for kind, places in places_of_kinds
    ]
    parts = left_out.take()
    unknown = [part for part in parts if not part.n_items]
    sentences += [text for part in parts if part.n_items for text in left_out_sentences(part)]
    if unknown:  # where a cache is of an earlier version, all may be
        spaces = ", ".join(dict.fromkeys(part.space for part in unknown))
        n = sum(part.n_uncounted for part in unknown)
        sentences.append(
            f"what {spaces} left out of {n:,} {'item' if n == 1 else 'items'} is not known"
        )
    return sentences


def left_out_sentences(part: LeftOut) -> list[str]:
    """Say what a space left out of items, a sentence a kind of which there are any."""
    more = f" ({part.n_uncounted:,} more not counted)" if part.n_uncounted else ""
    sentences = [
        f"{n:,} of {part.n_items:,} {noun(part.modality, part.n_items)} "
        f"{'is' if n == 1 else 'are'} {_clause(clause, part.space, n)}{more}"
        for clause, n in part.counts.items()
        if n
    ]
    if part.n_uncounted and not sentences:
        what = f"{part.n_uncounted:,} {noun(part.modality, part.n_uncounted)}"
        sentences.append(f"what {part.space} left out of {what} was not counted")
    return sentences


def noun(modality: Modality, n: int) -> str:
    """Return what n items of a modality are called."""
    singular = _NOUNS.get(modality, f"{modality} item")
    return singular if n == 1 else f"{singular}s"


def _clause(clause: str, space: str, n: int) -> str:
    clause = clause.replace("{space}", space)
    return clause.replace("of each", "of it") if n == 1 else clause
