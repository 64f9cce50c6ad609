"""What the classes of the mini lab's tasks are about: what may be there when one is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.labs.mini.sentences import known_words
from reactions.labs.mini.world import CLASSES


@dataclass(frozen=True, slots=True)
class Subject:
    """What a class is about.

    Attributes:
        name: of the class, letter for letter as tasks give it.
        kinds: of things that may be there, indices into ``CLASSES``; () where any may be.
        fixed: attributes that are always the same, with their values, such as
            ``(("place", 2),)``.
        nouns: what is said to be there, in place of a kind's own nouns; ``("",)`` says nothing.
        verbs: likewise, of what it does.
        synonyms: names of the class that a person would use, the usual one first.
    """

    name: str
    kinds: tuple[int, ...] = ()
    fixed: tuple[tuple[str, int], ...] = ()
    nouns: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    synonyms: tuple[str, ...] = ()


def _kinds() -> tuple[Subject, ...]:
    nouns = known_words().slots["noun"]
    return tuple(
        Subject(name, kinds=(kind,), synonyms=nouns[kind]) for kind, name in enumerate(CLASSES)
    )


SUBJECTS: tuple[Subject, ...] = _kinds()
"""Of all classes of all miniature tasks, each name once."""


def subjects_by_name() -> Mapping[str, Subject]:
    """Return the subject of each class."""
    return {subject.name: subject for subject in SUBJECTS}
