"""What a lab file's ``[kb.NAME]`` names, opened, and the corpora that knowledge bases describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from reactions.core.addresses import is_url
from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.local_files import expand_user, is_file
from reactions.core.types import Corpus, Modality
from reactions.eval.registry import task_names
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, ClassificationData, sides_of
from reactions.knowledge.base import KnowledgeBase
from reactions.knowledge.files import open_knowledge
from reactions.labs.data_sections import CorpusSource, rooted
from reactions.labs.knowledge_schema import DescriptionFile, KnowledgeSection, WorldDescriptions

if TYPE_CHECKING:
    from reactions.labs.mini.describer import Describer

WORLD = "world"
"""``world:MODALITY`` names the scenes of the mini world that knowledge bases describe."""

_TABLES = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson", ".json")


@dataclass(frozen=True, slots=True)
class KnowledgeSource:
    """Where a knowledge base comes from.

    Attributes:
        name: of the section.
        path: of its file; None for the mini world's.
        items: modality to the name of the corpus that is described, instead of the file's word.
        n_sentences: about each category, of the mini world; 0 for a file.
        n_scenes: of the mini world that are described.
        errors: how the mini world's describer errs, by the names of its knobs.
    """

    name: str
    path: Path | None = None
    items: tuple[tuple[Modality, str], ...] = ()
    n_sentences: int = 0
    n_scenes: int = 0
    errors: tuple[tuple[str, str | int | bool], ...] = field(default=())


def read_knowledge(
    sections: Mapping[str, KnowledgeSection], path: Path, root: Path
) -> dict[str, KnowledgeSource]:
    """Return the knowledge bases that a lab file names, by name.

    Args:
        sections: what the file says.
        path: the file; relative paths start beside it.
        root: what ``$MOLSPACE_DATA`` stands for in paths.

    Raises:
        UsageError: a name reads as a path, an address is given, or a share is out of range.
        DataError: a knowledge base of the mini world without sentences.
    """
    return {name: _source(name, section, path, root) for name, section in sections.items()}


def _source(name: str, section: KnowledgeSection, path: Path, root: Path) -> KnowledgeSource:
    where = f"{path}: kb.{name}"
    if is_path(name):
        raise UsageError(
            f"{where} cannot be asked for by this name",
            why="it reads as a path",
            fix="letters, digits, '-' and '_'",
        )
    if isinstance(section, DescriptionFile):
        if is_url(section.path):
            raise UsageError(
                f"{where}.path is the address '{section.path}'",
                why="knowledge bases are read from this machine",
                fix="download it, and give its path",
            )
        file = path.parent / expand_user(rooted(section.path, root))
        return KnowledgeSource(name, file, items=tuple(sorted(section.items.items())))
    for key in ("world", "scenes"):
        if getattr(section, key) < 1:
            raise DataError(f"{where} is empty ({key} = {getattr(section, key)})")
    errors = tuple(
        (key, getattr(section, key))
        for key in WorldDescriptions.model_fields
        if key not in ("world", "scenes")
    )
    source = KnowledgeSource(
        name, n_sentences=section.world, n_scenes=section.scenes, errors=errors
    )
    try:
        describer_of(source)
    except UsageError as error:
        raise UsageError(f"{where}: {error.what}", why=error.why, fix=error.fix) from None
    return source


def describer_of(source: KnowledgeSource) -> Describer:
    """Return the mini world's describer of a section, without a seed.

    Raises:
        UsageError: it cannot err so often.
    """
    from reactions.labs.mini.describer import Describer

    errors: dict[str, Any] = dict(source.errors)
    return replace(Describer(), **errors)


def is_path(text: str) -> bool:
    """Return whether the name of a knowledge base is that of a file."""
    return "/" in text or "\\" in text or text.lower().endswith(_TABLES)


class Holdings(Protocol):
    """What of a lab its knowledge bases and the corpora that they describe are taken from."""

    @property
    def name(self) -> str:
        """Its own name."""

    @property
    def seed(self) -> int:
        """Of what is generated."""

    @property
    def corpora(self) -> Mapping[Modality, CorpusSource]:
        """Corpora by modality."""

    @property
    def knowledge_bases(self) -> Mapping[str, KnowledgeSource]:
        """Knowledge bases by name."""

    @property
    def world_tasks(self) -> bool:
        """Whether the mini world belongs to the lab."""

    def corpus(self, modality: Modality) -> Corpus | None:
        """Return the corpus of a modality."""

    def parse_tasks(self, text: str) -> tuple[Task, ...]:
        """Return tasks by name."""

    def benchmark(self, task: str) -> BenchmarkData:
        """Return the data of a task."""

    def split(self, task: str, name: str) -> ClassificationData:
        """Return a part of a task's set that may be trained on."""


def find_knowledge(text: str, lab: Holdings) -> KnowledgeSource:
    """Return the source of a knowledge base.

    Args:
        text: a name of the lab, or the path of a file.
        lab: that has it.

    Raises:
        UsageError: the lab has none of this name.
    """
    if text in lab.knowledge_bases:
        return lab.knowledge_bases[text]
    if is_path(text):
        return KnowledgeSource(text, expand_user(text))
    names = list(lab.knowledge_bases)
    if is_file(expand_user(text)):
        raise UsageError(
            f"'{text}' is not a knowledge base",
            why="these are .parquet files, and centres .safetensors files",
            fix=f"molspace kb build --classes '{text}', if it lists classes; kb import table "
            f"'{text}', if it is a table of descriptions",
            knowledge=text,
            known=names,
        )
    how = "the path of a file"
    if text.isidentifier():
        how = f'[kb.{text}] with path = "FILE.parquet" in a lab file, or {how}'
    raise UsageError(
        f"lab '{lab.name}' has no knowledge base '{text}'",
        fix=f"{suggestion(text, names)}   or {how}" if names else how,
        knowledge=text,
        known=names,
    )


