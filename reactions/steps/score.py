"""score: one task on one space, from the embeddings of its leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.hashing import digest
from reactions.core.make_step import make_step
from reactions.core.step import Artifact, Context, Step
from reactions.core.types import Leaf, Modality, Space
from reactions.eval.metrics import Ties
from reactions.eval.protocol import corpora, identity, score
from reactions.eval.task import Task
from reactions.eval.task_data import BenchmarkData, RetrievalData
from reactions.products.tree import Adjustment, effective_factors, needed_leaves, tree_to_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from reactions.products.fuse import Heads, Means

CHUNK_ROWS = 8192
"""Rows fused at once."""


def score_task(
    label: str,
    task: Task,
    data: BenchmarkData,
    space: Space,
    embedded: Mapping[tuple[str, Leaf], Step],
    *,
    heads: Callable[[str], Heads],
    means: Callable[[str], Means] = lambda device: {},
    heads_digest: str,
    adjustment: Adjustment,
    ties: Ties = "strict",
) -> Step:
    """Return the step that scores a space on a task.

    Its artifact holds the per-item results as arrays, and the metrics, prompts and factors
    in ``meta``.

    Args:
        label: names the space.
        task: the protocol.
        data: labels and corpora.
        space: a product or a leaf.
        embedded: (corpus name, leaf) to embed step, for every leaf with a share.
        heads: loads the product's projectors onto a device.
        means: loads the means of its centred spaces likewise.
        heads_digest: digest of the file that holds both.
        adjustment: factors and experts.
        ties: whether ties count against the model or for it.
    """
    factors = effective_factors(space, adjustment)
    params: dict[str, Any] = {
        "task": identity(task, data, ties),
        "tree": tree_to_json(space),
        "heads": heads_digest,
        "factors": factors,
        "experts": None if adjustment.experts is None else sorted(adjustment.experts),
    }
    inputs = [(f"{corpus}/{leaf.spec.name}", step) for (corpus, leaf), step in embedded.items()]
    meta = {
        "prompts": list(task.templates),
        "factors": factors,
        "experts": params["experts"],
    }
    if not isinstance(data, RetrievalData):
        # Names of classes are prompts too: which ones were used can be told apart.
        named = digest("classes", list(data.classes))
        meta["classes"] = {"n": len(data.classes), "digest": named[:12]}
    return make_step(
        "score",
        f"score {label} on {task.name}",
        params,
        inputs,
        partial(_run, task, data, space, heads, means, adjustment, ties, meta),
    )


def _run(
    task: Task,
    data: BenchmarkData,
    space: Space,
    heads: Callable[[str], Heads],
    means: Callable[[str], Means],
    adjustment: Adjustment,
    ties: Ties,
    meta: Mapping[str, Any],
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    trained = heads(context.device), means(context.device)
    embeddings = {
        name: _fused(name, corpus.modality, space, trained, adjustment, context, inputs)
        for name, corpus in corpora(task, data).items()
    }
    result = score(task, data, embeddings, ties)
    # A class without a positive item has no average precision; what is stored is finite.
    arrays = {name: rows[np.isfinite(rows[:, 0])] for name, rows in result.arrays.items()}
    return Artifact(arrays, {**meta, **result.to_json()})


def _fused(
    name: str,
    modality: Modality,
    space: Space,
    trained: tuple[Heads, Means],
    adjustment: Adjustment,
    context: Context,
    inputs: Mapping[str, Artifact],
) -> NDArray[np.float32]:
    import torch

    from reactions.ops.tensors import load_rows, unit
    from reactions.products.fuse import fuse

    sources = {
        leaf: inputs[f"{name}/{leaf.spec.name}"].arrays["embeddings"]
        for leaf in needed_leaves(space, modality, adjustment)
    }
    heads, means = trained
    n = len(next(iter(sources.values())))
    out = np.empty((n, space.dim), dtype=np.float32)
    with torch.inference_mode():
        for first in range(0, n, CHUNK_ROWS):
            last = min(n, first + CHUNK_ROWS)
            rows = {
                leaf: unit(load_rows(source, first, last, context.device))
                for leaf, source in sources.items()
            }
            fused = fuse(space, modality, rows, heads, adjustment, means)
            out[first:last] = fused.cpu().numpy()
            context.progress(last, n, "items")
    return out
