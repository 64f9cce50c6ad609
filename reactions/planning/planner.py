"""From a typed reaction to the steps that make it. Pure: nothing is loaded or run."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reactions.core.errors import DataError, UsageError
from reactions.core.settings import ReactionSettings
from reactions.core.step import Step
from reactions.core.types import (
    Corpus,
    Fusion,
    Leaf,
    Modality,
    Space,
    Tuned,
    leaves,
    shared_modalities,
)
from reactions.data.holdout import Split, split
from reactions.encoders.raw_view import refuse_unit_rows
from reactions.labs.choices import choose
from reactions.labs.lab import Lab
from reactions.ops.recipes import recipe_of
from reactions.planning.corpora import ReactionCorpora
from reactions.planning.held_out import plan_quality, too_few_to_hold
from reactions.planning.learning import (
    plan_aligned,
    plan_learning,
)
from reactions.planning.parts import described_rows, planned_parts, reaction_record
from reactions.planning.plan import Plan
from reactions.planning.planned import PlannedLearning, PlannedTuning
from reactions.planning.space_notices import notes
from reactions.planning.training import (
    Mixture,
    PlannedProjector,
    choices_notices,
    chosen_subsets,
    few_pairs,
    many_subsets,
    projector_step,
    row_counts,
    settings_for,
)
from reactions.planning.tuning import (
    plan_embedding,
    plan_tuned_leaf,
    plan_tuning,
    refuse_untrainable,
)
from reactions.products.bundles.trained import TunedFile
from reactions.products.refusals import refuse_namesakes
from reactions.products.tree import coefficients, mixtures, raw_leaves
from reactions.steps.assemble import Assemble
from reactions.steps.centre import CentreRows, ModalityMean
from reactions.steps.collect import pseudo_set
from reactions.steps.embed import EmbedLeaf, EmbedProduct
from reactions.steps.raw_rows import EmbedRaw
from reactions.steps.routing import Side, Slot, route
from reactions.steps.subsets import MANY, subset_name


@dataclass
class Planner:
    """Builds steps for one lab, sharing those that several reactions have in common.

    Args:
        lab: corpora, hyper-parameters and seed.
        towers: where the encoders are that a bundle's Ft tuned, as ``Target.towers`` has them.

    Attributes:
        settings: those of the reaction that is planned.
        divided: corpora of which it holds items back.
        notices: what the user should know of the reactions planned so far.
    """

    lab: Lab
    towers: Mapping[Leaf, TunedFile] = field(default_factory=dict)
    _embeds: dict[tuple[Space, str], Step] = field(default_factory=dict)
    _mixtures: dict[tuple[Fusion, int], Mixture] = field(default_factory=dict)
    _tunings: dict[Tuned, PlannedTuning] = field(default_factory=dict)
    _learnings: dict[Tuned, PlannedLearning] = field(default_factory=dict)
    _averaged: dict[tuple[Leaf, Modality], Corpus] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings: ReactionSettings = self.lab.settings
        self.divided: tuple[Corpus, ...] = ()
        self.corpora = ReactionCorpora(self.lab)
        self.notices = self.corpora.notices

    def react(self, expression: str, space: Space) -> Plan:
        """Plan the training of a product and the assembly of its bundle.

        Args:
            expression: canonical text, for the record.
            space: the typed reaction.

        Raises:
            UsageError: it is a space, not a reaction.
            DataError: a corpus is missing or does not fit, or nothing is left to train on.
            MissingError: the lab has no pairs that an Ft needs, or no knowledge base for an Lcl.
            UsageError: two of its spaces have the same name.
        """
        if isinstance(space, Leaf):
            raise UsageError(
                f"'{space.label}' is a space, not a reaction",
                why="there is nothing to train",
                fix=f"write a reaction, such as {space.label} + Cr(...)",
            )
        refuse_namesakes(space)
        refuse_untrainable(space)
        refuse_unit_rows(space)
        self._begin(space)
        for leaf in leaves(space):
            self.notices.extend(notes(leaf.spec))
        # First, because this notes the training rows that ``mean`` averages.
        trained = {pair: self.mixture(*pair) for pair in mixtures(space)}
        heads = [mixture.heads for mixture in trained.values()]
        projectors = tuple(p for mixture in trained.values() for p in mixture.projectors)
        splits = {pair: mixture.splits for pair, mixture in trained.items()}
        parts = planned_parts(self, space)
        rows, raw = row_counts(splits), raw_leaves(space)
        quality = plan_quality(
            space,
            splits,
            heads,
            parts,
            encode=lambda leaf, corpus: self.encode(leaf, corpus, "held back", raw=leaf in raw),
            mean=self.mean,
        )
        if self.settings.holdout and rows and quality is None:
            n = ", ".join(f"{count.rows} {count.modality}" for count in rows)
            self.notices.append(
                f"nothing is held back: of {n} rows no id falls to {self.settings.holdout:.0%}"
            )
        assembled = Assemble(
            record=reaction_record(self.lab, self.settings, expression, space, heads, parts),
            mixtures=heads,
            parts=[part.made_by for part in parts.values()],
            means={
                f"{leaf.label}.{modality}": self.mean(leaf, modality)
                for leaf, modality in self._averaged
                if leaf.spec.centre
            },
            quality=quality,
            facts={
                "rows": [count.to_json() for count in rows],
                "projectors": [projector.to_json() for projector in projectors],
            },
        )
        notices = (*self.notices, *self.corpora.unused, *choices_notices(projectors))
        pairs = {
            part.pairs.digest: part.pairs
            for part in parts.values()
            if isinstance(part, PlannedTuning)
        }
        return Plan(
            (assembled,),
            tuple(dict.fromkeys(notices)),
            self.corpora.counts,
            (*rows, *described_rows(parts)),
            projectors,
            tuple(pairs.values()),
        )

    def heads(self, space: Fusion) -> list[Mapping[str, Step]]:
        """Plan the projectors of a product without its bundle.

        Returns:
            Subset to train step of each mixture, in the order of ``tree.mixtures``.

        Raises:
            DataError: see ``react``.
        """
        refuse_namesakes(space)
        self._begin(space)
        return [self.mixture(*pair).heads for pair in mixtures(space)]

    def _begin(self, space: Space) -> None:
        """Forget what an earlier reaction's settings or means decided; keys say what is equal."""
        settings = settings_for(self.lab, space)
        pairs = itertools.starmap(_pair, mixtures(space))
        divided = self.corpora.in_training(pairs, settings.subsets) if settings.holdout else ()
        if why := too_few_to_hold(divided, settings.holdout):
            self.notices.append(why)
            settings, divided = replace(settings, holdout=0.0), ()
        before, now = ([corpus.digest for corpus in corpora] for corpora in (self.divided, divided))
        is_other = settings != self.settings or now != before
        if is_other or any(leaf.spec.centre for leaf in leaves(space)):
            self._embeds.clear()
            self._mixtures.clear()
            self._tunings.clear()
            self._learnings.clear()
            self._averaged.clear()
        self.divided = divided
        self.settings = settings

    def encode(self, leaf: Leaf, corpus: Corpus, purpose: str = "", *, raw: bool = False) -> Step:
        """Plan a corpus's embedding by a leaf's encoder, whether the leaf is centred or not.

        With ``raw``, the norms that the model gives are kept beside the rows.
        """
        if raw:
            return EmbedRaw(space=leaf.spec, corpus=corpus, purpose=purpose, **self._stored)
        step = self.embed(Leaf(replace(leaf.spec, centre=False)), corpus)
        assert isinstance(step, EmbedLeaf), "a leaf that is not centred is only encoded"
        # ``purpose`` is in the label, not in the key: the rows are the same for every purpose.
        return replace(step, purpose=purpose)

    def embed(self, space: Space, corpus: Corpus) -> Step:
        """Plan a corpus's embedding in a leaf or a product."""
        key = (space, corpus.digest)
        if key not in self._embeds:
            self._embeds[key] = self._embed(space, corpus)
        return self._embeds[key]

    def _embed(self, space: Space, corpus: Corpus) -> Step:
        stored = self._stored
        if isinstance(space, Leaf) and space.spec.centre:
            return CentreRows(
                name=space.label,
                modality=corpus.modality,
                dim=space.dim,
                rows=self.encode(space, corpus),
                mean=self.mean(space, corpus.modality),
                **stored,
            )
        if isinstance(space, Leaf) and space.spec.tuned:
            return plan_tuned_leaf(self, space, corpus, **stored)
        if isinstance(space, Leaf):
            return EmbedLeaf(space=space.spec, corpus=corpus, **stored)
        if isinstance(space, Tuned):
            plan = plan_aligned if space.op == "lcl" else plan_embedding
            return plan(self, space, corpus, **stored)
        base_share, shares = coefficients(space, corpus.modality)
        sides: dict[str, Step] = {}
        heads: dict[str, Mapping[str, Step]] = {}
        if base_share > 0:
            sides["base"] = self.embed(space.base, corpus)
            if space.op == "dr":
                heads["base"] = self.mixture(space, 0).heads
        for i, (expert, share) in enumerate(zip(space.experts, shares, strict=True)):
            if share > 0:
                sides[f"expert.{i}"] = self.embed(expert.space, corpus)
                if space.op == "cr":
                    heads[f"expert.{i}"] = self.mixture(space, i).heads
        return EmbedProduct(
            fusion=space,
            modality=corpus.modality,
            sides=sides,
            heads=heads,
            n_rows=len(corpus),
            **stored,
        )

    @property
    def _stored(self) -> dict[str, Any]:
        """How embeddings are stored."""
        return {"dtype": self.settings.stored_dtype, "shard_rows": self.settings.shard_rows}

    def averages(self, leaf: Leaf, modality: Modality) -> bool:
        """Return whether ``mean`` has rows: whether the mixtures planned so far train on them."""
        return (leaf, modality) in self._averaged

    def mean(self, leaf: Leaf, modality: Modality) -> Step:
        """Plan the mean of the training rows that the reaction's first use of a leaf has."""
        if (leaf, modality) not in self._averaged:
            raise UsageError(
                f"space '{leaf.label}' is centred, and has no {modality} training rows",
                fix="use it in a reaction, or centre = false",
            )
        rows = self.encode(leaf, self._averaged[leaf, modality])
        return ModalityMean(name=leaf.label, modality=modality, dim=leaf.dim, rows=rows)

    @property
    def tunings(self) -> Iterable[PlannedTuning]:
        """Every Ft planned so far."""
        return self._tunings.values()

    def tuning(self, node: Tuned) -> PlannedTuning:
        """Plan an Ft."""
        if node not in self._tunings:
            self._tunings[node] = plan_tuning(self, node)
        return self._tunings[node]

    def learning(self, node: Tuned) -> PlannedLearning:
        """Plan an Lcl."""
        if node not in self._learnings:
            self._learnings[node] = plan_learning(self, node)
        return self._learnings[node]

    def mixture(self, fusion: Fusion, index: int) -> Mixture:
        """Plan the projectors that join one expert to its base."""
        if (fusion, index) not in self._mixtures:
            # Joined to the base by itself: parallel experts are trained without each other.
            self._mixtures[fusion, index] = self._mixture(_pair(fusion, index))
        return self._mixtures[fusion, index]

    def _mixture(self, pair: Fusion) -> Mixture:
        base, expert, settings = pair.base, pair.experts[0], self.settings
        splits = self._taking_part(pair)
        corpora = {modality: split.training for modality, split in splits.items()}
        for leaf in leaves(pair):
            for modality in leaf.modalities:
                if modality in corpora:
                    self._averaged.setdefault((leaf, modality), corpora[modality])
        recipe = recipe_of(expert.recipe)
        if recipe.notice:
            self.notices.append(f"recipe {recipe.name}: {recipe.notice}")
        subsets = chosen_subsets(expert, sorted(corpora), settings.subsets)
        pseudo_sets = {
            anchor: self._pseudo_set(pair, corpora, anchor)
            for anchor in sorted({anchor for subset in subsets for anchor in subset})
        }
        label = f"{base.label} + {pair.op.capitalize()}({expert.label})"
        projectors = tuple(
            PlannedProjector(
                label,
                subset_name(subset),
                n,
                None if recipe.solver else choose(settings, pair.op, n),
            )
            for subset in subsets
            for n in (sum(len(corpora[anchor]) for anchor in subset),)
        )
        self.notices.extend(few_pairs(pair, corpora, projectors))
        heads = {
            projector.subset: projector_step(
                pair,
                projector,
                settings,
                self.lab.seed,
                anchors=subset,
                pseudo_sets=pseudo_sets,
                corpora=corpora,
            )
            for subset, projector in zip(subsets, projectors, strict=True)
        }
        if len(heads) > MANY and settings.subsets == "all":
            self.notices.append(many_subsets(label, sorted(corpora), heads))
        return Mixture(heads, projectors, splits)

    def _taking_part(self, pair: Fusion) -> dict[Modality, Split]:
        """Return the corpora that join the expert to its base, divided."""
        splits: dict[Modality, Split] = {}
        for modality in self.corpora.candidates(pair, self.settings.subsets):
            corpus = self.corpora.of(pair, modality)
            if corpus is None:
                self.notices.append(f"no {modality} corpus: {modality} takes no part in training")
                continue
            if len(corpus) == 0:
                raise DataError(f"the {modality} corpus is empty", corpus=corpus.name)
            splits[modality] = split(corpus, self.settings.holdout, self.lab.seed)
        base, expert = pair.base, pair.experts[0].space
        shared = shared_modalities(base, expert)
        if not any(modality in splits for modality in shared):
            raise DataError(
                f"no corpus for any modality that {base.label} and {expert.label} share",
                why=f"they share {', '.join(shared)}",
                fix=f"name one in {self.lab.path}: [corpora.{shared[0]}]",
            )
        return splits

    def _pseudo_set(
        self, pair: Fusion, corpora: Mapping[Modality, Corpus], anchor: Modality
    ) -> dict[Slot, Step]:
        spaces: dict[Side, Space] = {"base": pair.base, "expert": pair.experts[0].space}
        sides = {
            side: {
                modality: self.embed(space, corpus)
                for modality, corpus in corpora.items()
                if modality in space.modalities
            }
            for side, space in spaces.items()
        }
        return pseudo_set(
            anchor,
            route(sides["base"], sides["expert"], hub=pair.base.hub, anchor=anchor),
            sides,
            {side: space.label for side, space in spaces.items()},
            {side: space.dim for side, space in spaces.items()},
            temperature=self.settings.collect_temperature,
            precision=self.settings.precision,
            dtype=self.settings.stored_dtype,
            shard_rows=self.settings.shard_rows,
        )


def _pair(fusion: Fusion, index: int) -> Fusion:
    """Return the fusion of a base with one of its experts alone."""
    return Fusion(fusion.op, fusion.base, (fusion.experts[index],))