def open_source(source: KnowledgeSource, seed: int) -> KnowledgeBase:
    """Open a knowledge base; the mini world's is not written before it is asked for.

    Raises:
        MissingError: its file is not there, or a package is missing.
        DataError: it cannot be used.
    """
    if source.path is not None:
        try:
            return open_knowledge(source.path, name=source.name)
        except MissingError as error:
            if error.fields.get("path") == str(source.path):
                error.fix = f"check path under [kb.{source.name}] of the lab file"
            raise
    from reactions.labs import mini

    return mini.world_knowledge(
        source.name,
        n_sentences=source.n_sentences,
        n_scenes=source.n_scenes,
        describer=describer_of(source),
        seed=seed,
    )


# --- what is described -------------------------------------------------------------------


def find_corpus(name: str, lab: Holdings) -> Corpus:
    """Return a corpus by name.

    Args:
        name: a modality of the lab's corpora; ``TASK:SPLIT`` for a part of an evaluation set that
            may be trained on; ``TASK`` for the items that it scores, the first side of retrieval;
            or ``world:MODALITY`` for the mini world's scenes that knowledge bases describe,
            ``world:MODALITY:N`` for N of them.
        lab: that has it.

    Raises:
        UsageError: there is none of this name.
        MissingError: it is not where the lab says.
        DataError: it cannot be used.
    """
    head, colon, rest = name.partition(":")
    if head == WORLD and colon:
        return _world_corpus(name, rest, lab)
    if not colon and (corpus := lab.corpus(name)) is not None:
        return corpus
    try:
        (task,) = lab.parse_tasks(head)
    except (UsageError, ValueError):
        names = [*lab.corpora, *task_names()]
        raise UsageError(
            f"lab '{lab.name}' has no corpus '{name}'",
            fix=f"{suggestion(head, names)}  (a modality of [corpora], TASK or TASK:SPLIT)",
            corpus=name,
        ) from None
    if colon:
        return lab.split(task.name, rest).queries
    return sides_of(lab.benchmark(task.name))[0]


def _world_corpus(name: str, rest: str, lab: Holdings) -> Corpus:
    from reactions.labs import mini

    modality, colon, number = rest.partition(":")
    if not lab.world_tasks:
        raise MissingError(
            f"lab '{lab.name}' has no corpus '{name}'",
            why="it is of the mini world, and the lab is not",
            fix="--lab mini, or world_tasks = true",
        )
    if colon and not (number.isdecimal() and number.isascii() and len(number) < 10):
        raise UsageError(
            f"'{name}' names no corpus",
            why=f"'{number}' is not a number of scenes",
            fix=f"{WORLD}:{modality}, or {WORLD}:{modality}:500",
        )
    if modality not in mini.described_modalities():
        raise UsageError(
            f"'{name}' names no corpus",
            why=f"the mini world describes no '{modality}' items",
            fix=suggestion(modality, mini.described_modalities()),
            corpus=name,
        )
    n = int(number) if colon else mini.N_DESCRIBED
    return mini.described_corpus(modality, n=n, seed=lab.seed)


def described_name(knowledge: KnowledgeBase, modality: Modality, lab: Holdings) -> str:
    """Return the name of the corpus that ``described_items`` returns; "" where nothing says."""
    described = knowledge.metadata.items.get(modality)
    return _chosen(knowledge, modality, lab) or (described.corpus if described else "")


def _chosen(knowledge: KnowledgeBase, modality: Modality, lab: Holdings) -> str:
    """Return the name of the corpus that the lab's section names; "" for none."""
    source = lab.knowledge_bases.get(knowledge.name)
    return dict(source.items).get(modality, "") if source else ""


def described_items(knowledge: KnowledgeBase, modality: Modality, lab: Holdings) -> Corpus:
    """Return the corpus whose items a knowledge base describes.

    Args:
        knowledge: what describes them.
        modality: of the items.
        lab: that has the corpus; it may name another one than the knowledge base does.

    Raises:
        UsageError: nothing says which corpus it is, or there is none of its name.
        MissingError: it is not where the lab says.
        DataError: its items have changed since they were described, or are of another modality.
    """
    chosen_corpus = _chosen(knowledge, modality, lab)
    described = knowledge.metadata.items.get(modality)
    name = described_name(knowledge, modality, lab)
    if not name:
        raise UsageError(
            f"nothing says which {modality} items knowledge base '{knowledge.name}' describes",
            fix=f'items = {{ {modality} = "CORPUS" }} under [kb.NAME] in a lab file',
            modality=modality,
        )
    corpus = find_corpus(name, lab)
    if corpus.modality != modality:
        raise DataError(
            f"knowledge base '{knowledge.name}' describes {modality} items of '{name}'",
            why=f"the items of '{name}' are {corpus.modality}",
            fix=f'items = {{ {modality} = "CORPUS" }} under [kb.NAME] in a lab file',
            modality=modality,
        )
    # Whoever names a corpus says that its ids are those of the rows: no digest is held to it.
    expected = "" if chosen_corpus or described is None else described.digest
    if expected and corpus.digest != expected:
        raise DataError(
            f"the {modality} items of '{name}' are not those that '{knowledge.name}' describes",
            why="they have changed since; its digest was "
            f"{expected[:12]}..., and is {corpus.digest[:12]}...",
            fix=f"describe them again: molspace kb describe --corpus {name}   or, if their ids "
            f'are the same, items = {{ {modality} = "{name}" }} under [kb.NAME]',
            modality=modality,
            corpus=name,
            expected=expected,
            found=corpus.digest,
        )
    return corpus
