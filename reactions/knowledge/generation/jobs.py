"""What is to be described: the categories of a set, or the items of a corpus."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from reactions.core.errors import DataError, MediaError, UsageError
from reactions.core.types import Corpus, Item, Modality
from reactions.data.holdout import has_own_ids
from reactions.eval.registry import task_names
from reactions.knowledge.base import LLM, MLLM, UNLABELLED, DescribedCorpus
from reactions.knowledge.checks import CategoryNames
from reactions.knowledge.generation.base import Generator, Question, Trouble
from reactions.knowledge.generation.lists import Sentences, read_description, read_sentences
from reactions.knowledge.generation.media import attachments_of, refuse_unsendable
from reactions.knowledge.generation.prompts import Prompts
from reactions.knowledge.generation.screening import Rules, Screen
from reactions.knowledge.generation.subjects import DescriptionSubject, Making

MAX_DESCRIPTIONS = 10_000_000
"""That one run may be asked for: ten times the thousand of each of ImageNet's classes."""

_SHOWN = 3


@dataclass(frozen=True)
class DescriptionJob:
    """What a generator is to do.

    Attributes:
        dataset: what the descriptions are of, for the file's metadata.
        subjects: categories or items, in the order of the file.
        making: how questions are made and answers read.
        settings: what decides the questions: another run with the same goes on.
        prompts: that are used.
        source: of the rows.
        modality: of the items; "" for categories.
        items: for the file's metadata; empty for categories.
        example: a question such as will be asked, for estimates.
        notices: what a person should know, a sentence each.
    """

    dataset: str
    subjects: tuple[DescriptionSubject, ...]
    making: Making
    settings: Mapping[str, Any]
    prompts: Prompts
    source: str
    modality: Modality
    items: Mapping[Modality, DescribedCorpus]
    example: Question
    notices: tuple[str, ...] = ()


def category_job(
    dataset: str,
    classes: Sequence[str],
    generator: Generator,
    prompts: Prompts,
    *,
    per_class: int = 1000,
    batch: int = 50,
    rules: Rules | None = None,
) -> DescriptionJob:
    """Return the job of describing categories.

    Args:
        dataset: whose they are.
        classes: their names; those of one name are one category, which a notice says.
        generator: that is asked.
        prompts: from ``choose_prompts``.
        per_class: descriptions of each.
        batch: that one question asks for.
        rules: which rows are kept; the defaults if None.

    Raises:
        UsageError: a number is below 1, or more than ``MAX_DESCRIPTIONS`` are wanted.
        DataError: there are no classes.
    """
    _at_least_one(per_class=per_class, batch=batch)
    if not classes:
        raise DataError(f"'{dataset}' has no classes")
    counts, classes = Counter(classes), tuple(dict.fromkeys(classes))
    _bounded(len(classes), per_class=per_class)
    rules = rules or Rules()
    names = CategoryNames(classes) if rules.drop_other_class else None
    screen = Screen(rules, names, LLM)

    def question(subject: DescriptionSubject, number: int, size: int) -> Question:
        prompt = prompts.fill(number, category=subject.category, count=size)
        seed = _seed(generator, subject.key, number)
        return Question(prompt, prompts.system, (), subject.category, None, size, seed, number)

    def read(text: str, was_cut: bool) -> Sentences:
        return read_sentences(text, was_cut=was_cut)

    subjects = tuple(DescriptionSubject(category, category, per_class) for category in classes)
    return DescriptionJob(
        dataset,
        subjects,
        Making(question, read, screen, batch),
        {"descriptions of": "categories", **_settings(generator, prompts)},
        prompts,
        LLM,
        "",
        {},
        question(subjects[0], 0, min(batch, per_class)),
        tuple(
            f"{n} classes of '{dataset}' are called '{name}': they are one category, described once"
            for name, n in counts.items()
            if n > 1
        ),
    )


