"""Which space mediates each hop when pseudo-pairs are collected.

The papers give two cases, an image-text and an audio-text expert of an
audio-image-text base. They stand below as tables, with their equation numbers. Every
other set of modalities follows the one rule that gives both (``derive``); a test holds
the rule to the tables.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from reactions.core.errors import DataError
from reactions.core.types import Modality

Side: TypeAlias = Literal["base", "expert"]
Slot: TypeAlias = tuple[Side, Modality]
"""A column of a pseudo set: embeddings of one modality in one of the two spaces."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One soft retrieval.

    Attributes:
        side: the space in which similarities are taken.
        query: modality of the pseudo embeddings asked with, in that space.
        key: modality of the corpus that is searched.
        fills: the spaces whose embeddings of ``key`` are averaged with the weights found.
    """

    side: Side
    query: Modality
    key: Modality
    fills: tuple[Side, ...]


Route: TypeAlias = tuple[Hop, ...]

_BOTH: tuple[Side, ...] = ("expert", "base")

PUBLISHED: dict[tuple[frozenset[Modality], Modality], Route] = {
    # An image-text expert: each space retrieves for itself between image and text, which
    # both align well; sounds are reached through images, to which the base bound them.
    (frozenset({"image", "text"}), "text"): (  # eq. 4
        Hop("expert", "text", "image", ("expert",)),
        Hop("base", "text", "image", ("base",)),
        Hop("base", "image", "audio", ("base",)),
    ),
    (frozenset({"image", "text"}), "image"): (  # eq. 5
        Hop("expert", "image", "text", ("expert",)),
        Hop("base", "image", "audio", ("base",)),
        Hop("base", "image", "text", ("base",)),
    ),
    (frozenset({"image", "text"}), "audio"): (  # eq. 6
        Hop("base", "audio", "image", ("base", "expert")),
        Hop("base", "image", "text", ("base", "expert")),
    ),
    # An audio-text expert: it knows audio-text far better than the base, whose audio-text
    # alignment is only emergent, so its weights serve both spaces.
    (frozenset({"audio", "text"}), "text"): (  # eq. 11
        Hop("expert", "text", "audio", _BOTH),
        Hop("base", "text", "image", ("base",)),
    ),
    (frozenset({"audio", "text"}), "audio"): (  # eq. 12
        Hop("expert", "audio", "text", _BOTH),
        Hop("base", "audio", "image", ("base",)),
    ),
    (frozenset({"audio", "text"}), "image"): (  # eq. 13
        Hop("base", "image", "audio", ("base", "expert")),
        Hop("base", "image", "text", ("base", "expert")),
    ),
}
"""(shared modalities, anchor) -> hops, for a base of audio, image, text bound to images."""


def route(
    base: Iterable[Modality],
    expert: Iterable[Modality],
    *,
    hub: Modality | None,
    anchor: Modality,
) -> Route:
    """Return the hops that fill a pseudo set starting from one anchor modality.

    Args:
        base: modalities of the base that take part.
        expert: modalities of the expert that take part; at least one is shared.
        hub: the modality to which the base bound all others; None if all pairs are bound.
        anchor: where to start.

    Raises:
        DataError: nothing is shared.
    """
    b, e = frozenset(base), frozenset(expert)
    if b == {"audio", "image", "text"} and e < b and hub == "image":
        published = PUBLISHED.get((e, anchor))
        if published:
            return published
    return derive(b, e, hub=hub, anchor=anchor)


def derive(
    base: frozenset[Modality],
    expert: frozenset[Modality],
    *,
    hub: Modality | None,
    anchor: Modality,
) -> Route:
    """Return the hops by the rule behind equations 4-6 and 11-13.

    A pair of modalities is bound directly in the base if one of them is the hub. The
    expert binds all of its pairs. Then, from the anchor:

    1. the expert retrieves its other modalities for itself; its weights serve the base too
       where the base does not bind the pair directly, or lacks the anchor;
    2. the base retrieves what is still missing from the anchor where that is bound
       directly, else from the hub; its weights serve the expert if that lacks the anchor;
    3. what still is missing on a side is retrieved there from a shared modality.
    """
    shared = base & expert
    if not shared:
        raise DataError("base and expert share no modality that has a corpus")
    if hub not in base:
        hub = None  # nothing to go through: take every pair as bound

    def direct(first: Modality, second: Modality) -> bool:
        return hub is None or hub in (first, second)

    filled: set[Slot] = set()
    if anchor in base:
        filled.add(("base", anchor))
    if anchor in expert:
        filled.add(("expert", anchor))
    hops: list[Hop] = []

    def hop(side: Side, query: Modality, key: Modality, also: Side | None = None) -> None:
        fills: tuple[Side, ...] = (side,) if also is None else (side, also)
        filled.update((to, key) for to in fills)
        hops.append(Hop(side, query, key, fills))

    if anchor in expert:
        for key in sorted(expert - {anchor}):
            lends = key in base and (anchor not in base or not direct(anchor, key))
            hop("expert", anchor, key, "base" if lends else None)
    # The hub first: it may be the query for the rest.
    for key in sorted(base, key=lambda modality: (modality != hub, modality)):
        if ("base", key) in filled:
            continue
        if anchor in base:
            query = anchor if hub is None or direct(anchor, key) else hub
        else:
            base_modalities = sorted(m for side, m in filled if side == "base")
            near = [m for m in base_modalities if direct(m, key)]
            query = (near or base_modalities)[0]
        lends = key in expert and anchor not in expert
        hop("base", query, key, "expert" if lends else None)
    for key in sorted(expert):
        if ("expert", key) not in filled:
            hop("expert", min(m for side, m in filled if side == "expert"), key)
    return tuple(hops)
