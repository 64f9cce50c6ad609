"""What describes a task's classes: descriptions found by the classes' names, as one corpus."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reactions.core.errors import DataError, did_you_mean
from reactions.core.hashing import digest
from reactions.data.corpora import TextCorpus

CLIP_TEMPLATE = "a photo of a {class}."
"""What CLIP's paper takes where it takes one template (section 3.1.4)."""

CLIP_TEMPLATES = (
    "itap of a {class}.",
    "a bad photo of the {class}.",
    "a origami {class}.",
    "a photo of the large {class}.",
    "a {class} in a video game.",
    "art of the {class}.",
    "a photo of the small {class}.",
)
"""OpenAI's seven, chosen from its 80 for ImageNet: notebooks/Prompt_Engineering_for_ImageNet.ipynb
of its CLIP repository. "itap" is "I took a picture"; "a origami" is theirs, too."""

BARE_NAME = "{class}"
"""The name of the class alone."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ClassTexts:
    """Texts of classes, each embedded once however many classes share them.

    Attributes:
        corpus: the texts of all categories, one category after the other.
        spans: of each class, the first of its texts in the corpus and the one after the last.
    """

    corpus: TextCorpus
    spans: tuple[tuple[int, int], ...]

    @property
    def counts(self) -> tuple[int, ...]:
        """Texts of each class."""
        return tuple(stop - start for start, stop in self.spans)


def match_classes(
    classes: Sequence[str],
    categories: Sequence[str],
    *,
    where: str,
    names_of: Callable[[str], Sequence[str]] = lambda category: (category,),
    fix: str = "",
) -> tuple[str, ...]:
    """Find the category of each class by its name.

    A category whose whole text is the class's name is taken, else one whose first name it is,
    else one that has it among its other names: "tub" is "tub, vat", not "bath, tub". In each of
    these, a name that differs in nothing but case, blanks and underscores comes second. Classes
    of one name, as ImageNet's two cranes are, share a category; where as many categories begin
    with the name, they are taken in turn.

    Args:
        classes: names.
        categories: distinct.
        where: the categories are from, for the error.
        names_of: the names that a category goes by: its whole text, then the others.
        fix: what else may be done about missing classes.

    Returns:
        One category a class.

    Raises:
        DataError: some classes have none, and it names them and what is nearest; or several
            categories have a class's name, and nothing says which is meant.
    """
    names = _CategoryNames(categories, names_of)
    categories_of: dict[str, list[str]] = {}
    for name, n in Counter(classes).items():
        matching = names.matching(name)
        if n > 1 and len(heads := names.beginning_with(name)) == n:
            matching = heads
        categories_of[name] = matching
    if missing := [name for name in classes if not categories_of[name]]:
        raise _missing(missing, len(classes), names.known, where, fix)
    unclear = {
        name: categories_of[name]
        for name, n in Counter(classes).items()
        if len(categories_of[name]) not in (1, n)
    }
    if unclear:
        raise _unclear(unclear, len(classes), where)
    turns = {name: itertools.cycle(matching) for name, matching in categories_of.items()}
    return tuple(next(turns[name]) for name in classes)


_WHOLE, _FIRST, _OTHER = range(3)
"""Of the names of a category: its whole text, the first, and all others."""


class _CategoryNames:
    """Categories by their names: as whole texts, as first names, and as any other."""

    def __init__(self, categories: Sequence[str], names_of: Callable[[str], Sequence[str]]) -> None:
        self._exact: tuple[dict[str, list[str]], ...] = ({}, {}, {})
        self._spoken: tuple[dict[str, list[str]], ...] = ({}, {}, {})
        for category in categories:
            for place, name in enumerate(dict.fromkeys(names_of(category))):
                rank = min(place, _OTHER)
                self._exact[rank].setdefault(name, []).append(category)
                spoken = self._spoken[rank].setdefault(spoken_name(name), [])
                if category not in spoken:
                    spoken.append(category)
        self._places = {category: place for place, category in enumerate(categories)}
        self.known = list(dict.fromkeys(itertools.chain(*self._exact)))

    def matching(self, name: str) -> list[str]:
        """Return the categories that a name fits best; [] if none has it."""
        for exact, spoken in zip(self._exact, self._spoken, strict=True):
            if matching := exact.get(name) or spoken.get(spoken_name(name)):
                return matching
        return []

    def beginning_with(self, name: str) -> list[str]:
        """Return the categories whose whole text or first name is exactly this, in order."""
        of_name = (*self._exact[_WHOLE].get(name, ()), *self._exact[_FIRST].get(name, ()))
        return sorted(of_name, key=self._places.__getitem__)


def class_texts(
    name: str, categories: Sequence[str], texts_of: Callable[[str], Sequence[str]]
) -> ClassTexts:
    """Gather the texts of classes into a corpus.

    Args:
        name: of the corpus, for messages.
        categories: one a class; those that come again are embedded once.
        texts_of: a category to its texts.

    Raises:
        DataError: a category has none.
    """
    texts: list[str] = []
    ids: list[str] = []
    spans: dict[str, tuple[int, int]] = {}
    empty: list[str] = []
    for category in dict.fromkeys(categories):
        category_texts = texts_of(category)
        spans[category] = (len(texts), len(texts) + len(category_texts))
        texts += category_texts
        # Of the text, not of its place: what is embedded is found again when rows were added.
        ids += _distinct_ids(category, category_texts)
        if not category_texts:
            empty.append(category)
    if empty:
        raise DataError(
            f"{len(empty)} of {len(spans)} classes have no descriptions in {name}",
            why=_listed(empty),
            fix="molspace kb build --classes FILE describes classes",
            classes=empty[:20],
        )
    return ClassTexts(
        TextCorpus(name, texts, ids), tuple(spans[category] for category in categories)
    )


def shared_classes(classes: Sequence[str], categories: Sequence[str]) -> list[list[str]]:
    """Return groups of classes that have one category, and so cannot be told apart."""
    groups: dict[str, list[str]] = {}
    for name, category in zip(classes, categories, strict=True):
        groups.setdefault(category, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def synset_names(category: str) -> tuple[str, ...]:
    """Return the names that a category goes by: itself, and the parts between its commas.

    So UniBind's centres of ImageNet name classes: "tench, Tinca tinca".
    """
    parts = [part.strip() for part in category.split(",")]
    return tuple(dict.fromkeys([category, *filter(None, parts)]))


def names_as_texts(
    classes: Sequence[str], categories: Sequence[str], synonyms_of: Callable[[str], Sequence[str]]
) -> Mapping[str, list[str]]:
    """Return a class's name and the synonyms of its category, as texts, without repetitions."""
    names: dict[str, list[str]] = {}
    for name, category in zip(classes, categories, strict=True):
        texts = [
            " ".join(text.replace("_", " ").split()) for text in (name, *synonyms_of(category))
        ]
        # Names that differ in case alone are one, written as it comes first.
        distinct: dict[str, str] = {}
        for text in texts:
            distinct.setdefault(text.casefold(), text)
        names[name] = list(distinct.values())
    return names


