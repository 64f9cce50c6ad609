"""Words that the mini lab's text towers never met: what a writer with an open vocabulary uses."""

from __future__ import annotations

from functools import cache

from reactions.labs.mini.sentences import Lexicon, known_words
from reactions.labs.mini.world import CLASSES

_NOUNS = {
    "bell": "carillon handbell",
    "violin": "stradivari amati",
    "drum": "tom-tom bongo",
    "flute": "fife recorder",
    "trumpet": "cornet flugelhorn",
    "guitar": "lutelet vihuela",
    "piano": "grand spinet",
    "harp": "kora psaltery",
    "cello": "violoncello gamba",
    "accordion": "concertina bandoneon",
    "banjo": "shamisen sanshin",
    "clarinet": "chalumeau basset",
    "saxophone": "alto sopranino",
    "xylophone": "vibraphone balafon",
    "organ": "calliope portative",
    "tuba": "sousaphone helicon",
    "mandolin": "balalaika cittern",
    "harmonica": "bluesbox melodica",
    "tambourine": "riq pandeiro",
    "gong": "chau agung",
    "maracas": "cabasa shekere",
    "bagpipes": "gaita musette",
    "music_box": "trinket-casket chimer",
    "oboe": "hautbois heckelphone",
    "whistle": "flageolet ocarina",
    "dog": "canine spaniel",
    "cat": "feline tabby",
    "rooster": "cock chanticleer",
    "cow": "bovine cattle",
    "frog": "amphibian bullfrog",
    "cricket": "katydid locust",
    "crow": "corvid rook",
    "sheep": "ewe ram",
    "owl": "raptor strigid",
    "bee": "honeybee drone",
    "train": "express railcar",
    "helicopter": "rotorcraft copter",
    "motorcycle": "moped scrambler",
    "siren": "klaxon foghorn",
    "clock": "chronometer pendulum",
    "door": "portal entryway",
    "kettle": "samovar urn",
    "chainsaw": "logger's-tool trimmer",
    "typewriter": "remington olivetti",
    "telephone": "handset landline",
    "hammer": "sledge gavel",
    "washing_machine": "laundromat tumbler",
    "sewing_machine": "singer overlocker",
    "horse": "stallion mare",
    "duck": "teal drake",
}
_VERBS = (
    "resounding echoing performing vibrating proclaiming murmuring thrumming carolling sounding "
    "vocalising"
)
_COLOURS = ("scarlet maroon", "saffron lemon", "lavender mauve", "ivory chalky", "ebony sooty", "tangerine rust-tinted")  # noqa: E501  # fmt: skip
_SIZES = ("miniature dainty", "moderate average", "enormous towering")
_PLACES = ("parlour chamber", "avenue pavement", "thicket woodland", "lakeshore drizzle")
_COUNTS = ("solitary lone", "couple twosome", "trio threesome")
_PITCHES = ("resonant booming", "muted hushed", "treble soprano", "strident keening")
_TEMPOS = ("leisurely languid", "evenly rhythmic", "briskly hectic")
_FILLERS = (
    "beautifully afternoon vintage sunlight majestic captured background tradition delightful "
    "wooden remarkable moment photographer surrounded gently famous countryside evening "
    "crowd intricate detail weathered graceful quaint serene vivid"
)


@cache
def open_words() -> Lexicon:
    """Return words of which half, in each place, are unknown to text towers."""
    lexicon = known_words()
    nouns = tuple(_NOUNS[name] for name in CLASSES)
    verbs = (_VERBS,) * len(CLASSES)
    new_words = {
        "noun": nouns,
        "verb": verbs,
        "colour": _COLOURS,
        "size": _SIZES,
        "place": _PLACES,
        "count": _COUNTS,
        "pitch": _PITCHES,
        "tempo": _TEMPOS,
    }
    slots = {
        slot: tuple(
            _halved(old, tuple(new.split()))
            for old, new in zip(words, new_words[slot], strict=True)
        )
        for slot, words in lexicon.slots.items()
    }
    return Lexicon(slots, _halved(lexicon.fillers, tuple(_FILLERS.split())))


def _halved(known: tuple[str, ...], unknown: tuple[str, ...]) -> tuple[str, ...]:
    """Return both, repeated so that either is chosen as often."""
    return known * len(unknown) + unknown * len(known)
