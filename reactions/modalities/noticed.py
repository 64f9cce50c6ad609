"""What decoding met that is not an error but should be known: counted, reported once, at the end.

Media are decoded in several threads, again and again; what a reader of results should know of them
is gathered here, and whoever talks to people takes it: the command line when a command ends, the
Python interface when a call does.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
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


@dataclass(frozen=True, slots=True)
class Notes:
    """What was noted in another process: plain data.

    Attributes:
        kind: what.
        places: of which items, in order.
    """

    kind: Kind
    places: tuple[str, ...]


_NOUNS = {"text": "text", "audio": "sound", "image": "picture", "video": "video"}

_lock = threading.Lock()
_places: dict[Kind, dict[str, None]] = {}
_here = threading.local()


@contextmanager
def of_item(name: str) -> Iterator[None]:
    """Call what is noted in this block, in this thread, by the name of its item.

    Values in memory lie nowhere: a decoder knows of them what many have in common, such as how
    many bytes they are. Names of blocks within one another are joined.

    Args:
        name: which the item has alone.
    """
    before = getattr(_here, "name", "")
    _here.name = f"{before}, {name}" if before else name
    try:
        yield
    finally:
        _here.name = before


@contextmanager
def unnoticed() -> Iterator[None]:
    """Note nothing in this block, in this thread: what is decoded is only looked at."""
    before = getattr(_here, "is_silent", False)
    _here.is_silent = True
    try:
        yield
    finally:
        _here.is_silent = before


def note(kind: Kind, place: str) -> None:
    """Note something of an item; the same of the same item counts once.

    Args:
        kind: what.
        place: where the item lies; within ``of_item`` its name counts.
    """
    if getattr(_here, "is_silent", False):
        return
    place = getattr(_here, "name", "") or place
    with _lock:
        places = _places.setdefault(kind, {})
        if len(places) < MOST_PLACES:
            places[place] = None


def hand_over() -> list[Notes]:
    """Return what was noted in this process, and forget it: another one reports it (``note_all``).

    What encoders left out is not among it: results on disk say that.
    """
    with _lock:
        notes = [Notes(kind, tuple(places)) for kind, places in _places.items()]
        _places.clear()
    return notes


def note_all(notes: Notes) -> None:
    """Note here what another process noted."""
    for place in notes.places:
        note(notes.kind, place)


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
