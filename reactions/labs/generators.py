"""Generators of descriptions as a lab has them, and what of it they may describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reactions.core.errors import MissingError, UsageError, did_you_mean, suggestion
from reactions.core.local_files import expand_user, is_file, read_text_file
from reactions.core.types import Corpus, Item, Modality
from reactions.data.path_like import file_reason
from reactions.data.unmarked_tables import FIRST_LINES, why_a_table
from reactions.eval.registry import loadable_sets, reserved
from reactions.eval.task_data import ClassificationData, MultilabelData
from reactions.knowledge.generation.base import Answer, Generator, Question, Trouble
from reactions.knowledge.generation.registry import open_generator
from reactions.knowledge.generation.specification import GeneratorSpec
from reactions.labs.lab import Lab

_LIST_BYTES = 16 << 20
_KNOBS = ("bias", "mistake", "noun_error", "omit", "seed", "silent", "stray")
_OPTIONS = (*_KNOBS, "synonyms", "vocabulary")
_DESCRIBED = "--corpus world:{modality}   or a part of a set with classes, as caltech101:train"
_STRIDE = 1 << 12
"""Sentences between the first ones of two questions about one category."""


def generator_of(lab: Lab, text: str) -> Generator:
    """Return the generator that a text names; the mini lab brings one of its own.

    Raises:
        UsageError: no generator has the name, or it cannot make sense of the rest.
        MissingError: a package or a model is missing.
    """

    def mini(spec: GeneratorSpec) -> Generator:
        if not lab.world_tasks:
            raise UsageError(
                "generator 'mini' describes the mini world alone",
                why=f"lab '{lab.name}' is not of it",
                fix="--lab mini   or another generator: openai:MODEL, hf:REPO",
            )
        return MiniGenerator(spec, lab.seed)

    return open_generator(text, {"mini": mini})


class MiniGenerator:
    """The mini lab's describer, asked as a language model is.

    Args:
        spec: how it errs.
        seed: of the lab, by which its scenes are known.
    """

    place = "this machine"
    is_remote = False
    has_seed = False  # its seed is the describer's, and a part of its name
    at_once = 1
    licence = "Apache-2.0"
    modalities: tuple[Modality, ...] = ()
    sees_items = True

    def __init__(self, spec: GeneratorSpec, seed: int) -> None:
        from reactions.labs.mini.describer import Describer

        spec.refuse_unknown(_OPTIONS)
        if spec.rest:
            raise UsageError(
                f"generator 'mini' has no model '{spec.rest}'",
                fix="mini   or with options: mini?vocabulary=open&stray=10",
            )
        options: dict[str, Any] = {
            name: spec.integer(name, None, low=0, high=100 if name != "seed" else 2**31 - 1)
            for name in _KNOBS
            if name in spec.options
        }
        if "vocabulary" in spec.options:
            options["vocabulary"] = spec.choice("vocabulary", "known", ("known", "open"))
        if "synonyms" in spec.options:
            options["synonyms"] = spec.flag("synonyms", default=True)
        self._describer = Describer(**{"seed": seed, **options})
        self._seed = seed
        self.name = spec.canonical("", {**options, "lab_seed": seed})
        self.shown = spec.canonical("", options)

    def notices(self) -> list[str]:
        """Return nothing: it needs neither keys nor connections."""
        return []

    def prepare(self) -> None:
        """Check nothing: the describer is a part of the library."""

    async def close(self) -> None:
        """Let go of nothing."""

    def why_not(self, category: str, item: Item | None) -> tuple[str, str] | None:
        """Return why something cannot be described, and how to fix that; None if it can."""
        from reactions.labs.mini.subjects import subjects_by_name

        if item is not None:
            from reactions.labs import mini
            from reactions.labs.mini.found import scene_of

            described = mini.described_modalities()
            if item.modality not in described:
                fix = f"--corpus world:MODALITY, one of: {', '.join(described)}"
                return f"the mini world describes no {item.modality} items", fix
            if scene_of(item, self._seed) is None:
                fix = _DESCRIBED.format(modality=item.modality)
                return "it is not a scene that the mini describer finds by its id", fix
        elif category not in (subjects := subjects_by_name()):
            fix = suggestion(category, subjects) if did_you_mean(category, subjects) else ""
            return (
                "the mini world has no such class",
                fix or "--classes imagenet, a task of --lab mini",
            )
        return None

    async def answer(self, question: Question) -> Answer:
        """Write about a category, or describe an item of the mini world."""
        from reactions.labs.mini.describer import DESCRIBER_VERSION

        written = self._about(question) if question.item is None else [self._of_item(question)]
        lines = (f"{number}. {text}" for number, text in enumerate(written, start=1))
        text = "\n".join(lines) if question.item is None else written[0]
        n_tokens = len(text) // 4 + 1
        return Answer(text, DESCRIBER_VERSION, tokens_in=0, tokens_out=n_tokens)

    def _about(self, question: Question) -> list[str]:
        from reactions.labs.mini.subjects import subjects_by_name

        subjects = subjects_by_name()
        if question.category not in subjects:
            raise Trouble(
                "not of the mini world",
                suggestion(question.category, subjects),
                is_final=True,
            )
        start = question.number * _STRIDE
        count = min(question.count, _STRIDE)
        return self._describer.about(subjects[question.category], start, start + count)

    def _of_item(self, question: Question) -> str:
        from reactions.labs.mini.found import scene_of

        item = question.item
        assert item is not None
        if (scenes := scene_of(item, self._seed)) is None:
            fix = _DESCRIBED.format(modality=item.modality)
            raise Trouble("not of the mini world", fix, is_final=True)
        # The first description is the one of the lab's own knowledge base; others differ.
        describer = replace(self._describer, seed=self._describer.seed + question.number)
        return describer.of_items(item.modality, scenes)[0]


# --- what is described --------------------------------------------------------------------


def classes_of(lab: Lab, text: str) -> tuple[str, tuple[str, ...]]:
    """Return the name and the classes of what ``--classes`` names.

    Args:
        lab: whose tasks may be named.
        text: a file with a class on each line, or a task.

    Raises:
        UsageError: it is neither, a class comes twice, or the task has no classes.
        MissingError: the lab has no data for the task.
        DataError: they cannot be read.
    """
    path = expand_user(text)
    if is_file(path):
        return path.stem, _listed(read_text_file(path, _LIST_BYTES), text)
    if "/" in text or "\\" in text or path.suffix.lower() in (".txt", ".csv", ".tsv", ".json"):
        raise MissingError(
            f"there is no file '{text}'",
            fix="--classes FILE with a class on each line, or --classes TASK",
            path=text,
        )
    try:
        (task,) = _one_task(lab, text)
    except UsageError as error:
        if "," in text or reserved(text):
            raise
        sets = [published.task for published in loadable_sets()[0]]
        tasks = [*sets, *(own_set.task for own_set in lab.own_tasks.values())]
        task_names = [task.name for task in tasks if task.kind != "retrieval"]
        raise UsageError(
            f"'{text}' is neither a file nor a task",
            fix=f"{suggestion(text, task_names)}; or a file with a class on each line",
        ) from error
    data = lab.benchmark(task)
    if not isinstance(data, ClassificationData | MultilabelData):
        raise UsageError(
            f"task '{task}' has no classes",
            why="it is a retrieval task",
            fix="a classification task, or a file with a class on each line",
            task=task,
        )
    return task, data.classes


def _one_task(lab: Lab, text: str) -> tuple[str, ...]:
    tasks = lab.parse_tasks(text)
    if len(tasks) != 1:
        raise UsageError(f"'{text}' is {len(tasks)} tasks", fix="name one")
    return (tasks[0].name,)


def _listed(text: str, name: str) -> tuple[str, ...]:
    lines = [line.strip() for line in text.split("\n")]
    classes = [line for line in lines if line]
    if not classes:
        raise UsageError(f"'{name}' names no classes", fix="a class on each line")
    if file := next(filter(file_reason, classes), ""):
        raise UsageError(
            f"'{name}' names files, not classes",
            why=f"'{file}': {file_reason(file)}",
            fix="a class on each line, without an ending",
        )
    if why := why_a_table(classes[:FIRST_LINES]):
        raise UsageError(
            f"'{name}' is a table, not a list of classes", why=why, fix="a class on each line"
        )
    repeated = (
        sorted({label for label in classes if classes.count(label) > 1})
        if (len(set(classes)) < len(classes))
        else []
    )
    if repeated:
        raise UsageError(
            f"'{name}' names {len(repeated)} classes twice",
            why=", ".join(repeated[:3]),
            fix="leave the second ones out",
            repeated=repeated,
        )
    return tuple(classes)


def categories_of(lab: Lab, name: str, corpus: Corpus) -> Sequence[str] | None:
    """Return the class of each item of a named corpus; None where they have none.

    Args:
        lab: that has it.
        name: as ``Lab.named_corpus`` takes it.
        corpus: what that gave.
    """
    from reactions.labs.mini.corpora import WorldCorpus
    from reactions.labs.mini.world import CLASSES

    if isinstance(corpus, WorldCorpus) and name.startswith("world:"):
        scenes = corpus.stream.scenes(0, corpus.n_scenes)
        return [CLASSES[kind] for kind in scenes.kind.tolist()]
    head, colon, split = name.partition(":")
    if not colon and head in lab.corpora:
        return None
    (task,) = _one_task(lab, head)
    data: Any = lab.split(task, split) if colon else lab.benchmark(task)
    if not isinstance(data, ClassificationData):
        return None
    return [data.classes[label] for label in data.labels.tolist()]
