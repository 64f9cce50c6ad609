"""Labs: the spaces, corpora, tasks and hyper-parameters to work with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from reactions.core.catalogue import Catalogue
from reactions.core.errors import MissingError, UsageError, suggestion
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.file_digests import DigestCache
from reactions.core.lcl_settings import LclSettings
from reactions.core.paired import PairedCorpora
from reactions.core.settings import ReactionSettings, TuningSettings
from reactions.core.types import Corpus, Item, Modality
from reactions.data.sources.config import OnProgress, silent
from reactions.eval.own_set import OwnSet
from reactions.eval.registry import Folders, find_set, parse_tasks
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, ClassificationData, captions_in_data
from reactions.knowledge.base import KnowledgeBase
from reactions.labs.data_sections import CorpusSource
from reactions.labs.knowledge_sections import (
    KnowledgeSource,
    described_items,
    find_corpus,
    find_knowledge,
    open_source,
)
from reactions.labs.pairs_sections import PairsSource, choose_pairs
from reactions.modalities.base import CheckDepth
from reactions.weights.locate import NamedWeights

if TYPE_CHECKING:
    from reactions.data.scan_cache import TableCache


@dataclass(frozen=True)
class Lab:
    """A lab, read and checked; nothing is loaded until it is asked for.

    Corpora and evaluation sets are opened once: a lab shows its data as they were when they were
    first asked for. Labs made from it by ``replace`` share what is the same in both.

    Attributes:
        name: its own name.
        label: what every result made in it says after ``lab:``.
        path: the file it was read from.
        seed: of corpora that are generated, of projectors, of evaluation data.
        catalogue: its spaces.
        settings: hyper-parameters.
        tuning, lcl: those of Ft, and of Lcl.
        factors: combining factors where a reaction gives none.
        corpora: modality to source.
        pairs: items of two modalities that belong together, by name of their section.
        knowledge_bases: descriptions of categories and items, by name of their section.
        data: where published evaluation sets may lie.
        own_tasks: evaluation sets that the lab file describes, by name.
        world_tasks: whether the mini world's evaluation sets belong to it.
        digests: remembers digests of large files, and scans of corpora beside them.
        on_progress: of the progress of scans.
        uris: the models behind spaces that are given by URI.
        weights: what a person named for spaces, and which of it was looked up.
        opened: corpora and evaluation sets that were opened, by all that decides what they hold.
    """

    name: str
    label: str
    path: Path
    seed: int
    catalogue: Catalogue = field(repr=False)
    settings: ReactionSettings = field(default_factory=ReactionSettings)
    tuning: TuningSettings = field(default_factory=TuningSettings)
    lcl: LclSettings = field(default_factory=LclSettings)
    factors: FactorDefaults = field(default_factory=FactorDefaults)
    corpora: Mapping[Modality, CorpusSource] = field(default_factory=dict)
    pairs: Mapping[str, PairsSource] = field(default_factory=dict)
    knowledge_bases: Mapping[str, KnowledgeSource] = field(default_factory=dict)
    data: Folders = field(default_factory=Folders)
    own_tasks: Mapping[str, OwnSet] = field(default_factory=dict, repr=False)
    world_tasks: bool = False
    digests: DigestCache = field(default_factory=DigestCache, repr=False)
    on_progress: OnProgress = field(default=silent, repr=False)
    uris: Mapping[str, str] = field(default_factory=dict, repr=False)
    weights: NamedWeights = field(default_factory=NamedWeights, repr=False)
    opened: dict[tuple[Any, ...], Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def is_built_in(self) -> bool:
        """Whether it is one of the labs that molspace brings."""
        return self.path.parent == Path(__file__).parent

    @property
    def key(self) -> str:
        """What tells it from other labs: a built-in one's name, else its file's path."""
        return self.path.stem if self.is_built_in else str(self.path)

    def uri_of(self, name: str) -> tuple[str, str]:
        """Return a space's name and what to fetch for it: its URI, or what it is.

        Args:
            name: of a space of the lab, or a URI, which is then both.

        Raises:
            UsageError: it is neither.
        """
        if name in self.uris:
            return name, self.uris[name]
        if name in self.catalogue or ":" not in name:
            return name, self.catalogue.by_name(name).source
        return next(((space, uri) for space, uri in self.uris.items() if uri == name), (name, name))

    def refuse_unused_weights(self, spaces: Iterable[str]) -> None:
        """Refuse weights that a person named and nothing uses, once all spaces are known.

        Args:
            spaces: names of the spaces that are used.

        Raises:
            UsageError: weights were named for another space, or for one that needs none.
        """
        names = list(dict.fromkeys(spaces))
        for name in self.weights.unused():
            listed = self.catalogue.names()
            if name in names:
                why = f"lab '{self.name}' says where its weights are"
                fix = f"leave it out, or give [spaces.{name}] a uri in a lab file"
            elif name in listed:
                why = f"what is asked for uses {', '.join(names)}"
                fix = "leave it out"
            else:
                why = f"lab '{self.name}' has no space of this name"
                fix = suggestion(name, listed, see="molspace spaces")
            raise UsageError(f"--weights {name}=... is not used", why=why, fix=fix, space=name)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"the seed is {self.seed}", why="it must be a whole number from 0 up")

    def with_seed(self, seed: int | None) -> Lab:
        """Return this lab with another seed; None keeps the lab's."""
        return self if seed is None else replace(self, seed=seed)

    def with_precision(self, precision: str | None) -> Lab:
        """Return this lab with another precision; None keeps the lab's.

        Raises:
            UsageError: neither ``fast`` nor ``exact``.
        """
        if precision is None:
            return self
        # ReactionSettings checks it.
        return replace(self, settings=replace(self.settings, precision=cast(Any, precision)))

    def with_check(self, depth: CheckDepth | None) -> Lab:
        """Return this lab with another depth of looking for damage in corpora and pairs.

        What ``"full"`` finds is left out for as long as the lab file says so, too.
        """
        if depth is None:
            return self
        corpora = {
            modality: replace(
                corpus, sources=tuple(replace(source, check=depth) for source in corpus.sources)
            )
            for modality, corpus in self.corpora.items()
        }
        pairs = {name: source.with_check(depth) for name, source in self.pairs.items()}
        return replace(self, corpora=corpora, pairs=pairs)

    @property
    def tables(self) -> TableCache:
        """Where scans of corpora are remembered."""
        from reactions.data.scan_cache import TableCache

        folder = self.digests.folder
        return TableCache(None if folder is None else folder / "corpora")

    def corpus(self, modality: Modality) -> Corpus | None:
        """Return the corpus of one modality, or None if the lab names none.

        What is new or changed is scanned. A ``SourceCorpus`` says what it leaves out.

        Raises:
            MissingError: a file, folder or package is missing.
            DataError: a corpus is empty, has duplicate ids, or too much of it is unusable.
        """
        source = self.corpora.get(modality)
        if source is None:
            return None
        key = ("corpus", self.name, modality, source, self.seed, self.digests.folder)
        if key not in self.opened:
            self.opened[key] = self._open_corpus(modality, source)
        corpus: Corpus = self.opened[key]
        return corpus

    def _open_corpus(self, modality: Modality, source: CorpusSource) -> Corpus:
        if source.sources:
            from reactions.labs.data_sections import open_sources

            return open_sources(
                f"{self.name} {modality}",
                modality,
                source,
                tables=self.tables,
                on_progress=self.on_progress,
            )
        from reactions.labs import mini

        return mini.corpus(modality, n=source.world_rows, seed=self.seed)

    def pairs_of(self, tuned: Modality, paired: Modality, name: str | None = None) -> PairedCorpora:
        """Return the pairs on which one modality is tuned against another.

        Args:
            tuned: whose encoder is tuned.
            paired: what it is tuned against.
            name: of a section ``[pairs.NAME]``; None takes the only one that has both
                modalities, or the one that is the default.

        Raises:
            MissingError: the lab has no pairs of these modalities, or they are not where it says.
            UsageError: there are none of this name, they lack a modality, or several fit.
            DataError: they cannot be used.
        """
        return self.open_pairs(choose_pairs(self.pairs, (tuned, paired), name, self.name))

    def open_pairs(self, source: PairsSource) -> PairedCorpora:
        """Return the pairs of a section; what is new or changed is scanned.

        Raises:
            MissingError: they are not where the lab says, or a package is missing.
            UsageError: the lab says of a table what it does not have.
            DataError: they cannot be used.
        """
        key = ("pairs", self.name, source, self.seed, self.digests.folder)
        if key not in self.opened:
            self.opened[key] = self._scan_pairs(source)
        pairs: PairedCorpora = self.opened[key]
        return pairs

    def _scan_pairs(self, source: PairsSource) -> PairedCorpora:
        if source.places is not None:
            from reactions.data.pairs.corpora import open_pairs

            return open_pairs(
                f"{self.name} pairs {source.name}",
                f"pairs.{source.name}",
                source.places,
                tables=self.tables,
                on_progress=self.on_progress,
            )
        from reactions.labs import mini

        if source.seen_by:
            return mini.pairs_seen_by(
                source.seen_by,
                source.name,
                n=source.world_scenes,
                training_seed=source.training_seed,
            )
        return mini.pairs(source.name, n=source.world_scenes, seed=self.seed)

    def knowledge(self, name: str) -> KnowledgeBase:
        """Return a knowledge base: one of the lab's by name, or a parquet file by its path.

        Raises:
            UsageError: the lab has none of this name.
            MissingError: its file is not there, or a package is missing.
            DataError: it cannot be used.
        """
        source = find_knowledge(name, self)
        key = ("kb", source, self.seed)
        if key not in self.opened:
            self.opened[key] = open_source(source, self.seed)
        knowledge: KnowledgeBase = self.opened[key]
        return knowledge

    def named_corpus(self, name: str) -> Corpus:
        """Return a corpus by name; see ``find_corpus``."""
        return find_corpus(name, self)

    def item_corpus(self, knowledge: KnowledgeBase, modality: Modality) -> Corpus:
        """Return the corpus whose items a knowledge base describes; see ``described_items``."""
        return described_items(knowledge, modality, self)

    def benchmark(self, task: str) -> BenchmarkData:
        """Return the data of an evaluation task: the published set where the lab says where.

        Raises:
            MissingError: the lab has no data for it, or they are not where it says.
            DataError: they cannot be used.
        """
        places, own_set = self.data.of(task), self.own_tasks.get(task)
        key = ("set", task, own_set, places, self.world_tasks, self.seed, self.digests.folder)
        if key not in self.opened:
            self.opened[key] = self._open_set(task)
        data: BenchmarkData = self.opened[key]
        return data

    def _open_set(self, task: str) -> BenchmarkData:
        if (own_set := self.own_tasks.get(task)) is not None:
            from reactions.eval.own_data import read_own

            return read_own(own_set, self.data, tables=self.tables, on_progress=self.on_progress)
        if self.data.of(task):
            return find_set(
                task, self.data, tables=self.tables, on_progress=self.on_progress
            ).read()
        if not self.may_have(task):
            raise self._no_data(task)
        from reactions.labs import mini

        return mini.benchmark(task, seed=self.seed)

    def _no_data(self, task: str) -> MissingError:
        return MissingError(
            f"lab '{self.name}' has no data for task '{task}'",
            why=f"neither --data nor [data] in {self.path} says where it lies",
            fix=f'--data FOLDER, or [data.{task}] with path = "FOLDER"; '
            "molspace eval --lab mini needs no data",
            task=task,
        )

    def split(self, task: str, name: str) -> ClassificationData:
        """Return a part of an evaluation set that may be trained on, with its labels.

        Args:
            task: its name.
            name: of the part, such as ``train``, or ``fold1`` for all folds but the first.

        Raises:
            UsageError: the set has no such part.
            MissingError: the lab has no data for it, or they are not where it says.
            DataError: they cannot be used.
        """
        places = self.data.of(task)
        key = ("split", task, name, places, self.world_tasks, self.seed, self.digests.folder)
        if key not in self.opened:
            self.opened[key] = self._open_split(task, name)
        data: ClassificationData = self.opened[key]
        return data

    def _open_split(self, task: str, name: str) -> ClassificationData:
        if (own_set := self.own_tasks.get(task)) is not None:
            from reactions.eval.published import no_split

            raise no_split(own_set.task, name, ())
        if self.data.of(task):
            return find_set(
                task, self.data, tables=self.tables, on_progress=self.on_progress
            ).split(name)
        if not self.may_have(task):
            raise self._no_data(task)
        from reactions.labs import mini

        return mini.split(task, name, seed=self.seed)

    def captions(self, task: str) -> list[tuple[str, str]]:
        """Return (id, caption) of an evaluation set, if it has any; its media may be missing.

        Raises:
            MissingError: the lab has no data for it.
            DataError: its captions cannot be read.
        """
        if (own_set := self.own_tasks.get(task)) is not None:
            from reactions.eval.own_data import own_captions

            return list(own_captions(own_set, self.data))
        if self.data.of(task):
            return list(find_set(task, self.data).captions())
        return list(captions_in_data(self.benchmark(task)))

    def may_have(self, task: str) -> bool:
        """Whether the lab says where the data of a task lie, or the mini world has them."""
        if self.data.of(task) or not self.world_tasks:
            return task in self.own_tasks or bool(self.data.of(task))
        from reactions.labs import mini

        return task in mini.TASKS

    def parse_tasks(self, text: str) -> tuple[Task, ...]:
        """Return the tasks of a comma-separated list, the lab's own among them.

        Raises:
            UsageError: a name is unknown, or the list is empty.
            MissingError: a package that provides one cannot be imported.
        """
        return parse_tasks(text, [own_set.task for own_set in self.own_tasks.values()])

    def sample_items(self) -> list[Item]:
        """Return the lab's few items to try inference on; empty if it has none."""
        if not self.world_tasks:
            return []
        from reactions.labs import mini

        return mini.sample_items()
