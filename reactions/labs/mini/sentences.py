"""Scenes in words: captions of what is seen and of what is heard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reactions.labs.mini.world import (
    CLASSES,
    N_COLOURS,
    N_COUNTS,
    N_PITCHES,
    N_PLACES,
    N_SIZES,
    N_TEMPOS,
    Scenes,
    bits,
    key_of,
)

Sense: TypeAlias = Literal["sight", "sound"]


@dataclass(frozen=True, slots=True)
class Style:
    """How captions are written.

    Attributes:
        sense: what the writer perceived: an image or a sound.
        omit_percent: how often each attribute goes unmentioned.
        mistake_percent: how often a mentioned attribute is wrong.
        fillers: at most this many words that say nothing.
        neglects: attributes that go unmentioned four times out of five.
    """

    sense: Sense
    omit_percent: int = 15
    mistake_percent: int = 2
    fillers: int = 2
    neglects: tuple[str, ...] = ()


_SYNONYMS: dict[str, str] = {
    "bell": "bell chime; ringing tolling",
    "violin": "violin fiddle; bowing playing",
    "drum": "drum snare; beating drumming",
    "flute": "flute piccolo; piping playing",
    "trumpet": "trumpet bugle; blaring playing",
    "guitar": "guitar ukulele; strumming playing",
    "piano": "piano keyboard; tinkling playing",
    "harp": "harp lyre; plucking playing",
    "cello": "cello viola; bowing droning",
    "accordion": "accordion squeezebox; wheezing playing",
    "banjo": "banjo lute; twanging playing",
    "clarinet": "clarinet reed; tooting playing",
    "saxophone": "saxophone sax; wailing playing",
    "xylophone": "xylophone marimba; clinking tinkling",
    "organ": "organ harmonium; droning playing",
    "tuba": "tuba bombardon; oompahing blaring",
    "mandolin": "mandolin bouzouki; strumming twanging",
    "harmonica": "harmonica mouth-organ; wheezing playing",
    "tambourine": "tambourine jingle; jingling shaking",
    "gong": "gong tam-tam; crashing ringing",
    "maracas": "maracas rattle; rattling shaking",
    "bagpipes": "bagpipes pipes; skirling droning",
    "music_box": "music_box jewel-box; tinkling chiming",
    "oboe": "oboe shawm; piping tooting",
    "whistle": "whistle pennywhistle; whistling shrilling",
    "dog": "dog hound; barking yapping",
    "cat": "cat kitten; meowing mewing",
    "rooster": "rooster cockerel; crowing calling",
    "cow": "cow heifer; mooing lowing",
    "frog": "frog toad; croaking calling",
    "cricket": "cricket grasshopper; chirping stridulating",
    "crow": "crow raven; cawing croaking",
    "sheep": "sheep lamb; bleating baaing",
    "owl": "owl owlet; hooting calling",
    "bee": "bee bumblebee; buzzing humming",
    "train": "train locomotive; rumbling chugging",
    "helicopter": "helicopter chopper; whirring thudding",
    "motorcycle": "motorcycle motorbike; revving roaring",
    "siren": "siren alarm; wailing blaring",
    "clock": "clock timepiece; ticking chiming",
    "door": "door gate; creaking slamming",
    "kettle": "kettle teapot; whistling hissing",
    "chainsaw": "chainsaw saw; roaring buzzing",
    "typewriter": "typewriter teletype; clacking tapping",
    "telephone": "telephone phone; ringing buzzing",
    "hammer": "hammer mallet; banging knocking",
    "washing_machine": "washing_machine washer; churning humming",
    "sewing_machine": "sewing_machine stitcher; rattling whirring",
    "horse": "horse pony; neighing clopping",
    "duck": "duck mallard; quacking calling",
}
"""Nouns; verbs. The first noun is the class name; verbs are shared by several kinds."""

_COLOURS = ("red crimson", "yellow golden", "purple violet", "white pale", "black dark", "orange amber")  # noqa: E501  # fmt: skip
_SIZES = ("small little tiny", "medium mid-sized", "large big huge")
_PLACES = ("room indoors", "street roadside", "forest woods", "water rain")
_COUNTS = ("one single", "two pair twice", "three several thrice")
_PITCHES = ("deep bass", "low mellow", "high bright", "shrill piercing")
_TEMPOS = ("slowly unhurried", "steadily regularly", "quickly fast rapidly")
_FILLERS = (
    "a the there is some this here we you can and with it of that scene clip perhaps quite "
    "very just nearby someone something appears seems again day old"
)
_OPENINGS: dict[Sense, str] = {
    "sight": "a photo of|an image of|a picture showing|we see|there is|look,|",
    "sound": "the sound of|this is a sound of|a recording of|we hear|there is|listen,|",
}
_ORDERS: dict[Sense, tuple[tuple[str, ...], ...]] = {
    "sight": (
        ("count", "size", "colour", "noun", "place"),
        ("noun", "count", "colour", "size", "place"),
        ("place", "count", "colour", "size", "noun"),
    ),
    "sound": (
        ("count", "pitch", "noun", "verb", "tempo", "place"),
        ("noun", "verb", "pitch", "tempo", "count", "place"),
        ("place", "tempo", "verb", "pitch", "noun", "count"),
    ),
}


@dataclass(frozen=True, slots=True)
class Lexicon:
    """The words that writers choose from.

    Attributes:
        slots: for each slot (noun, verb, colour, ...) the words of each value.
        fillers: words that say nothing.
    """

    slots: Mapping[str, tuple[tuple[str, ...], ...]]
    fillers: tuple[str, ...]


@cache
def known_words() -> Lexicon:
    """Return the words of all captions that text towers are trained on."""

    def split(texts: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(text.replace("_", " ") for text in group.split()) for group in texts)

    kinds = [_SYNONYMS[name].split(";") for name in CLASSES]
    slots = {
        "noun": split(tuple(nouns for nouns, _ in kinds)),
        "verb": split(tuple(verbs for _, verbs in kinds)),
        "colour": split(_COLOURS),
        "size": split(_SIZES),
        "place": split(_PLACES),
        "count": split(_COUNTS),
        "pitch": split(_PITCHES),
        "tempo": split(_TEMPOS),
    }
    return Lexicon(slots, tuple(_FILLERS.split()))


RANGES: Mapping[str, int] = {
    "colour": N_COLOURS,
    "size": N_SIZES,
    "place": N_PLACES,
    "count": N_COUNTS,
    "pitch": N_PITCHES,
    "tempo": N_TEMPOS,
}
"""Attributes of a scene, and how many values each has."""

_SLOTS = ("noun", "verb", *RANGES)


def captions(
    scenes: Scenes,
    style: Style,
    variant: int = 0,
    lexicon: Lexicon | None = None,
    always: tuple[str, ...] = (),
) -> list[str]:
    """Describe scenes.

    Args:
        scenes: what to describe.
        style: how.
        variant: another number is another writer of the same kind.
        lexicon: the words that there are; those that text towers know by default.
        always: attributes that never go unmentioned, where the sense has them.

    Returns:
        One caption a scene, never empty: at least a noun or a verb is kept.
    """
    lexicon = lexicon or known_words()
    draws = _draws(scenes, style, variant)
    values = {
        "noun": scenes.kind,
        "verb": scenes.kind,
        **{name: getattr(scenes, name) for name in RANGES},
    }
    words_of_slot: dict[str, list[str]] = {}
    for slot in _ORDERS[style.sense][0]:
        value = values[slot]
        if slot in RANGES:
            wrong = draws[f"mistake-{slot}"] % 100 < style.mistake_percent
            value = np.where(wrong, draws[f"wrong-{slot}"] % RANGES[slot], value)
        omit_percent = 80 if slot in style.neglects else style.omit_percent
        omit_percent = 0 if slot in always else omit_percent
        omitted = draws[f"omit-{slot}"] % 100 < omit_percent
        if slot == "noun":  # a sound may go by its verb alone, now and then
            omitted &= draws["omit-verb"] % 100 >= style.omit_percent
            omitted &= style.sense == "sound"
        table = lexicon.slots[slot]
        words_of_slot[slot] = [
            "" if is_omitted else table[v][pick % len(table[v])]
            for is_omitted, v, pick in zip(
                omitted.tolist(), value.tolist(), draws[f"word-{slot}"].tolist(), strict=True
            )
        ]
    orders = _ORDERS[style.sense]
    order = (draws["order"] % len(orders)).tolist()
    openings = _OPENINGS[style.sense].split("|")
    opening = (draws["opening"] % len(openings)).tolist()
    fillers = lexicon.fillers
    n_fillers = (draws["fillers"] % (style.fillers + 1)).tolist()
    out = []
    for i in range(len(scenes)):
        parts = [openings[opening[i]], *(words_of_slot[slot][i] for slot in orders[order[i]])]
        for k in range(n_fillers[i]):
            word = fillers[int(draws[f"filler-{k}"][i]) % len(fillers)]
            parts.insert(int(draws[f"filler-at-{k}"][i]) % len(parts), word)
        out.append(" ".join(part for part in parts if part))
    return out


def _draws(scenes: Scenes, style: Style, variant: int) -> dict[str, NDArray[np.int64]]:
    """Return (n,) non-negative random integers for each choice a writer makes."""
    names = ["order", "opening", "fillers"]
    names += [f"{what}-{k}" for k in range(style.fillers) for what in ("filler", "filler-at")]
    names += [f"{what}-{slot}" for slot in _SLOTS for what in ("omit", "word", "mistake", "wrong")]
    key = key_of("caption", sense=style.sense, variant=variant)
    return {
        # 31 bits, which are never negative as int64.
        name: (bits(key ^ key_of(name), scenes.identity) >> np.uint64(33)).astype(np.int64)
        for name in names
    }
