"""How an Lcl is planned: items, their descriptions, and a layer for each modality."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from reactions.core.described import DescribedItems
from reactions.core.errors import DataError, UsageError, suggestion
from reactions.core.lcl_options import LclOptions
from reactions.core.lcl_settings import PRESETS, LclSettings
from reactions.core.step import Step
from reactions.core.types import Leaf, Modality, Tuned
from reactions.data.corpora import TextCorpus
from reactions.data.holdout import has_own_ids, held_ids, ids_of, subset
from reactions.eval.prompts import class_prompts
from reactions.knowledge.base import UNLABELLED
from reactions.labs.knowledge_sections import described_name
from reactions.modalities.text import TEXT
from reactions.planning.planned import PlannedLayer, PlannedLearning
from reactions.planning.tuning import in_folders
from reactions.steps.align_text import AlignText
from reactions.steps.embed_aligned import EmbedAligned

if TYPE_CHECKING:
    from reactions.core.types import Corpus
    from reactions.knowledge.base import ItemDescriptions, KnowledgeBase
    from reactions.planning.planned import Planning

LABEL_TEMPLATE: Final = "a photo of a {class}."
"""What stands for a description where items are drawn to their labels. Source: CLIP's default."""

MIN_REACH: Final = 0.2
"""Layers that are drawn at random and trained with a smaller ``AlignText.reach`` stay near there.

Measured: docs/lcl.md.
"""


def plan_learning(planner: Planning, node: Tuned) -> PlannedLearning:
    """Plan an Lcl.

    Raises:
        MissingError: the lab has no such knowledge base, or its items are not there.
        DataError: it describes none of a corpus's items, or too few, or another corpus.
        UsageError: it describes no items of any modality that the base embeds besides text, or of
            one that the reaction names.
    """
    knowledge = planner.lab.knowledge(node.arguments[0])
    planner.notices.extend(knowledge.notices)
    settings = lcl_settings(planner.lab.lcl, node.learning)
    layers = {
        modality: _layer(planner, node, knowledge, modality, settings)
        for modality in _modalities(planner, node, knowledge)
    }
    planner.notices.extend(_short_trainings([layer.step for layer in layers.values()]))
    if node.learning.preset and not node.learning.takes_raw_rows:
        planner.notices.append(
            f"preset {node.learning.preset}: trained on rows of norm 1; the published code trains "
            "on what the model gives (norms=published)"
        )
    return PlannedLearning(node, knowledge, layers, settings)


def lcl_settings(lab: LclSettings, options: LclOptions) -> LclSettings:
    """Return what an Lcl is trained with: its own options, its preset's, the lab's for the rest."""
    options_given = {
        "temperature": options.temperature,
        "symmetric": options.symmetric,
        "duplicates": options.duplicates,
        "init": options.init,
        "epochs": options.epochs,
        "learning_rate": options.lr,
        "batch_size": options.batch,
    }
    settings: dict[str, Any] = {
        name: value for name, value in options_given.items() if value is not None
    }
    if options.targets == "labels":
        # Items of one class have one text: as negatives they would be drawn apart and together.
        settings.setdefault("duplicates", "masked")
    preset = PRESETS[options.preset] if options.preset else {}
    return replace(lab, **{**preset, **settings})


def _modalities(planner: Planning, node: Tuned, knowledge: KnowledgeBase) -> list[Modality]:
    """Return what gets a layer; tell what does not."""
    options, base = node.learning, node.base
    for name in options.modalities or ():
        if name not in knowledge.modalities:
            raise UsageError(
                f"knowledge base '{knowledge.name}' describes no {name} items",
                why="it describes items of " + (", ".join(knowledge.modalities) or "no modality"),
                fix=suggestion(name, knowledge.modalities),
            )
    if options.modalities:
        return list(options.modalities)
    embedded = [modality for modality in base.modalities if modality != TEXT.name]
    described = [modality for modality in embedded if modality in knowledge.modalities]
    if not described:
        raise UsageError(
            f"knowledge base '{knowledge.name}' describes nothing that {base.label} embeds",
            why=f"it describes items of {', '.join(knowledge.modalities) or 'no modality'}; "
            f"{base.label} embeds {', '.join(base.modalities)}",
            fix="molspace kb describe --corpus NAME adds descriptions of items",
        )
    if undescribed := [modality for modality in embedded if modality not in described]:
        planner.notices.append(
            f"knowledge base '{knowledge.name}' describes no items of {', '.join(undescribed)}, "
            f"which {'stays' if len(undescribed) == 1 else 'stay'} as in {base.label}"
        )
    return described


