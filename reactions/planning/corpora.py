"""Which corpus a reaction embeds in each modality."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from reactions.core.settings import Subsets
from reactions.core.types import Corpus, Fusion, Modality, Space, SpaceSpec, leaves
from reactions.labs.lab import Lab

ALWAYS: frozenset[Modality] = frozenset({"audio", "image", "text"})
"""Modalities that take part in every training, whether the expert embeds them or not: the
paper's."""


def candidates(pair: Fusion, subsets: Subsets = "all") -> tuple[Modality, ...]:
    """Return the modalities whose corpora join an expert to its base, sorted.

    They are the paper's three, those that the expert embeds, and those that ``data=`` or the lab's
    ``subsets`` name. What the base alone embeds beyond them changes nothing in how the two are
    joined.

    Args:
        pair: a base with one expert.
        subsets: of the lab.
    """
    expert = pair.experts[0]
    in_subsets = () if isinstance(subsets, str) else chain.from_iterable(subsets)
    needed_modalities = ALWAYS.union(expert.space.modalities, expert.anchors or (), in_subsets)
    return tuple(modality for modality in pair.modalities if modality in needed_modalities)


@dataclass
class ReactionCorpora:
    """The corpora of a lab as reactions use them, each opened once.

    Args:
        lab: names them.

    Attributes:
        notices: what the user should know of those that were asked for.
    """

    lab: Lab
    notices: list[str] = field(default_factory=list)
    _opened: dict[tuple[Modality, tuple[str, ...]], Corpus | None] = field(default_factory=dict)
    _replaced: dict[str, list[Modality]] = field(default_factory=dict)
    _left_out: dict[tuple[Modality, ...], dict[str, None]] = field(default_factory=dict)

    def of(self, space: Space, modality: Modality) -> Corpus | None:
        """Return the corpus that a reaction with this space embeds, or None without one.

        It is the one that the lab names. Where the lab names none, or one of the mini world, and
        every leaf that embeds the modality is a folder of embeddings, their own ids are the
        corpus.

        Raises:
            DataError: a folder lacks items of the corpus.
        """
        specs = [leaf.spec for leaf in leaves(space) if modality in leaf.modalities]
        folders = [spec for spec in specs if spec.adapter == "precomputed"]
        # The ids in folders may be the corpus: other folders, another corpus.
        key = (modality, tuple(spec.source for spec in folders))
        if key not in self._opened:
            corpus = self._opened[key] = self._open(specs, folders, modality)
            self.notices.extend(getattr(corpus, "notices", ()))
        return self._opened[key]

    def in_training(self, pairs: Iterable[Fusion], subsets: Subsets) -> tuple[Corpus, ...]:
        """Return the corpora that join experts to their bases, one for each that it joins."""
        return tuple(
            corpus
            for pair in pairs
            for modality in candidates(pair, subsets)
            if (corpus := self.of(pair, modality)) is not None
        )

    def _open(
        self, specs: Sequence[SpaceSpec], folders: Sequence[SpaceSpec], modality: Modality
    ) -> Corpus | None:
        if not folders:
            return self.lab.corpus(modality)
        from reactions.encoders.precomputed.corpora import common_corpus
        from reactions.labs.named_items import has_rows, named_items, names_items, unnamed_note

        if len(folders) < len(specs):
            corpus = self.lab.corpus(modality)
            return None if corpus is None else has_rows(corpus, folders)
        if names_items(self.lab, modality):
            return named_items(self.lab, modality, folders)
        if modality in self.lab.corpora:
            self._replaced.setdefault(folders[0].name, []).append(modality)
        elif note := unnamed_note(self.lab, modality):
            self.notices.append(note)
        return common_corpus(folders, modality)

    def candidates(self, pair: Fusion, subsets: Subsets) -> tuple[Modality, ...]:
        """Return what ``candidates`` does, and note which corpora that leaves out."""
        joined = candidates(pair, subsets)
        rest = (m for m in pair.modalities if m not in joined)
        if left_out := tuple(m for m in rest if self._has_corpus(pair, m)):
            self._left_out.setdefault(left_out, {})[pair.experts[0].label] = None
        return joined

    def _has_corpus(self, space: Space, modality: Modality) -> bool:
        """Return whether a modality could take part: its rows, or items, are there."""
        folders = (leaf.spec.adapter == "precomputed" for leaf in leaves(space))
        return modality in self.lab.corpora or any(folders)

    @property
    def unused(self) -> list[str]:
        """Which corpora take no part in training, and which of the lab are not used."""
        left_out = [
            f"{', '.join(modalities)}: no part in training with {', '.join(experts)}, "
            f"which {'does' if len(experts) == 1 else 'do'} not embed "
            f"{'it' if len(modalities) == 1 else 'them'} (data= can name what has a corpus)"
            for modalities, experts in self._left_out.items()
        ]
        return [*left_out, *made_up_notices(self.lab.name, self._replaced)]

    @property
    def counts(self) -> tuple[tuple[str, int, int], ...]:
        """(modality, usable items, all items) of each corpus that was opened."""
        counts = []
        for corpus in self._opened.values():
            if corpus is not None:
                skipped = getattr(corpus, "skipped", None)  # files alone can hold bad items
                n_rows = skipped.n_rows if skipped else len(corpus)
                counts.append((corpus.modality, len(corpus), n_rows))
        return tuple(counts)


def made_up_notices(lab: str, replaced: Mapping[str, Sequence[Modality]]) -> list[str]:
    """Say which corpora of a lab are not used, in one sentence a folder.

    Args:
        lab: its name.
        replaced: names of folders to the modalities whose rows are taken from them instead.
    """
    sentences = []
    for folder, modalities in replaced.items():
        *first_ones, last = modalities
        names = f"{', '.join(first_ones)} and {last}" if first_ones else last
        subject = f"corpora of lab '{lab}' are" if first_ones else f"corpus of lab '{lab}' is"
        sentences.append(f"the {names} {subject} made up, and not used: the rows of '{folder}' are")
    return sentences
