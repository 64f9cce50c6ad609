"""What encoders leave out of items: noted where items are prepared, counted, reported at the end.

Encoders read so many tokens, so many seconds, one square of a picture. Where that loses most of an
item, or the end of a text, the code that cuts calls ``note`` with a clause; the stream that
prepared the item gathers the notes and counts them. What is always so for a modality is not noted
but documented (docs/modalities.md).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NamedTuple, TypeAlias

from reactions.core.errors import UsageError
from reactions.core.hashing import JSON
from reactions.core.types import Digest, Encoder, Modality

Limits: TypeAlias = Mapping[str, "tuple[str, ...] | None"]
"""Names of spaces to clauses of what their encoders look out for; None where one does not."""


class Note(NamedTuple):
    """Something that was left out of one item.

    Attributes:
        space: whose encoder left it out.
        clause: what such items are, after "is" or "are"; ``{space}`` stands for the space's name.
    """

    space: str
    clause: str


def longer_than(amount: str) -> str:
    """Return the clause of texts that are cut: ``longer_than("77 tokens")``."""
    return f"longer than {{space}}'s {amount}; the rest of each is ignored"


def mostly_unheard(amount: str) -> str:
    """Return the clause of sounds of which less than half is used: ``mostly_unheard("10 s")``."""
    return f"more than twice as long as the {amount} of each that {{space}} uses"


MOSTLY_CROPPED = "so narrow or so wide that {space} crops away more than half of each"


# --- noting --------------------------------------------------------------------------

_here = threading.local()


@contextmanager
def gathered() -> Iterator[list[Note]]:
    """Gather what is noted in this thread until the block ends: once an item."""
    before = getattr(_here, "notes", None)
    notes: list[Note] = []
    _here.notes = notes
    try:
        yield notes
    finally:
        _here.notes = before


@contextmanager
def by_space(space: str) -> Iterator[None]:
    """Say whose encoder the notes of this block are of."""
    before = getattr(_here, "space", "")
    _here.space = space
    try:
        yield
    finally:
        _here.space = before


def note(clause: str) -> None:
    """Note that something is left out of the item at hand; no effect where none are counted."""
    notes: list[Note] | None = getattr(_here, "notes", None)
    if notes is not None and (new := Note(getattr(_here, "space", ""), clause)) not in notes:
        notes.append(new)


# --- counting ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What a space left out of items of one modality.

    Attributes:
        space: its name.
        modality: of the items.
        n_items: that were embedded.
        counts: clauses to how many items each is true of; 0 where it was looked for in vain.
        n_uncounted: further items, of which it was not counted.
    """

    space: str
    modality: Modality
    n_items: int
    counts: Mapping[str, int] = field(default_factory=dict)
    n_uncounted: int = 0

    def to_json(self) -> JSON:
        """Return the JSON object that ``parse`` reads."""
        return {
            "space": self.space,
            "modality": self.modality,
            "items": self.n_items,
            "found": [{"are": clause, "items": n} for clause, n in self.counts.items()],
            **({"not_counted": self.n_uncounted} if self.n_uncounted else {}),
        }

    def in_words(self) -> JSON:
        """Return the JSON object that commands print: with the space's name in the clauses."""
        counts = {clause.replace("{space}", self.space): n for clause, n in self.counts.items()}
        return replace(self, counts=counts).to_json()


def parse(value: JSON) -> LeftOut | None:
    """Read a JSON object; None for None.

    Raises:
        TypeError: it is something else.
        LookupError: a field is missing.
    """
    if value is None:
        return None
    counts = {part["are"]: part["items"] for part in value["found"]}
    n_uncounted = value.get("not_counted", 0)
    texts = (value["space"], value["modality"], *counts)
    numbers = (value["items"], n_uncounted, *counts.values())
    if not all(isinstance(text, str) for text in texts) or any(type(n) is not int for n in numbers):
        raise TypeError(f"{value!r:.80} is not a count of what was left out")
    return LeftOut(value["space"], value["modality"], value["items"], counts, n_uncounted)


def added(parts: Iterable[LeftOut]) -> list[LeftOut]:
    """Add up what is of the same space and modality, in the order of the first of each."""
    groups: dict[tuple[str, Modality], list[LeftOut]] = {}
    for part in parts:
        groups.setdefault((part.space, part.modality), []).append(part)
    sums = []
    for (space, modality), group in groups.items():
        counts: dict[str, int] = {}
        for clause, n in (pair for part in group for pair in part.counts.items()):
            counts[clause] = counts.get(clause, 0) + n
        counted = sum(part.n_items for part in group)
        uncounted = sum(part.n_uncounted for part in group)
        sums.append(LeftOut(space, modality, counted, counts, uncounted))
    return sums


def joined_counts(parts: Iterable[tuple[LeftOut | None, int]]) -> LeftOut | None:
    """Return the counts of parts of one result as one; None where none was counted.

    Args:
        parts: what each left out, and its items.
    """
    pairs = list(parts)
    counted = [part for part, _ in pairs if part is not None]
    if not counted:
        return None
    space, modality = counted[0].space, counted[0].modality
    # Parts of earlier versions, and those made under another name of the space.
    return added(
        LeftOut(space, modality, 0, {}, n)
        if part is None
        else replace(part, space=space, modality=modality)
        for part, n in pairs
    )[0]


