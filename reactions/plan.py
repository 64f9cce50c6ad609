"""From a typed reaction to the steps that make it. Pure: nothing is loaded or run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import metadata
from typing import Any

from reactions.bundle import describe
from reactions.errors import DataError, NotSupportedYet, UsageError
from reactions.graph import Cost, Step
from reactions.kinds import (
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
from reactions.labs.lab import Lab
from reactions.ops.recipes import PAPER
from reactions.spaces.tree import coefficients, mixtures
from reactions.steps.assemble import assemble
from reactions.steps.collect import pseudo_set
from reactions.steps.embed import embed_leaf, embed_product
from reactions.steps.routing import Side, Slot, route
from reactions.steps.train import subset_name, subsets, train

Mixture = tuple[tuple[str, Step], ...]
"""(subset name, train step) pairs: the heads of one expert."""


@dataclass(frozen=True)
class Plan:
    """A DAG of steps.

    Attributes:
        targets: the steps whose results are wanted.
        notices: what the user should know before it runs.
        corpora: what is embedded: (name, usable items, items found or expected) of each.
    """

    targets: tuple[Step, ...]
    notices: tuple[str, ...] = ()
    corpora: tuple[tuple[str, int, int], ...] = ()

    def steps(self) -> Iterator[Step]:
        """Yield every step once, inputs before what needs them."""
        return ordered(self.targets)

    @property
    def cost(self) -> Cost:
        """Totals over all steps; memory is the largest of any.

        What steps that run together have in common is counted once.
        """
        return total_cost(self.steps())


def joined(plans: Sequence[Plan]) -> Plan:
    """Return one plan for all; what several have in common is in it once."""
    targets = {step.key: step for plan in plans for step in plan.targets}
    return Plan(
        tuple(targets.values()),
        tuple(dict.fromkeys(notice for plan in plans for notice in plan.notices)),
        tuple(dict.fromkeys(corpus for plan in plans for corpus in plan.corpora)),
    )


def total_cost(steps: Iterable[Step]) -> Cost:
    """Return totals over steps; what those that run together have in common counts once."""
    total, counted = Cost(), set[str]()
    for step in steps:
        cost = step.cost
        if step.together is not None:
            if step.together.name in counted:
                cost = replace(cost, flops=cost.flops - cost.shared_flops)
            counted.add(step.together.name)
        total = total + cost
    return total


def ordered(targets: Sequence[Step]) -> Iterator[Step]:
    """Yield the steps upstream of ``targets`` and themselves, each once, inputs first."""
    seen: set[str] = set()
    stack: list[tuple[Step, bool]] = [(step, False) for step in reversed(targets)]
    while stack:
        step, expanded = stack.pop()
        if expanded:
            yield step
        elif step.key not in seen:
            seen.add(step.key)
            stack.append((step, True))
            stack.extend((child, False) for _, child in reversed(step.inputs))


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
    _corpora: dict[tuple[Modality, tuple[str, ...]], Corpus | None] = field(default_factory=dict)
    _embeds: dict[tuple[Space, str], Step] = field(default_factory=dict)
    _mixtures: dict[tuple[Fusion, int], Mixture] = field(default_factory=dict)

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
        heads = [self.mixture(fusion, i) for fusion, i in mixtures(space)]
        record = describe(
            expression,
            space,
            lab={"name": self.lab.name, "label": self.lab.label, "seed": self.lab.seed},
            subsets=[[name for name, _ in mixture] for mixture in heads],
            settings=self.lab.settings.to_json(),
            step_keys={
                f"{index}.{name}": step.key
                for index, mixture in enumerate(heads)
                for name, step in mixture
            },
            version=metadata.version("molspace"),
        )
        return Plan(
            (assemble(record, heads),),
            tuple(dict.fromkeys(self.notices)),
            tuple(_counts(corpus) for corpus in self._corpora.values() if corpus is not None),
        )

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
        from reactions.labs.named_items import has_rows, named_items, names_items
        from reactions.spaces.precomputed import common_corpus

        if len(folders) < len(concerned):
            corpus = self.lab.corpus(modality)
            return None if corpus is None else has_rows(corpus, folders)
        if names_items(self.lab, modality):
            return named_items(self.lab, modality, folders)
        if modality in self.lab.corpora:
            self.notices.append(
                f"the {modality} corpus of lab '{self.lab.name}' is made up, and not used: the "
                f"rows of '{folders[0].name}' are"
            )
        return common_corpus(folders, modality)

    def embed(self, space: Space, corpus: Corpus) -> Step:
        """Plan a corpus's embedding in a leaf or a product."""
        key = (space, corpus.digest)
        if key not in self._embeds:
            self._embeds[key] = self._embed(space, corpus)
        return self._embeds[key]

    def _embed(self, space: Space, corpus: Corpus) -> Step:
        settings = self.lab.settings
        if isinstance(space, Leaf):
            return embed_leaf(
                space.spec, corpus, dtype=settings.stored_dtype, shard_rows=settings.shard_rows
            )
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
        return embed_product(
            space,
            corpus.modality,
            sides,
            heads,
            n_rows=len(corpus),
            dtype=settings.stored_dtype,
            shard_rows=settings.shard_rows,
        )

    def mixture(self, fusion: Fusion, index: int) -> Mixture:
        """Plan the projectors that join one expert to its base."""
        key = (fusion, index)
        if key not in self._mixtures:
            self._mixtures[key] = self._mixture(fusion, fusion.experts[index])
        return self._mixtures[key]

    def _mixture(self, fusion: Fusion, expert: Expert) -> Mixture:
        corpora = self._taking_part(fusion, expert)
        anchors = sorted(corpora)
        if expert.anchors is not None:
            missing = sorted(set(expert.anchors) - set(anchors))
            if missing:
                raise DataError(f"data={subset_name(expert.anchors)}: no {missing[0]} corpus")
            chosen = [tuple(sorted(expert.anchors))]
        elif expert.recipe != PAPER:
            chosen = [tuple(anchors)]  # the mixture is the paper's: the others train one projector
        else:
            chosen = subsets(anchors)
        if expert.recipe != PAPER:
            self.notices.append(
                f"recipe {expert.recipe}: its temperature, noise and weights are quoted from "
                "memory, not from a published configuration; compare with Table 9 with care"
            )
        label = f"{fusion.base.label} + {fusion.op.capitalize()}({expert.label})"
        needed = sorted({anchor for subset in chosen for anchor in subset})
        collected = {a: self._pseudo_set(fusion, expert, corpora, a) for a in needed}
        settings = self.lab.settings
        return tuple(
            (
                subset_name(subset),
                train(
                    label,
                    fusion.op,
                    subset,
                    collected,
                    (fusion.base.dim, expert.space.dim),
                    (
                        [m for m in anchors if m in fusion.base.modalities],
                        [m for m in anchors if m in expert.space.modalities],
                    ),
                    precision=settings.precision,
                    hidden_dim=settings.hidden_dim,
                    temperature=settings.info_nce_temperature,
                    learning_rate=settings.learning_rate,
                    batch_size=settings.batch_size,
                    epochs=settings.dr_epochs if fusion.op == "dr" else settings.cr_epochs,
                    seed=self.lab.seed,
                    recipe=expert.recipe,
                ),
            )
            for subset in chosen
        )

    def _taking_part(self, fusion: Fusion, expert: Expert) -> dict[Modality, Corpus]:
        """Return the corpora of the modalities that base or expert embed and the lab has."""
        pair = Fusion(fusion.op, fusion.base, (expert,))
        found: dict[Modality, Corpus] = {}
        for modality in pair.modalities:
            corpus = self.corpus(pair, modality)
            if corpus is None:
                self.notices.append(f"no {modality} corpus: {modality} takes no part in training")
                continue
            if len(corpus) == 0:
                raise DataError(f"the {modality} corpus is empty", corpus=corpus.name)
            found[modality] = corpus
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
            temperature=self.lab.settings.collect_temperature,
            precision=self.lab.settings.precision,
            dtype=self.lab.settings.stored_dtype,
            shard_rows=self.lab.settings.shard_rows,
        )


