"""How an Ft is planned: pairs, targets, and what is tuned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from reactions.core.encoder_paths import path_of
from reactions.core.errors import DataError, UsageError
from reactions.core.settings import TuningSettings
from reactions.core.step import Step
from reactions.core.types import Leaf, Tuned, leaves
from reactions.encoders.registry import trains
from reactions.planning.named_rows import refuse_ids_alone
from reactions.planning.planned import PlannedTuning
from reactions.products.acting import reachable_leaves
from reactions.products.tree import tuned_leaf, tuned_nodes, tunes
from reactions.steps.embed_tuned import EmbedTuned, EmbedTunedLeaf
from reactions.steps.tune import Tune

if TYPE_CHECKING:
    from reactions.core.types import Corpus, Space
    from reactions.planning.planned import Planning


def refuse_untrainable(space: Space) -> None:
    """Refuse to tune encoders that have no towers to train.

    Raises:
        UsageError: there is one.
        MissingError: an adapter is not there.
    """
    for _, node in tuned_nodes(space):
        path, (tuned, paired) = path_of(node), node.arguments
        spec = path.leaf.spec
        if node.tuning.tunes_encoder and not trains(spec):
            raise UsageError(
                f"the {tuned} encoder of {path.leaf.label} cannot be tuned",
                why=f"the adapter '{spec.adapter}' has no towers to train",
                fix=f"tune the projectors alone, on embeddings: Ft({tuned}~{paired}, heads=only)"
                if path.projected
                else f"another space for {tuned}",
            )


def plan_tuning(planner: Planning, node: Tuned) -> PlannedTuning:
    """Plan an Ft.

    Raises:
        MissingError: the lab has no pairs of the two modalities.
        DataError: they are too few, or a folder of embeddings lacks some.
        UsageError: there are several, and the reaction names none; or the encoder cannot be tuned.
    """
    tuned, paired = node.arguments
    lab, options, path = planner.lab, node.tuning, path_of(node)
    pairs = lab.pairs_of(tuned, paired, options.pairs)
    if (n := len(pairs)) < 2:
        raise DataError(
            f"{pairs.name}: {n} {'pair is' if n == 1 else 'pairs are'} too few to tune on",
            why="a pair is told from the others of its batch",
            fix="add pairs: two are the least, and thousands are better",
            pairs=pairs.name,
        )
    settings = tuning_settings(lab.tuning, node)
    mixtures = [planner.mixture(fusion, index) for fusion, index in reversed(path.projected)]
    items = in_folders(node.base, pairs.corpus(tuned))
    paired_items = in_folders(node.base, pairs.corpus(paired))
    trained: dict[str, Any] = {"rows": planner.embed(path.leaf, items)}
    if options.tunes_encoder:
        precision = planner.settings.precision
        trained = {"items": items, "space": path.leaf.spec, "precision": precision}
    named_by = f"[pairs.{pairs.name.rpartition(' ')[2]}]"
    refuse_ids_alone(items, [path.leaf.spec], named_by)
    targets = [leaf.spec for leaf in reachable_leaves(node.base, paired)]
    refuse_ids_alone(paired_items, targets, named_by)
    step = Tune(
        of=node.base.label,
        pair=(tuned, paired),
        targets=planner.embed(node.base, paired_items),
        **trained,
        heads=[mixture.heads for mixture in mixtures],
        aligned={
            f"{before}.{number}": layers[tuned].step
            for number, (before, inner) in enumerate(path.aligned)
            for layers in (planner.learning(inner).layers,)
            if tuned in layers
        },
        recipes=[fusion.experts[index].recipe for fusion, index in reversed(path.projected)],
        tuned=options.heads,
        settings=settings,
        seed=lab.seed,
    )
    planner.notices.extend(pairs.notices)
    if (n := len(pairs)) < settings.batch_size:
        planner.notices.append(
            f"{pairs.name}: {n} pairs are fewer than a batch of {settings.batch_size}: each epoch "
            f"is one step, {settings.epochs} in all; batch=N with a smaller N makes more"
        )
    return PlannedTuning(node, step, pairs, settings)


def in_folders(space: Space, corpus: Corpus) -> Corpus:
    """Return a corpus that is trained on, once folders of embeddings are known to have all of it.

    Raises:
        DataError: one lacks some, or the items have no ids of their own.
    """
    folders = [
        leaf.spec
        for leaf in leaves(space)
        if leaf.spec.adapter == "precomputed" and corpus.modality in leaf.modalities
    ]
    if not folders:
        return corpus
    from reactions.labs.named_items import has_rows

    return has_rows(corpus, folders)


def tuning_settings(lab: TuningSettings, node: Tuned) -> TuningSettings:
    """Return what an Ft is tuned with: what the reaction says, the lab's for the rest."""
    options = node.tuning
    options_given: dict[str, Any] = {
        "epochs": options.epochs,
        "batch_size": options.batch,
        "learning_rate": options.lr,
        "encoder_learning_rate": options.lr,
        "lora_rank": options.lora,
    }
    settings = {name: value for name, value in options_given.items() if value is not None}
    return replace(lab, heads=options.heads, **settings)


def plan_embedding(planner: Planning, node: Tuned, corpus: Corpus, **stored: Any) -> Step:
    """Plan the embedding of a corpus in what an Ft tuned.

    Args:
        planner: plans what it is made of.
        node: the tuned product.
        corpus: of any of its modalities.
        stored: type and shard size of the result.
    """
    if corpus.modality != node.arguments[0]:
        return planner.embed(node.base, corpus)
    planned, path = planner.tuning(node), path_of(node)
    leaf, modality = path.leaf, corpus.modality
    layers = [planner.learning(inner).layers for _, inner in path.aligned]
    frozen: tuple[Mapping[str, Step], ...] = ()
    if not node.tuning.heads:
        frozen = tuple(reversed(planned.step.heads))
    return EmbedTuned(
        node=node,
        rows=planner.embed(tuned_leaf(node) if tunes(node, corpus.modality) else leaf, corpus),
        tune=planned.step,
        heads=frozen,
        aligned={
            str(i): by_modality[modality].step
            for i, by_modality in enumerate(layers)
            if modality in by_modality
        },
        **stored,
    )


def plan_tuned_leaf(planner: Planning, leaf: Leaf, corpus: Corpus, **stored: Any) -> Step:
    """Plan the encoding of a corpus by a tuned encoder: a bundle's, or that of a planned Ft.

    Args:
        planner: knows both.
        leaf: from ``tree.tuned_leaf``.
        corpus: of the tuned modality.
        stored: type and shard size of the result.
    """
    file, tune = planner.towers.get(leaf), None
    if file is None:
        tune = next(t.step for t in planner.tunings if tuned_leaf(t.node) == leaf)
    marker = tune.key if tune is not None else file.digest if file is not None else ""
    return EmbedTunedLeaf(
        name=f"{leaf.spec.name} as tuned",
        space=replace(leaf.spec, tuned=marker),
        corpus=corpus,
        tune=tune,
        file=file,
        **stored,
    )