def _layer(
    planner: Planning,
    node: Tuned,
    knowledge: KnowledgeBase,
    modality: Modality,
    settings: LclSettings,
) -> PlannedLayer:
    """Plan the layer of one modality."""
    whole, options = planner.lab.item_corpus(knowledge, modality), node.learning
    corpus, descriptions, n_held = _described(planner, knowledge, whole, modality)
    if options.targets == "labels":
        distinct, described = _labels(knowledge, descriptions)
    else:
        distinct, described = _descriptions(knowledge, modality, descriptions)
    if len(distinct) < 2:
        raise _of_one_text(knowledge, modality, corpus, options.targets == "labels")
    corpus = in_folders(node.base, corpus)
    texts = in_folders(node.base, distinct)
    raw = options.takes_raw_rows
    rows = planner.embed(node.base, corpus)
    if raw and isinstance(node.base, Leaf):
        rows = planner.encode(node.base, corpus, raw=True)
    if (n := len(corpus)) < settings.batch_size:
        planner.notices.append(
            f"{corpus.name}: {n:,} described items are fewer than a batch of "
            f"{settings.batch_size:,}: each epoch is one step of all of them, {settings.epochs} "
            "in all (the published code would make none); batch=N with a smaller N makes more"
        )
    if settings.duplicates == "masked":
        shares = np.bincount(described.texts) / len(described.texts)
        # In a batch, the chance that an item's text is drawn, and for all the others as well.
        alone = float((shares ** min(settings.batch_size, len(corpus))).sum())
        if alone >= 0.01:
            planner.notices.append(
                f"{corpus.name}: one text describes {100 * shares.max():.0f} % of what is "
                f"described, so that about {100 * alone:.0f} % of the items meet no other in "
                "their batch and train nothing; "
                "duplicates=negatives, a larger batch, or more texts"
            )
    step = AlignText(
        of=node.base.label,
        modality=modality,
        dim=node.dim,
        rows=rows,
        texts=planner.embed(node.base, texts),
        described=described,
        settings=settings,
        is_raw=raw,
        seed=planner.lab.seed,
    )
    name = described_name(knowledge, modality, planner.lab)
    return PlannedLayer(step, whole, name, len(corpus), len(texts), n_held)


def _short_trainings(steps: Sequence[AlignText]) -> list[str]:
    """Return a notice for each length of training that is too short for its learning rate."""
    short: dict[int, list[AlignText]] = {}
    for step in steps:
        if step.settings.init == "default" and step.reach < MIN_REACH:
            short.setdefault(step.n_steps, []).append(step)
    return [_leaves_as_drawn(alike) for alike in short.values()]


def _leaves_as_drawn(steps: Sequence[AlignText]) -> str:
    """Return the notice of trainings of one length."""
    (step, *other_steps), settings = steps, steps[0].settings
    times = MIN_REACH / step.reach
    rate = times * settings.learning_rate
    digit = 10.0 ** math.floor(math.log10(rate))
    layers = ", ".join(step.modality for step in steps) + (" layers" if other_steps else " layer")
    return (
        f"{step.n_steps:,} steps at a learning rate of {settings.learning_rate:g} can move the "
        f"weights of the {layers} by {100 * step.reach:.0f} % of the range they are drawn from: "
        "they stay near their random beginning, which costs scores; take "
        f"epochs={math.ceil(times * settings.epochs)} or more, "
        f"lr={digit * math.ceil(rate / digit):g} or more, or init=identity"
    )


def _of_one_text(
    knowledge: KnowledgeBase, modality: Modality, corpus: Corpus, by_labels: bool
) -> DataError:
    """Return the error for items that nothing tells apart: a layer would stay as it began."""
    (category, *_) = knowledge.items(modality).categories
    what = f"are all of the category '{category}'" if by_labels else "all have one description"
    return DataError(
        f"knowledge base '{knowledge.name}': the {len(corpus):,} {modality} items of "
        f"{corpus.name} {what}",
        why="items are drawn to their own text and away from others', of which there are none",
        fix="give items categories, or targets=descriptions"
        if by_labels
        else f"describe items one by one: molspace kb describe --corpus '{corpus.name}'",
        corpus=corpus.name,
    )


