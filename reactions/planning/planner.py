"""From a typed reaction to the steps that make it. Pure: nothing is loaded or run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from reactions.core.errors import DataError, UsageError
from reactions.core.settings import ReactionSettings
from reactions.core.step import Step
from reactions.core.types import (
    Corpus,
    Expert,
    Fusion,
    Leaf,
    Modality,
    Space,
    SpaceSpec,
    Tuned,
    leaves,
    shared_modalities,
)
from reactions.data.holdout import LEAST_HELD, Split, split
from reactions.labs.choices import choose, training_settings
from reactions.labs.lab import Lab
from reactions.ops.recipes import recipe_of
from reactions.planning.held_out import (
    Projector,
    choices_notices,
    made_up_notices,
    plan_quality,
    row_counts,
    settings_for,
    settings_record,
)
from reactions.planning.plan import Plan, joined, ordered, plan_json, total_cost
from reactions.planning.space_notices import notes
from reactions.products.bundle import describe
from reactions.products.refusals import refuse_namesakes, refuse_unsupported
from reactions.products.tree import coefficients, mixtures
from reactions.steps.assemble import Assemble
from reactions.steps.centre import CentreRows, ModalityMean
from reactions.steps.collect import pseudo_set
from reactions.steps.embed import EmbedLeaf, EmbedProduct
from reactions.steps.routing import Side, Slot, route
from reactions.steps.train import Train, subset_name, subsets

__all__ = [
    "Plan",
    "Planner",
    "joined",
    "ordered",
    "plan_json",
    "refuse_namesakes",
    "refuse_unsupported",
    "total_cost",
]

Mixture = Mapping[str, Step]
"""Subset name to train step: the heads of one expert."""


def _counts(corpus: Corpus) -> tuple[str, int, int]:
    skipped = getattr(corpus, "skipped", None)  # only files can hold what is left out
    return corpus.modality, len(corpus), skipped.n_rows if skipped else len(corpus)


@dataclass
class Planner:
    """Builds steps for one lab, sharing those that several reactions have in common.

    Args:
        lab: corpora, hyper-parameters and seed.
    """

    lab: Lab
    notices: list[str] = field(default_factory=list)
    _made_up: dict[str, list[Modality]] = field(default_factory=dict)
    _corpora: dict[tuple[Modality, tuple[str, ...]], Corpus | None] = field(default_factory=dict)
    _embeds: dict[tuple[Space, str], Step] = field(default_factory=dict)
    _mixtures: dict[tuple[Fusion, int], Mixture] = field(default_factory=dict)
    _splits: dict[tuple[Fusion, int], dict[Modality, Split]] = field(default_factory=dict)
    _projectors: dict[tuple[Fusion, int], list[Projector]] = field(default_factory=dict)
    _averaged: dict[tuple[Leaf, Modality], Corpus] = field(default_factory=dict)
    _settings: ReactionSettings | None = None

    @property
    def settings(self) -> ReactionSettings:
        """The settings of the reaction that is planned."""
        return self._settings or self.lab.settings

    def react(self, expression: str, space: Space) -> Plan:
        """Plan the training of a product and the assembly of its bundle.

        Args:
            expression: canonical text, for the record.
            space: the typed reaction.

        Raises:
            UsageError: it is a space, not a reaction.
            DataError: a corpus is missing or does not fit, or nothing is left to train on.
            NotSupportedYet: the reaction uses Ft or Lcl.
            UsageError: two of its spaces have the same name.
        """
        if isinstance(space, Leaf):
            raise UsageError(
                f"'{space.label}' is a space, not a reaction",
                why="there is nothing to train",
                fix=f"write a reaction, such as {space.label} + Cr(...)",
            )
        refuse_unsupported(space)
        refuse_namesakes(space)
        assert isinstance(space, Fusion), "what is neither a leaf nor refused is a fusion"
        self._begin(space)
        for leaf in leaves(space):
            self.notices.extend(notes(leaf.spec))
        pairs = list(mixtures(space))
        heads = [self.mixture(fusion, i) for fusion, i in pairs]
        splits = {pair: self._splits[pair] for pair in pairs}
        rows = row_counts(splits)
        projectors = tuple(one for pair in pairs for one in self._projectors[pair])
        quality = plan_quality(space, splits, heads, encode=self.encode, mean=self._mean)
        if self.settings.holdout and quality is None:
            n = ", ".join(f"{count.rows} {count.modality}" for count in rows)
            self.notices.append(
                f"nothing is held back: of {n} rows no id falls to {self.settings.holdout:.0%}"
            )
        means = {
            f"{leaf.label}.{modality}": self._mean(leaf, modality)
            for leaf, modality in self._averaged
            if leaf.spec.centre
        }
        record = describe(
            expression,
            space,
            lab={"name": self.lab.name, "label": self.lab.label, "seed": self.lab.seed},
            subsets=[list(mixture) for mixture in heads],
            settings=settings_record(self.settings),
            step_keys={
                f"{index}.{name}": step.key
                for index, mixture in enumerate(heads)
                for name, step in mixture.items()
            },
            version=metadata.version("molspace"),
        )
        facts = {
            "rows": [count.to_json() for count in rows],
            "projectors": [one.to_json() for one in projectors],
        }
        return Plan(
            (Assemble(record=record, mixtures=heads, means=means, quality=quality, facts=facts),),
            tuple(dict.fromkeys((*self._told(), *choices_notices(projectors)))),
            tuple(_counts(corpus) for corpus in self._corpora.values() if corpus is not None),
            rows,
            projectors,
        )

    def _begin(self, space: Space) -> None:
        """Forget what an earlier reaction's settings or means decided; keys say what is equal."""
        settings = settings_for(self.lab, space)
        if settings.holdout:
            corpora = [
                corpus
                for fusion, i in mixtures(space)
                for pair in (Fusion(fusion.op, fusion.base, (fusion.experts[i],)),)
                for modality in pair.modalities
                if (corpus := self.corpus(pair, modality)) is not None
            ]
            smallest = min(corpora, key=len, default=None)
            if smallest is not None and len(smallest) * settings.holdout < LEAST_HELD:
                self.notices.append(
                    f"nothing is held back: {settings.holdout:.0%} of {len(smallest)} "
                    f"{smallest.modality} rows are too few to measure with"
                )
                settings = replace(settings, holdout=0.0)
        if settings != self.settings or any(leaf.spec.centre for leaf in leaves(space)):
            for made in (self._embeds, self._mixtures, self._splits, self._projectors):
                made.clear()
            self._averaged.clear()
        self._settings = settings

    def corpus(self, space: Space, modality: Modality) -> Corpus | None:
        """Return the corpus that a reaction with this space embeds, or None without one.

        It is the one that the lab names. Where the lab names none, or one of the mini world, and
        every leaf that embeds the modality is a folder of embeddings, their own ids are the
        corpus.

        Raises:
            DataError: a folder lacks items of the corpus.
        """
        concerned = [leaf.spec for leaf in leaves(space) if modality in leaf.spec.modalities]
        folders = [spec for spec in concerned if spec.adapter == "precomputed"]
        key = (modality, tuple(spec.source for spec in folders))
        if key not in self._corpora:
            found = self._corpora[key] = self._items(concerned, folders, modality)
            self.notices.extend(getattr(found, "notices", ()))
        return self._corpora[key]

    def _items(
        self, concerned: Sequence[SpaceSpec], folders: Sequence[SpaceSpec], modality: Modality
    ) -> Corpus | None:
        if not folders:
            return self.lab.corpus(modality)
        from reactions.encoders.precomputed.adapter import common_corpus
        from reactions.labs.named_items import has_rows, named_items, names_items, unnamed_note

        if len(folders) < len(concerned):
            corpus = self.lab.corpus(modality)
            return None if corpus is None else has_rows(corpus, folders)
        if names_items(self.lab, modality):
            return named_items(self.lab, modality, folders)
        if modality in self.lab.corpora:
            self._made_up.setdefault(folders[0].name, []).append(modality)
        elif note := unnamed_note(self.lab, modality):
            self.notices.append(note)
        return common_corpus(folders, modality)

    def _told(self) -> list[str]:
        return [*self.notices, *made_up_notices(self.lab.name, self._made_up)]

    def encode(self, leaf: Leaf, corpus: Corpus, purpose: str = "") -> Step:
        """Plan a corpus's embedding by a leaf's encoder, whether the leaf is centred or not."""
        step = self.embed(Leaf(replace(leaf.spec, centre=False)), corpus)
        assert isinstance(step, EmbedLeaf), "a leaf that is not centred is only encoded"
        return replace(step, purpose=purpose)

    def embed(self, space: Space, corpus: Corpus) -> Step:
        """Plan a corpus's embedding in a leaf or a product."""
        key = (space, corpus.digest)
        if key not in self._embeds:
            self._embeds[key] = self._embed(space, corpus)
        return self._embeds[key]

    def _embed(self, space: Space, corpus: Corpus) -> Step:
        settings = self.settings
        stored: dict[str, Any] = {
            "dtype": settings.stored_dtype,
            "shard_rows": settings.shard_rows,
        }
        if isinstance(space, Leaf) and space.spec.centre:
            return CentreRows(
                name=space.label,
                modality=corpus.modality,
                dim=space.dim,
                rows=self.encode(space, corpus),
                mean=self._mean(space, corpus.modality),
                **stored,
            )
        if isinstance(space, Leaf):
            return EmbedLeaf(space=space.spec, corpus=corpus, **stored)
        if isinstance(space, Tuned):
            refuse_unsupported(space)
            return self.embed(space.base, corpus)
        base_share, shares = coefficients(space, corpus.modality)
        sides: dict[str, Step] = {}
        heads: dict[str, Mixture] = {}
        if base_share > 0:
            sides["base"] = self.embed(space.base, corpus)
            if space.op == "dr":
                heads["base"] = self.mixture(space, 0)
        for i, (expert, share) in enumerate(zip(space.experts, shares, strict=True)):
            if share > 0:
                sides[f"expert.{i}"] = self.embed(expert.space, corpus)
                if space.op == "cr":
                    heads[f"expert.{i}"] = self.mixture(space, i)
        return EmbedProduct(
            fusion=space,
            modality=corpus.modality,
            sides=sides,
            heads=heads,
            n_rows=len(corpus),
            **stored,
        )

    def _mean(self, leaf: Leaf, modality: Modality) -> Step:
        """Plan the mean of the training rows that the reaction's first use of a leaf has."""
        if (leaf, modality) not in self._averaged:
            raise UsageError(
                f"space '{leaf.label}' is centred, and has no {modality} training rows",
                fix="use it in a reaction, or centre = false",
            )
        rows = self.encode(leaf, self._averaged[leaf, modality])
        return ModalityMean(name=leaf.label, modality=modality, dim=leaf.dim, rows=rows)

    def mixture(self, fusion: Fusion, index: int) -> Mixture:
        """Plan the projectors that join one expert to its base."""
        key = (fusion, index)
        if key not in self._mixtures:
            self._mixtures[key] = self._mixture(fusion, fusion.experts[index])
        return self._mixtures[key]

    def _mixture(self, fusion: Fusion, expert: Expert) -> Mixture:
        divided = self._taking_part(fusion, expert)
        self._splits[fusion, fusion.experts.index(expert)] = divided
        corpora = {modality: found.training for modality, found in divided.items()}
        for leaf in leaves(Fusion(fusion.op, fusion.base, (expert,))):
            for modality in leaf.spec.modalities:
                if modality in corpora:
                    self._averaged.setdefault((leaf, modality), corpora[modality])
        anchors, recipe = sorted(corpora), recipe_of(expert.recipe)
        if expert.anchors is not None:
            missing = sorted(set(expert.anchors) - set(anchors))
            if missing:
                raise DataError(f"data={subset_name(expert.anchors)}: no {missing[0]} corpus")
            chosen = [tuple(sorted(expert.anchors))]
        elif recipe.is_mixture:
            chosen = subsets(anchors)
        else:
            chosen = [tuple(anchors)]
        if recipe.notice:
            self.notices.append(f"recipe {recipe.name}: {recipe.notice}")
        label = f"{fusion.base.label} + {fusion.op.capitalize()}({expert.label})"
        needed = sorted({anchor for subset in chosen for anchor in subset})
        collected = {a: self._pseudo_set(fusion, expert, corpora, a) for a in needed}
        settings = self.settings
        projectors = [
            Projector(label, subset_name(subset), n, choose(settings, fusion.op, n))
            for subset in chosen
            for n in (sum(len(corpora[anchor]) for anchor in subset),)
        ]
        self._projectors[fusion, fusion.experts.index(expert)] = projectors
        return {
            subset_name(subset): Train(
                spaces=label,
                op=fusion.op,
                anchors=subset,
                pseudo_sets=collected,
                dims=(fusion.base.dim, expert.space.dim),
                modalities=(
                    [m for m in anchors if m in fusion.base.modalities],
                    [m for m in anchors if m in expert.space.modalities],
                ),
                precision=settings.precision,
                settings=training_settings(settings, projector.training, self.lab.seed),
                recipe=expert.recipe,
            )
            for subset, projector in zip(chosen, projectors, strict=True)
        }

    def _taking_part(self, fusion: Fusion, expert: Expert) -> dict[Modality, Split]:
        """Return the corpora of the modalities that base or expert embed, divided."""
        pair = Fusion(fusion.op, fusion.base, (expert,))
        found: dict[Modality, Split] = {}
        for modality in pair.modalities:
            corpus = self.corpus(pair, modality)
            if corpus is None:
                self.notices.append(f"no {modality} corpus: {modality} takes no part in training")
                continue
            if len(corpus) == 0:
                raise DataError(f"the {modality} corpus is empty", corpus=corpus.name)
            found[modality] = split(corpus, self.settings.holdout, self.lab.seed)
        shared = shared_modalities(fusion.base, expert.space)
        if not any(modality in found for modality in shared):
            raise DataError(
                f"no corpus for any modality that {fusion.base.label} and {expert.label} share",
                why=f"they share {', '.join(shared)}",
                fix=f"name one in {self.lab.path}: [corpora.{shared[0]}]",
            )
        return found

    def _pseudo_set(
        self,
        fusion: Fusion,
        expert: Expert,
        corpora: Mapping[Modality, Corpus],
        anchor: Modality,
    ) -> dict[Slot, Step]:
        sides: dict[Side, dict[Modality, Step]] = {
            "base": {
                m: self.embed(fusion.base, c)
                for m, c in corpora.items()
                if m in fusion.base.modalities
            },
            "expert": {
                m: self.embed(expert.space, c)
                for m, c in corpora.items()
                if m in expert.space.modalities
            },
        }
        return pseudo_set(
            anchor,
            route(sides["base"], sides["expert"], hub=fusion.base.hub, anchor=anchor),
            sides,
            {"base": fusion.base.label, "expert": expert.label},
            {"base": fusion.base.dim, "expert": expert.space.dim},
            temperature=self.settings.collect_temperature,
            precision=self.settings.precision,
            dtype=self.settings.stored_dtype,
            shard_rows=self.settings.shard_rows,
        )