class Tally:
    """Counts, batch by batch."""

    def __init__(self) -> None:
        self._items: Counter[tuple[str, Modality]] = Counter()
        self._counts: dict[tuple[str, Modality], Counter[str]] = {}
        self._uncounted: Counter[tuple[str, Modality]] = Counter()

    def add(self, modality: Modality, limits: Limits, notes: Iterable[Iterable[Note]]) -> None:
        """Count a batch.

        Args:
            modality: of its items.
            limits: of the encoder; see ``limits_of``.
            notes: of each item.
        """
        per_item = [tuple(item_notes) for item_notes in notes]
        noted = Counter(note for item_notes in per_item for note in item_notes)
        for space in {
            *(s for s, clauses in limits.items() if clauses is not None),
            *(n.space for n in noted),
        }:
            key = (space, modality)
            self._items[key] += len(per_item)
            counts = self._counts.setdefault(key, Counter())
            for clause in limits.get(space) or ():
                counts[clause] += 0
        for (space, clause), n in noted.items():
            self._counts[space, modality][clause] += n
        for space in limits.keys() - {note.space for note in noted}:
            if limits[space] is None:
                self._uncounted[space, modality] += len(per_item)

    def all(self) -> list[LeftOut]:
        """Return the counts so far: of spaces that do not say, how many items they embedded."""
        return [
            LeftOut(
                *place,
                self._items[place],
                dict(self._counts.get(place, {})),
                self._uncounted[place],
            )
            for place in sorted({*self._items, *self._uncounted})
        ]

    def of(self, space: str, modality: Modality, n: int) -> LeftOut:
        """Return the counts of one space and modality, of n items: they may not be counted."""
        counted = [part for part in self.all() if (part.space, part.modality) == (space, modality)]
        return counted[0] if counted else LeftOut(space, modality, 0, {}, n)


def limits_of(encoder: Encoder, modality: Modality) -> Limits:
    """Return what an encoder looks out for; it need not say (``limits``).

    Raises:
        UsageError: what it says cannot be read. It may be a package's.
    """
    ask = getattr(encoder, "limits", None)
    if not callable(ask):
        return {encoder.spec.name: None}
    limits = ask(modality)
    if not isinstance(limits, Mapping) or not all(map(_are_clauses, limits.values())):
        raise UsageError(
            f"the encoder of '{encoder.spec.name}' does not say readably what it leaves out",
            why=f"limits({modality!r}) gives {limits!r:.80}",
            fix="a mapping of the space's name to a tuple of clauses, () for nothing, or None",
            space=encoder.spec.name,
            modality=modality,
        )
    if hasattr(encoder, "preprocess"):
        return dict(limits)
    # Notes are gathered where items are prepared, which such an encoder does within its forward
    # pass: what it looks out for would seem to have been looked for in vain.
    return {space: None if clauses else clauses for space, clauses in limits.items()}


def _are_clauses(clauses: object) -> bool:
    return clauses is None or (
        isinstance(clauses, list | tuple) and all(isinstance(clause, str) for clause in clauses)
    )


# --- reporting -----------------------------------------------------------------------

_lock = threading.Lock()
_waiting: dict[str, LeftOut] = {}


class Collected:
    """What was reported while something was done."""

    def __init__(self) -> None:
        self._parts: dict[str, LeftOut] = {}

    def sums(self) -> list[LeftOut]:
        """Return the sums so far."""
        return added(self._parts.values())


@contextmanager
def collected() -> Iterator[Collected]:
    """Collect what this thread reports in the block; ``take`` returns it all the same."""
    outer: tuple[Collected, ...] = getattr(_here, "collecting", ())
    counts = Collected()
    _here.collecting = (*outer, counts)
    try:
        yield counts
    finally:
        _here.collecting = outer


def report(parts: Iterable[LeftOut], key: Digest = "") -> None:
    """Keep counts until somebody reports them (``take``).

    Args:
        parts: the counts.
        key: of the result that they are of, which then counts once; "" for what is kept nowhere.
    """
    parts = list(parts)
    with _lock:
        _keep(parts, key, _waiting)
    for collecting in getattr(_here, "collecting", ()):
        _keep(parts, key, collecting._parts)


def _keep(parts: Iterable[LeftOut], key: Digest, kept: dict[str, LeftOut]) -> None:
    for part in parts:
        name = f"{key} {part.space} {part.modality}"
        # Added up at once: a server embeds for months, and its counts may never be asked for.
        waiting = [] if key or name not in kept else [kept[name]]
        (kept[name],) = added([*waiting, part])


def waiting() -> list[LeftOut]:
    """Return the sums of what is kept."""
    with _lock:
        return added(_waiting.values())


def take() -> list[LeftOut]:
    """Return the sums of what is kept, and forget them."""
    with _lock:
        sums = added(_waiting.values())
        _waiting.clear()
    return sums