def _described(
    planner: Planning, knowledge: KnowledgeBase, corpus: Corpus, modality: Modality
) -> tuple[Corpus, list[list[tuple[str, str]]], int]:
    """Return the items that are described and not held back, and how many are held back.

    Between them are the (category, description) pairs of each.

    Raises:
        DataError: fewer than two are, or items have no ids of their own.
    """
    if not has_own_ids(corpus):
        raise DataError(
            f"{corpus.name}: items have no ids of their own",
            why=f"knowledge base '{knowledge.name}' knows items by their ids, not by position",
            fix="give the items ids",
            corpus=corpus.name,
        )
    entries: ItemDescriptions = knowledge.items(modality)
    by_id: dict[str, list[tuple[str, str]]] = {}
    rows = zip(entries.ids, entries.categories, entries.descriptions, strict=True)
    for id, category, description in rows:
        by_id.setdefault(id, []).append((category, description))
    ids = ids_of(corpus)
    described = [row for row, id in enumerate(ids) if id in by_id]
    # What a product is measured on has taken part in none of its layers either.
    ids_held = held_ids(by_id, planner.divided, planner.settings.holdout, planner.lab.seed)
    rows_used = [row for row in described if ids[row] not in ids_held]
    n_held = len(described) - len(rows_used)
    name = f"knowledge base '{knowledge.name}'"
    if len(rows_used) < 2:
        raise DataError(
            f"{name} describes {len(described)} of the {len(ids):,} items of {corpus.name}"
            + (f", of which {n_held} are held back" if n_held else ""),
            why=f"an item is told from others, so two are the least; its ids are such as "
            f"'{entries.ids[0]}', the corpus's such as '{ids[0]}'",
            fix=f"molspace kb describe --corpus '{corpus.name}'",
            corpus=corpus.name,
        )
    if (n_absent := len(by_id) - len(described)) > 0:
        planner.notices.append(
            f"{name}: {n_absent:,} of {len(by_id):,} described {modality} items are not in "
            f"{corpus.name}, and take no part"
        )
    if n_held:
        planner.notices.append(
            f"{corpus.name}: {n_held:,} of {len(described):,} described items are held back, and "
            f"take no part in Lcl({knowledge.name})"
        )
    if len(described) < len(ids):
        planner.notices.append(
            f"{corpus.name}: {len(ids) - len(described):,} of {len(ids):,} items have no "
            f"description in {name}, and take no part"
        )
    if len(rows_used) < len(ids):
        corpus = subset(corpus, np.array(rows_used, np.int64), "described")
    return corpus, [by_id[ids[row]] for row in rows_used], n_held


def _descriptions(
    knowledge: KnowledgeBase, modality: Modality, items: Sequence[Sequence[tuple[str, str]]]
) -> tuple[TextCorpus, DescribedItems]:
    """Return the distinct descriptions, and which of them describe which item."""
    numbers: dict[str, int] = {}
    of_items = [[numbers.setdefault(text, len(numbers)) for _, text in item] for item in items]
    name = f"{knowledge.name} {modality} descriptions"
    # Named after what they say: equal descriptions are one.
    ids = [f"{name.replace(' ', '-')}/{number}" for number in range(len(numbers))]
    return TextCorpus(name, list(numbers), ids), DescribedItems.of(of_items)


def _labels(
    knowledge: KnowledgeBase, items: Sequence[Sequence[tuple[str, str]]]
) -> tuple[TextCorpus, DescribedItems]:
    """Return a prompt for each category, and which of them is each item's.

    Raises:
        DataError: an item is described under several categories.
    """
    numbers: dict[str, int] = {}
    of_items: list[list[int]] = []
    for item in items:
        categories = list(dict.fromkeys(category for category, _ in item))
        if len(categories) > 1:
            raise DataError(
                f"knowledge base '{knowledge.name}' has an item of several categories: "
                + ", ".join(categories[:5]),
                why="targets=labels draws each item to the one prompt of its category",
                fix="one category for all descriptions of an item, or targets=descriptions",
            )
        of_items.append([numbers.setdefault(categories[0], len(numbers))])
    unlabelled = of_items.count([numbers[UNLABELLED]]) if UNLABELLED in numbers else 0
    if 0 < unlabelled < len(of_items):
        raise DataError(
            f"knowledge base '{knowledge.name}': {unlabelled:,} of {len(of_items):,} items have no "
            "class",
            why=f"their category is '{UNLABELLED}'; targets=labels draws items to their classes",
            fix="targets=descriptions, or describe items that have classes",
        )
    texts = class_prompts(f"{knowledge.name} labels", list(numbers), (LABEL_TEMPLATE,))
    return texts, DescribedItems.of(of_items)


def plan_aligned(planner: Planning, node: Tuned, corpus: Corpus, **stored: Any) -> Step:
    """Plan the embedding of a corpus in what an Lcl trained.

    Args:
        planner: plans what it is made of.
        node: the aligned product.
        corpus: of any of its modalities.
        stored: type and shard size of the result.
    """
    layer = planner.learning(node).layers.get(corpus.modality)
    if layer is None:
        return planner.embed(node.base, corpus)
    rows = planner.embed(node.base, corpus)
    if node.learning.takes_raw_rows and isinstance(node.base, Leaf):
        rows = planner.encode(node.base, corpus, raw=True)
    return EmbedAligned(node=node, modality=corpus.modality, rows=rows, layer=layer.step, **stored)
