"""Knowledge bases of the mini world: written when they are asked for, never stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property

from reactions.core.errors import DataError, suggestion
from reactions.core.hashing import digest
from reactions.core.types import Digest, Modality
from reactions.knowledge.base import (
    LABEL,
    LLM,
    MLLM,
    DescribedCorpus,
    Description,
    ItemDescriptions,
    KnowledgeMetadata,
    WriterModel,
    check_category,
    check_modality,
)
from reactions.labs.mini.corpora import MODALITIES, WorldCorpus
from reactions.labs.mini.describer import DESCRIBER_VERSION, Describer
from reactions.labs.mini.subjects import SUBJECTS, Subject
from reactions.labs.mini.world import CLASSES, WORLD_VERSION, SceneStream
from reactions.modalities.text import TEXT

N_DESCRIBED = 2000
"""Scenes whose items a knowledge base of the mini world describes."""

PROMPT = "Please generate 1,000 sentences related to this sentence <A photo of a {category}>"
"""What the describer does as if it were asked; the paper's, supplement A.1."""

ITEM_PROMPT = "Generate a detailed description of this {modality}"
"""Likewise, after supplement A.2."""

_MODEL = "mini describer"


def described_corpus(modality: Modality, *, n: int, seed: int) -> WorldCorpus:
    """Return the scenes that knowledge bases of the mini world describe, in one modality.

    Args:
        modality: any of the world's but text.
        n: scenes.
        seed: another seed is other scenes.

    Raises:
        DataError: the world has no such modality, or there are no scenes.
    """
    if modality not in described_modalities():
        raise DataError(
            f"the mini world describes no {modality} items",
            fix=suggestion(modality, described_modalities()),
            modality=modality,
        )
    return WorldCorpus(f"kb-items {modality}", modality, SceneStream("kb-items", seed), n)


def described_modalities() -> tuple[Modality, ...]:
    """Return the modalities of the world that can be described: all but text, sorted."""
    return tuple(sorted(modality for modality in MODALITIES if modality != TEXT.name))


@dataclass(frozen=True)
class WorldKnowledge:
    """What the describer says of the world's classes, and of some of its scenes.

    Attributes:
        name: in the lab.
        n_sentences: about each category.
        n_scenes: that are described, in every modality.
        describer: how it errs.
        seed: of the scenes.
        subjects: what the categories are about.
        notices: none: every row has a description.
    """

    name: str
    n_sentences: int
    n_scenes: int = N_DESCRIBED
    describer: Describer = field(default_factory=Describer)
    seed: int = 0
    subjects: tuple[Subject, ...] = SUBJECTS
    notices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for what, n in (("sentences a category", self.n_sentences), ("scenes", self.n_scenes)):
            if n < 1:
                raise DataError(f"knowledge base '{self.name}' has {n} {what}")

    @cached_property
    def digest(self) -> Digest:
        """Digest of what decides the rows; none is written for it."""
        facts = {
            "world": WORLD_VERSION,
            "describer": [DESCRIBER_VERSION, asdict(self.describer)],
            "sentences": self.n_sentences,
            "subjects": [asdict(subject) for subject in self.subjects],
            "items": {m: corpus.digest for m, corpus in self._corpora.items()},
        }
        return digest("mini-knowledge", facts)

    @cached_property
    def metadata(self) -> KnowledgeMetadata:
        """What is known of all rows."""
        suffix = "" if self.n_scenes == N_DESCRIBED else f":{self.n_scenes}"
        return KnowledgeMetadata(
            dataset="mini",
            prompts=(PROMPT, ITEM_PROMPT),
            models=(WriterModel(_MODEL, DESCRIBER_VERSION, "Apache-2.0"),),
            items={
                modality: DescribedCorpus(f"world:{modality}{suffix}", corpus.digest)
                for modality, corpus in self._corpora.items()
            },
        )

    @cached_property
    def _corpora(self) -> dict[Modality, WorldCorpus]:
        return {
            modality: described_corpus(modality, n=self.n_scenes, seed=self.seed)
            for modality in described_modalities()
        }

    @cached_property
    def _by_name(self) -> dict[str, Subject]:
        return {subject.name: subject for subject in self.subjects}

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Categories: the classes of all miniature tasks."""
        return tuple(self._by_name)

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """Modalities whose items are described, sorted."""
        return tuple(self._corpora)

    @cached_property
    def _written(self) -> dict[str, tuple[str, ...]]:
        return {}

    def of_category(self, category: str) -> Sequence[str]:
        """Return the descriptions of a category; no other is written."""
        check_category(self, category)
        if category not in self._written:
            texts = self.describer.about(self._by_name[category], 0, self.n_sentences)
            self._written[category] = tuple(texts)
        return self._written[category]

    def synonyms(self, category: str) -> Sequence[str]:
        """Return the names of a category that a person would use."""
        check_category(self, category)
        return self._by_name[category].synonyms

    def items(self, modality: Modality) -> ItemDescriptions:
        """Return the descriptions of one modality's items, one each."""
        check_modality(self, modality)
        corpus = self._corpora[modality]
        scenes = corpus.stream.scenes(0, self.n_scenes)
        return ItemDescriptions(
            corpus.ids(),
            [CLASSES[kind] for kind in scenes.kind.tolist()],
            self.describer.of_items(modality, scenes),
        )

    def rows(self) -> Iterator[Description]:
        """Yield all rows, written as they come."""
        seed = self.describer.seed
        for name, subject in self._by_name.items():
            for i, word in enumerate(subject.synonyms):
                yield Description(f"{name}/name/{i}", name, word, LABEL)
            for i, text in enumerate(self.of_category(name)):
                prompt = PROMPT.replace("{category}", name.replace("_", " "))
                yield Description(f"{name}/{i}", name, text, LLM, "", _MODEL, prompt, seed)
        for modality in self.modalities:
            described = self.items(modality)
            prompt = ITEM_PROMPT.replace("{modality}", modality)
            for id, category, text in zip(
                described.ids, described.categories, described.descriptions, strict=True
            ):
                yield Description(id, category, text, MLLM, modality, _MODEL, prompt, seed)

    def __len__(self) -> int:
        names = sum(len(subject.synonyms) for subject in self.subjects)
        items = self.n_scenes * len(self.modalities)
        return names + self.n_sentences * len(self.subjects) + items


def world_knowledge(
    name: str, *, n_sentences: int, n_scenes: int, describer: Describer, seed: int
) -> WorldKnowledge:
    """Return a knowledge base of the mini world; nothing is written yet.

    Args:
        name: in the lab.
        n_sentences: about each category.
        n_scenes: that are described.
        describer: how it errs; its seed is replaced.
        seed: another seed is other sentences and other scenes.
    """
    return WorldKnowledge(name, n_sentences, n_scenes, replace(describer, seed=seed), seed)
