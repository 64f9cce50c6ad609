"""A describer of the mini world, which errs as language models do, as often as it is told to.

It writes what a language model would of a category (endless sentences, some of them about
something else, most of them repeating what is typical), and what a multimodal model would of an
item (a caption that may name the wrong thing). Every choice is a counter-based hash of the
category or the scene: any row can be written by itself, and the same on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reactions.core.errors import UsageError
from reactions.labs.mini.open_words import open_words
from reactions.labs.mini.sentences import (
    RANGES,
    Lexicon,
    Sense,
    Style,
    captions,
    known_words,
)
from reactions.labs.mini.subjects import Subject
from reactions.labs.mini.world import CLASSES, N_CLASSES, Scenes, below, bits, key_of

Vocabulary: TypeAlias = Literal["known", "open"]

DESCRIBER_VERSION = "mini-describer-1"
"""Changes whenever any description does."""

_PERCENT = ("stray", "bias", "silent", "noun_error", "omit", "mistake")
_CATEGORY_FILLERS = 3
_HEARD_PERCENT = 25  # of a category's sentences: a language model mostly tells what is seen
_CATEGORY_VARIANT = 1 << 20
_ITEM_VARIANT = (1 << 20) + 1
"""Writers, apart from those of corpora, evaluation sets and training."""

_NOTHING = "a scene"

_PICTURED = ("image", "event", "thermal", "depth")
"""Described on the scene's picture, by one writer: UniBind, supplement A.2, for event and thermal
data uses the paired picture."""


@dataclass(frozen=True, slots=True)
class Describer:
    """How the describer errs; shares are whole per cent.

    Attributes:
        vocabulary: ``"known"`` words are those that text towers were trained on; of ``"open"``
            ones, half are unknown to them.
        synonyms: whether a thing goes by any of its names, or by that of its class alone.
        stray: sentences of a category that are about something else.
        bias: attributes in sentences of a category that are its usual one, whatever the scene.
        silent: how often each attribute goes unmentioned in sentences of a category: most of them
            tell little but what it is.
        noun_error: captions of items that name another kind of thing.
        omit: how often each attribute goes unmentioned in captions of items.
        mistake: captions' attributes that are wrong.
        seed: of all choices.
    """

    vocabulary: Vocabulary = "known"
    synonyms: bool = True
    stray: int = 10
    bias: int = 70
    silent: int = 65
    noun_error: int = 10
    omit: int = 30
    mistake: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _PERCENT:
            if not 0 <= getattr(self, name) <= 100:
                raise UsageError(
                    f"the describer's {name} is {getattr(self, name)}",
                    why="it must be a whole number from 0 to 100, in per cent",
                )

    def about(self, subject: Subject, start: int, stop: int) -> list[str]:
        """Write about a category.

        Args:
            subject: what it is about.
            start: number of the first sentence.
            stop: of the one after the last.

        Returns:
            (stop - start) sentences.
        """
        number = np.arange(start, stop, dtype=np.uint64)
        key = key_of("describe-category", category=subject.name, seed=self.seed)
        identity = bits(key, number)
        kinds = np.array(subject.kinds or range(N_CLASSES))
        kind = kinds[self._draw("kind", identity, len(kinds))]
        stray = self._draw("stray", identity, 100) < self.stray
        other_kinds = np.array(
            [k for k in range(N_CLASSES) if k not in subject.kinds] or range(N_CLASSES)
        )
        kind = np.where(
            stray, other_kinds[self._draw("stray-kind", identity, len(other_kinds))], kind
        )
        scenes = Scenes(identity, kind, **self._attributes(subject, identity, stray))
        heard = self._draw("heard", identity, 100) < _HEARD_PERCENT
        style = replace(_STYLE, omit_percent=self.silent, fillers=_CATEGORY_FILLERS)
        # What is always so is what the class is about: a sentence on it says so.
        fixed_slots = tuple(name for name, _ in subject.fixed)
        texts = np.empty(len(number), object)
        for rows, lexicon, always in (
            (stray, self._lexicon(), ()),
            (~stray, self._lexicon(subject), fixed_slots),
        ):
            for sense, of_sense in _by_sense(heard):
                places = np.flatnonzero(rows & of_sense)
                if len(places):
                    texts[places] = captions(
                        scenes.take(places),
                        replace(style, sense=sense),
                        _CATEGORY_VARIANT,
                        lexicon,
                        always,
                    )
        # Of an empty place there may be nothing to say at all.
        return [text or _NOTHING for text in texts.tolist()]

    def of_items(self, modality: str, scenes: Scenes) -> list[str]:
        """Describe scenes as they come in one modality.

        Args:
            modality: sounds are described by what is heard, all else by what is seen.
            scenes: what is there.

        Returns:
            One caption a scene.
        """
        writer = "picture" if modality in _PICTURED else modality
        identity = bits(key_of("describe-item", writer=writer, seed=self.seed), scenes.identity)
        wrong = self._draw("noun-error", identity, 100) < self.noun_error
        # Another kind: any step around the circle of kinds but the whole one.
        step = 1 + self._draw("wrong-noun", identity, N_CLASSES - 1)
        kind = np.where(wrong, (scenes.kind + step) % N_CLASSES, scenes.kind)
        style = Style(
            "sound" if modality == "audio" else "sight",
            omit_percent=self.omit,
            mistake_percent=self.mistake,
        )
        described = replace(scenes, identity=identity, kind=kind)
        return captions(described, style, _ITEM_VARIANT, self._lexicon())

    def _attributes(
        self, subject: Subject, identity: NDArray[np.uint64], stray: NDArray[np.bool_]
    ) -> dict[str, NDArray[np.int64]]:
        """Return (n,) values of each attribute: the subject's own, its usual ones, or any."""
        fixed = dict(subject.fixed)
        values = {}
        for name, n_values in RANGES.items():
            usual = key_of("usual", category=subject.name, attribute=name) % n_values
            any_value = self._draw(name, identity, n_values)
            biased = self._draw(f"bias-{name}", identity, 100) < self.bias
            value = np.where(biased, usual, any_value)
            values[name] = np.where(stray, any_value, fixed[name]) if name in fixed else value
        return values

    def _lexicon(self, subject: Subject | None = None) -> Lexicon:
        lexicon = known_words() if self.vocabulary == "known" else open_words()
        slots = dict(lexicon.slots)
        if not self.synonyms:
            slots["noun"] = tuple(words[:1] for words in slots["noun"])
        for slot in ("noun", "verb"):
            if subject is not None and (subject_words := getattr(subject, f"{slot}s")):
                slots[slot] = (subject_words,) * len(CLASSES)
        return replace(lexicon, slots=slots)

    def _draw(self, name: str, identity: NDArray[np.uint64], n: int) -> NDArray[np.int64]:
        return below(bits(key_of("describer", choice=name), identity), n)


_STYLE = Style("sight", mistake_percent=0)


def _by_sense(
    heard: NDArray[np.bool_],
) -> tuple[tuple[Sense, NDArray[np.bool_]], tuple[Sense, NDArray[np.bool_]]]:
    return ("sound", heard), ("sight", ~heard)
