"""What the classes of the mini lab's tasks are about: what may be there when one is meant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reactions.labs.mini import classes
from reactions.labs.mini.sentences import known_words
from reactions.labs.mini.world import CLASSES, N_COUNTS


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


def _views() -> tuple[Subject, ...]:
    words = known_words().slots
    subjects = []
    for i, name in enumerate(classes.VIEWS):
        place, count = divmod(i, N_COUNTS)
        plain = f"{words['place'][place][1]} {words['count'][count][1]}"
        subjects.append(
            Subject(
                name,
                fixed=(("place", place), ("count", count)),
                synonyms=(name.replace("_", " "), plain),
            )
        )
    return tuple(subjects)


def _presence() -> tuple[Subject, ...]:
    something, nothing = classes.PRESENCE
    return (Subject(something), Subject(nothing, nouns=("",), verbs=("",)))


def _topics() -> tuple[Subject, ...]:
    return tuple(Subject(name, kinds=kinds) for name, kinds in classes.topic_kinds().items())


def _actions() -> tuple[Subject, ...]:
    return tuple(
        Subject(name, kinds=(kind,), synonyms=(name.replace("_", " "),))
        for kind, name in enumerate(classes.ACTIONS)
    )


SUBJECTS: tuple[Subject, ...] = (*_kinds(), *_views(), *_presence(), *_topics(), *_actions())
"""Of all classes of all miniature tasks, each name once."""


def subjects_by_name() -> Mapping[str, Subject]:
    """Return the subject of each class."""
    return {subject.name: subject for subject in SUBJECTS}
