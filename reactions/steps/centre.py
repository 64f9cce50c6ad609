"""centre: the mean of a modality over training rows, and embeddings less their mean."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np

from reactions.core.errors import DataError
from reactions.core.make_step import ITEM_BYTES, make_step
from reactions.core.step import Artifact, Context, Cost, Step
from reactions.core.types import Modality

_BLOCK_ROWS = 1 << 14

LEAST_SPREAD = 1e-2
"""Rows nearer than this to their mean are alike up to half precision's rounding."""


def modality_mean(label: str, modality: Modality, rows: Step, dim: int) -> Step:
    """Return the step that averages the training rows of one modality.

    Its artifact is ``mean``: (dim,) float32, the mean of the unit-norm rows, not rescaled.

    Args:
        label: names the space.
        modality: of the rows.
        rows: their embeddings, as the encoder gives them.
        dim: their width.
    """
    return make_step(
        "mean",
        f"average {label} {modality}",
        {},
        [("rows", rows)],
        _run_mean,
        cost=Cost(
            flops=2.0 * (rows.n_rows or 0) * dim,
            size_bytes=4 * dim,
            memory_bytes=8 * _BLOCK_ROWS * dim,
        ),
    )


def _run_mean(context: Context, inputs: Mapping[str, Artifact], start: int, stop: int) -> Artifact:
    rows = inputs["rows"].arrays["embeddings"]
    n, dim = len(rows), rows.shape[1]
    total = np.zeros(dim, np.float64)
    for first in range(0, n, _BLOCK_ROWS):
        block = np.asarray(rows[first : first + _BLOCK_ROWS], np.float64)
        total += (block / np.linalg.norm(block, axis=1, keepdims=True)).sum(axis=0)
        context.progress(min(n, first + _BLOCK_ROWS), n, "items")
    return Artifact({"mean": (total / n).astype(np.float32)}, {"rows": n})


def centred_rows(
    label: str,
    modality: Modality,
    rows: Step,
    mean: Step,
    dim: int,
    *,
    dtype: str,
    shard_rows: int,
) -> Step:
    """Return the step that takes the mean out of embeddings.

    Its artifact is ``embeddings``: as many unit-norm rows as there were.

    Args:
        label: names the space.
        modality: of the rows.
        rows: embeddings as the encoder gives them.
        mean: from ``modality_mean``.
        dim: width of the embeddings.
        dtype: as stored.
        shard_rows: rows a shard.
    """
    n = rows.n_rows or 0
    return make_step(
        "embed",
        f"centre {label} {modality}",
        {"centre": True, "dtype": dtype},
        [("rows", rows), ("mean", mean)],
        partial(_run_centred, label, modality, dtype),
        n_rows=n,
        shard_rows=shard_rows,
        cost=Cost(
            flops=4.0 * n * dim,
            size_bytes=n * dim * ITEM_BYTES[dtype],
            memory_bytes=min(n, shard_rows) * dim * (8 + ITEM_BYTES[dtype]),
        ),
    )


def _run_centred(
    label: str,
    modality: Modality,
    dtype: str,
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    import torch

    from reactions.ops.tensors import centred, load_rows, unit

    mean = torch.from_numpy(np.array(inputs["mean"].arrays["mean"][slice(None)]))
    rows = unit(load_rows(inputs["rows"].arrays["embeddings"], start, stop, "cpu"))
    alike = int(((rows - mean).norm(dim=1) < LEAST_SPREAD).sum())
    if alike > (stop - start) / 2:
        raise DataError(
            f"'{label}' cannot be centred: {alike} of {stop - start} {modality} rows are alike",
            why="nothing but rounding is left of them without their mean",
            fix="embed them again; molspace spaces doctor finds a collapsed tower",
            modality=modality,
        )
    found = centred(rows, mean).numpy().astype(dtype)
    context.progress(stop - start, stop - start, "items")
    return Artifact({"embeddings": found})