def item_job(
    corpus: Corpus,
    name: str,
    generator: Generator,
    prompts: Prompts,
    *,
    categories: Sequence[str] | None = None,
    pictures: Corpus | None = None,
    per_item: int = 1,
    rules: Rules | None = None,
) -> DescriptionJob:
    """Return the job of describing items.

    Args:
        corpus: of the items.
        name: of the corpus, by which it is found again.
        generator: that is asked.
        prompts: from ``choose_prompts``.
        categories: of the items, in order; None where they are not known.
        pictures: what is described in place of the items, paired with them by id.
        per_item: descriptions of each.
        rules: which rows are kept; of items none is dropped for naming another class.

    Raises:
        UsageError: a number is below 1, too many are wanted, or the generator does not take such
            items.
        DataError: an item has no picture, or ids are not unique, or numbers of rows.
    """
    _at_least_one(per_item=per_item)
    shown = corpus.modality if pictures is None else pictures.modality
    sees = getattr(generator, "sees_items", False)
    if not sees:
        refuse_unsendable(shown, generator)
    for described in (corpus,) if pictures is None else (corpus, pictures):
        _refuse_numbers_for_ids(described)
    screen = Screen(rules or Rules(), None, MLLM, corpus.modality)
    _bounded(len(corpus), per_item=per_item)
    rows = _ids(corpus)
    paired, how = (None, "") if pictures is None else _paired(corpus, rows, pictures)

    def question(subject: DescriptionSubject, number: int, size: int) -> Question:
        row = rows[subject.key]
        source, at = (
            (corpus, row) if pictures is None or paired is None else (pictures, paired[row])
        )
        (item,) = source.items(at, at + 1)
        try:
            attached = () if sees else attachments_of(item)
        except MediaError as error:  # of this item alone: the others are described
            raise Trouble("item cannot be decoded", error.why or error.what, is_final=True) from (
                error
            )
        prompt = prompts.fill(number, category=subject.category, modality=shown)
        seed = _seed(generator, subject.key, number)
        return Question(
            prompt, prompts.system, attached, subject.category, subject.item, 1, seed, number
        )

    def read(text: str, was_cut: bool) -> Sentences:
        return read_description(text, was_cut=was_cut)

    labels = [UNLABELLED] * len(corpus) if categories is None else list(categories)
    subjects = tuple(
        DescriptionSubject(key, label, per_item, Item(key, corpus.modality, None))
        for key, label in zip(rows, labels, strict=True)
    )
    settings = {
        "descriptions of": f"items of {name}",
        "items": corpus.digest,
        "pictures": "" if pictures is None else pictures.digest,
        **_settings(generator, prompts),
    }
    # What corpora leave out is not described: said here, as plans say it.
    notices = [*getattr(corpus, "notices", ()), *getattr(pictures, "notices", ())]
    notices += [how] if how else []
    if categories is None:
        notices.append(f"the items of '{name}' have no classes: their category is '{UNLABELLED}'")
    example = Question(prompts.fill(0, category=labels[0], modality=shown), prompts.system)
    return DescriptionJob(
        name,
        subjects,
        Making(question, read, screen, 1),
        settings,
        prompts,
        MLLM,
        corpus.modality,
        {corpus.modality: DescribedCorpus(name, corpus.digest)},
        example,
        tuple(notices),
    )


def _settings(generator: Generator, prompts: Prompts) -> dict[str, Any]:
    return {
        "generator": generator.name,
        "prompts": list(prompts.templates),
        "system": prompts.system,
    }


def _seed(generator: Generator, key: str, number: int) -> int | None:
    """Return the seed of a question: of its own, so that no two get the same answer."""
    if not generator.has_seed:
        return None
    base = getattr(generator, "seed", 0)
    text = f"molspace:question\n{base}\n{number}\n{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 1