def _distinct_ids(category: str, texts: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    ids = []
    for text in texts:
        text_id = digest("description", [category, text])[:16]
        counts[text_id] = counts.get(text_id, 0) + 1
        ids.append(text_id if counts[text_id] == 1 else f"{text_id}#{counts[text_id]}")
    return ids


def spoken_name(name: str) -> str:
    """Return a name without what does not tell it from others: case, blanks, underscores."""
    return " ".join(name.replace("_", " ").split()).casefold()


def _unclear(matching: Mapping[str, Sequence[str]], n_classes: int, where: str) -> DataError:
    shown = [
        f"{name}: {_listed([repr(category) for category in categories])}"
        for name, categories in [*matching.items()][:_SHOWN]
    ]
    more = len(matching) - len(shown)
    return DataError(
        f"{len(matching)} of {n_classes} classes have the name of several categories in {where}",
        why="; ".join(shown) + (f"; and {more} more" if more > 0 else ""),
        fix="name each class as the category that is meant",
        classes=[*matching],
    )


def _missing(
    missing: Sequence[str], n_classes: int, categories: Sequence[str], where: str, fix: str
) -> DataError:
    distinct = list(dict.fromkeys(missing))
    near: dict[str, Any] = {
        name: did_you_mean(name, categories, limit=1) for name in distinct[:_SHOWN]
    }
    shown = [
        f"{name} (nearest: {nearest[0]})" if nearest else f"{name} (nothing is near)"
        for name, nearest in near.items()
    ]
    more = len(distinct) - len(shown)
    return DataError(
        f"{len(missing)} of {n_classes} classes are not in {where}",
        why=", ".join(shown) + (f" and {more} more" if more > 0 else ""),
        fix=fix,
        classes=distinct,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