def refuse_unsupported(space: Space) -> None:
    """Refuse what the language can say and this version cannot run.

    Raises:
        NotSupportedYet: Ft or Lcl.
    """
    if isinstance(space, Leaf):
        return
    if isinstance(space, Tuned):
        name, purpose = {
            "ft": ("Ft", "tuning on paired data"),
            "lcl": ("Lcl", "contrastive learning on a knowledge base"),
        }[space.op]
        raise NotSupportedYet(
            f"{name} cannot run in this version",
            why=f"{purpose} is parsed and checked, but not implemented yet",
            fix=f"leave out {name}({'~'.join(space.arguments)})",
        )
    refuse_unsupported(space.base)
    for expert in space.experts:
        refuse_unsupported(expert.space)


def refuse_namesakes(space: Space) -> None:
    """Refuse different spaces of one name: bundles, scores and ``--experts`` go by names.

    Raises:
        UsageError: two leaves have the same name.
    """
    first: dict[str, Leaf] = {}
    for leaf in leaves(space):
        other = first.setdefault(leaf.spec.name, leaf)
        if other != leaf:
            raise UsageError(
                f"two different spaces are called '{leaf.spec.name}'",
                why=f"{other.spec.source} and {leaf.spec.source}",
                fix="name them apart in molspace.toml, as [spaces.NAME] with path = the folder",
            )


def plan_json(plan: Plan) -> list[dict[str, Any]]:
    """Return the steps as JSON objects: kind, label, key, inputs, estimates."""
    return [
        {
            "kind": step.kind,
            "label": step.label,
            "key": step.key,
            "inputs": {name: child.key for name, child in step.inputs},
            "flops": step.cost.flops,
            "size_bytes": step.cost.size_bytes,
            "memory_bytes": step.cost.memory_bytes,
        }
        for step in plan.steps()
    ]