def _at_least_one(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise UsageError(
                f"--{name.replace('_', '-')} is {value}", why="it must be a number from 1 up"
            )


def _bounded(n: int, **count: int) -> None:
    ((name, value),) = count.items()
    if n * value > MAX_DESCRIPTIONS:
        option = f"--{name.replace('_', '-')}"
        most = MAX_DESCRIPTIONS // n
        raise UsageError(
            f"{n * value:,} descriptions are wanted",
            why=f"{option} {value:,} of {n:,}; a run makes {MAX_DESCRIPTIONS:,} at most",
            fix=f"{option} {most} at most" if most else "describe them in parts",
        )


_BLOCK_ROWS = 1 << 12


def _refuse_numbers_for_ids(corpus: Corpus) -> None:
    """Refuse items that have no names: descriptions, and pictures, are found by ids alone.

    Raises:
        DataError: ids are numbers of rows.
    """
    if len(corpus) and not has_own_ids(corpus):
        raise DataError(
            f"{corpus.name}: items have no ids of their own",
            why="items, their pictures and their descriptions belong together by ids, not by "
            "position",
            fix="give the items ids",
            corpus=corpus.name,
        )


def _ids(corpus: Corpus) -> dict[str, int]:
    """Return the row of each id."""
    read_ids = getattr(corpus, "ids", None)  # where nothing has to be rendered or read for it
    if callable(read_ids):
        ids = list(read_ids())
    else:
        ids = [
            item.id
            for start in range(0, len(corpus), _BLOCK_ROWS)
            for item in corpus.items(start, min(start + _BLOCK_ROWS, len(corpus)))
        ]
    rows = {id: row for row, id in enumerate(ids)}
    if len(rows) < len(ids):
        raise DataError(f"corpus '{corpus.name}' has repeated ids", corpus=corpus.name)
    return rows


def _paired(corpus: Corpus, rows: Mapping[str, int], pictures: Corpus) -> tuple[list[int], str]:
    """Return the row of the picture of each item, and how they were found.

    By id; where that finds nothing, by what corpora know that their rows show (``subjects``); or
    by ids without the endings of files, the names of the modalities, and those of evaluation sets
    in front.
    """
    picture_rows = _ids(pictures)
    how = f"pictures are those of '{pictures.name}' with the same ids"
    if not rows.keys() & picture_rows.keys() and (same := _of_the_same(corpus, rows, pictures)):
        picture_rows, how = same, f"pictures are those of '{pictures.name}' that show the same"
    if not rows.keys() & picture_rows.keys():
        by_stem = {_stem(id, pictures.modality): row for id, row in picture_rows.items()}
        stems = {_stem(id, corpus.modality) for id in rows}
        if len(by_stem) == len(picture_rows) and len(stems) == len(rows):
            picture_rows = {
                id: by_stem[stem] for id in rows if (stem := _stem(id, corpus.modality)) in by_stem
            }
            how = (
                f"pictures are those of '{pictures.name}' with the same ids but for endings and "
                "names of modalities and sets"
            )
    absent = [id for id in rows if id not in picture_rows]
    if absent:
        raise DataError(
            f"{len(absent):,} of {len(rows):,} items of '{corpus.name}' have no picture",
            why=f"'{pictures.name}' has no items {', '.join(absent[:_SHOWN])}"
            + (", ..." if len(absent) > _SHOWN else ""),
            fix="name a corpus whose ids are those of the items; pairs are not made by position",
            corpus=corpus.name,
            pictures=pictures.name,
        )
    return [picture_rows[id] for id in rows], how


def _of_the_same(
    corpus: Corpus, rows: Mapping[str, int], pictures: Corpus
) -> dict[str, int] | None:
    """Return ids to the rows of pictures of the same; None where the corpora do not know it."""
    item_subjects, picture_subjects = (
        getattr(side, "subjects", None) for side in (corpus, pictures)
    )
    if not (callable(item_subjects) and callable(picture_subjects)):
        return None
    shown = {subject: row for row, subject in enumerate(picture_subjects())}
    of_row = list(item_subjects())
    if len(shown) < len(pictures):  # several pictures of one thing: none is the item's own
        return None
    return {id: shown[of_row[row]] for id, row in rows.items() if of_row[row] in shown}


def _stem(id: str, modality: Modality) -> str:
    """Return an id without its file's ending, its modality's name and its evaluation set's."""
    path = PurePosixPath(id)
    name = str(path.with_suffix("")) if path.name and path.suffix else id
    head, slash, rest = name.partition("/")
    # Running numbers of two sets say nothing about each other.
    if slash and head in task_names() and not rest.isdecimal():
        name = rest
    return name.replace(modality, "*")
