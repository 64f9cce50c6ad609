"""embed: a corpus into a space, by rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import DataError, DimensionMismatch
from reactions.core.make_step import ITEM_BYTES, make_step
from reactions.core.step import Artifact, Context, Cost, Step
from reactions.core.types import Corpus, Fusion, Modality, SpaceSpec
from reactions.encoding.stream import Batch, encode
from reactions.products.tree import coefficients

if TYPE_CHECKING:
    from torch import Tensor

UNIT_SLACK = 1e-2
"""Norms may be this far from one: half precision leaves 1e-3, a mistake far more."""


def embed_leaf(spec: SpaceSpec, corpus: Corpus, *, dtype: str, shard_rows: int) -> Step:
    """Return the step that encodes a corpus.

    Its artifact is ``embeddings``: (len(corpus), spec.dim), unit-norm rows.

    Args:
        spec: the space.
        corpus: items of a modality the space has.
        dtype: ``"float16"`` or ``"float32"``, as stored.
        shard_rows: rows a shard: what a killed run may lose.
    """
    n = len(corpus)
    flops = dict(spec.flops_per_item).get(corpus.modality, 0.0)
    return make_step(
        "embed",
        f"embed {spec.name} {corpus.modality}",
        {"space": spec.identity(corpus.modality), "corpus": corpus.digest, "dtype": dtype},
        (),
        partial(_run_leaf, spec, corpus, dtype),
        n_rows=n,
        shard_rows=shard_rows,
        cost=Cost(
            flops=flops * n,
            size_bytes=n * spec.dim * ITEM_BYTES[dtype],
            memory_bytes=min(n, shard_rows) * spec.dim * (4 + ITEM_BYTES[dtype]),
        ),
        space=spec,
        corpus=corpus,
    )


def _run_leaf(
    spec: SpaceSpec,
    corpus: Corpus,
    dtype: str,
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    encoder = context.encoder(spec)
    rows = np.empty((stop - start, spec.dim), dtype=dtype)
    done = 0
    with closing(encode(encoder, corpus, start, stop, device=context.device)) as batches:
        for batch in batches:
            _check(batch, spec, corpus.modality)
            rows[np.array(batch.places) - start] = batch.rows
            done += len(batch.places)
            context.progress(done, stop - start, "items")
    return Artifact({"embeddings": rows})


def _check(batch: Batch, spec: SpaceSpec, modality: Modality) -> None:
    """Hold an encoder, which may be anyone's, to its word.

    Raises:
        DimensionMismatch: not (number of items, spec.dim).
        DataError: a row is zero, not finite or not of unit norm.
    """
    rows, n = batch.rows, len(batch.ids)
    if rows.shape != (n, spec.dim):
        raise DimensionMismatch(
            f"'{spec.name}' gave embeddings of shape {rows.shape} for {n} items",
            why=f"{(n, spec.dim)} was promised",
        )
    norms = np.linalg.norm(rows.astype(np.float32), axis=1)
    bad = np.flatnonzero(~(np.abs(norms - 1) < UNIT_SLACK))  # NaN is bad too
    if bad.size:
        id = batch.ids[bad[0]]
        raise DataError(
            f"'{spec.name}' gave no usable embedding for {modality} '{id}'",
            why=f"its norm is {norms[bad[0]]:g}, not 1",
            fix="leave the item out, or mend the encoder",
            id=id,
        )


def embed_product(
    fusion: Fusion,
    modality: str,
    sides: Mapping[str, Step],
    heads: Mapping[str, Sequence[tuple[str, Step]]],
    *,
    n_rows: int,
    dtype: str,
    shard_rows: int,
) -> Step:
    """Return the step that brings a corpus, embedded on both sides, into a product.

    Args:
        fusion: the product, with the factors it is trained on.
        modality: of the corpus.
        sides: ``"base"`` and ``"expert.<i>"`` to their embeddings of the corpus; sides
            without a share in the modality are absent.
        heads: the same names to the (subset, train step) pairs that project that side.
        n_rows: rows of the corpus.
        dtype: as stored.
        shard_rows: rows a shard.
    """
    base_share, shares = coefficients(fusion, modality)
    share_of = {"base": base_share, **{f"expert.{i}": s for i, s in enumerate(shares)}}
    params: dict[str, Any] = {
        "op": fusion.op,
        "shares": {name: share_of[name] for name in sorted(sides)},
        "dtype": dtype,
    }
    inputs = list(sides.items()) + [
        (f"head.{name}.{subset}", step)
        for name, steps in heads.items()
        if name in sides
        for subset, step in steps
    ]
    # Displacement has one expert, and projects the base by its recipe.
    recipes = {f"expert.{i}": expert.recipe for i, expert in enumerate(fusion.experts)}
    recipes["base"] = fusion.experts[0].recipe
    head_bytes = sum(step.cost.size_bytes for name in sides for _, step in heads.get(name, ()))
    return make_step(
        "embed",
        f"embed {fusion.label} {modality}",
        params,
        inputs,
        partial(_run_product, params["shares"], recipes, dtype),
        n_rows=n_rows,
        shard_rows=shard_rows,
        cost=Cost(
            flops=n_rows * head_bytes / 2,  # two operations for each parameter of four bytes
            size_bytes=n_rows * fusion.dim * ITEM_BYTES[dtype],
            memory_bytes=min(n_rows, shard_rows) * fusion.dim * 16 + head_bytes,
        ),
    )


def _run_product(
    shares: Mapping[str, float],
    recipes: Mapping[str, str],
    dtype: str,
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    import torch

    from reactions.ops.mcr import head_class
    from reactions.ops.projector import Head, mix, project
    from reactions.ops.tensors import load_rows, unit
    from reactions.steps.train import tensors

    heads: dict[str, list[Head]] = {name: [] for name in shares}
    for name, artifact in inputs.items():
        if name.startswith("head."):
            side = name.removeprefix("head.").rpartition(".")[0]
            head = head_class(recipes[side]).from_state(tensors(artifact))
            heads[side].append(head.to(context.device))
    terms: list[tuple[float, Tensor]] = []
    with torch.inference_mode():
        for name, share in shares.items():
            rows = unit(load_rows(inputs[name].arrays["embeddings"], start, stop, context.device))
            terms.append((share, project(heads[name], rows) if heads[name] else rows))
        fused = mix(terms).cpu().numpy().astype(dtype)
    context.progress(stop - start, stop - start, "items")
    return Artifact({"embeddings": fused})
