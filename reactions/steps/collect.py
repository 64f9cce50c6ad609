"""collect: pseudo-pairs from one anchor modality, one column at a time, by rows.

A pseudo set has a column for every modality of either space; row i of all of them is one
pseudo-pair. The anchor's columns are the corpora's own embeddings. Every other one is found
by a soft retrieval (a hop), whose queries are an earlier column. Columns are steps of their
own, so that reactions share those they have in common; columns found by the same queries
and keys are collected in one pass over the similarities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from reactions.core.make_step import ITEM_BYTES, make_step
from reactions.core.memory_budget import budget_bytes
from reactions.core.step import Artifact, Context, Cost, Step, Together
from reactions.core.types import Modality
from reactions.steps.routing import Route, Side, Slot

if TYPE_CHECKING:
    from reactions.ops.precision import Precision

SIDES: tuple[Side, ...] = ("base", "expert")


def pseudo_set(
    anchor: Modality,
    hops: Route,
    sides: Mapping[Side, Mapping[Modality, Step]],
    names: Mapping[Side, str],
    dims: Mapping[Side, int],
    *,
    temperature: float,
    precision: Precision,
    dtype: str,
    shard_rows: int,
) -> dict[Slot, Step]:
    """Return the steps whose ``embeddings`` are the columns of one anchor's pseudo set.

    Args:
        anchor: modality to start from.
        hops: from ``routing.route``.
        sides: embeddings of the corpora in each space.
        names: of the spaces, for people.
        dims: width of each space.
        temperature: of the softmax.
        precision: of the products.
        dtype: as stored.
        shard_rows: rows a shard.

    Returns:
        (side, modality) to a step with as many unit-norm rows as the anchor's corpus.

    Source: Molecule-Space, eq. 4-6 and 11-13.
    """
    columns: dict[Slot, Step] = {
        (side, anchor): sides[side][anchor] for side in SIDES if anchor in sides[side]
    }
    for hop in hops:
        for side in hop.fills:
            into = f"collect {names[side]} {hop.key} for {anchor}"
            columns[side, hop.key] = collect(
                into if side == hop.side else f"{into} by {names[hop.side]}",
                columns[hop.side, hop.query],
                sides[hop.side][hop.key],
                sides[side][hop.key],
                (dims[hop.side], dims[side]),
                temperature=temperature,
                precision=precision,
                dtype=dtype,
                shard_rows=shard_rows,
            )
    return columns


def collect(
    label: str,
    queries: Step,
    keys: Step,
    values: Step,
    dims: tuple[int, int],
    *,
    temperature: float,
    precision: Precision,
    dtype: str,
    shard_rows: int,
) -> Step:
    """Return the step that retrieves one column.

    Its artifact is ``embeddings``: (rows of the queries, width of the values), unit-norm.

    Args:
        label: for people.
        queries: embeddings in the space in which similarities are taken.
        keys: a corpus in the same space.
        values: the same corpus in the space to fill.
        dims: widths of keys and values.
        temperature: of the softmax.
        precision: of the products.
        dtype: as stored.
        shard_rows: rows a shard.
    """
    n, m = queries.n_rows or 0, keys.n_rows or 0
    key_dim, dim = dims
    params = {"temperature": temperature, "precision": precision, "dtype": dtype}
    run = partial(_run, temperature, precision, dtype)
    return make_step(
        "collect",
        label,
        params,
        [("queries", queries), ("keys", keys), ("values", values)],
        lambda context, inputs, start, stop: run(context, [inputs], start, stop)[0],
        n_rows=n,
        shard_rows=shard_rows,
        cost=Cost(
            flops=2.0 * n * m * (key_dim + dim),
            shared_flops=2.0 * n * m * key_dim,
            size_bytes=n * dim * ITEM_BYTES[dtype],
            # A shard of queries and of the column, and one tile of logits with its weights.
            memory_bytes=min(n, shard_rows) * (key_dim + dim) * (4 + ITEM_BYTES[dtype])
            + 2 * 4 * 2048 * 8192,
        ),
        together=Together(f"{queries.key} {keys.key} {params}", run),
    )


def _run(
    temperature: float,
    precision: Precision,
    dtype: str,
    context: Context,
    members: Sequence[Mapping[str, Artifact]],
    start: int,
    stop: int,
) -> list[Artifact]:
    import torch

    from reactions.ops.retrieval import soft_retrieve
    from reactions.ops.tiles import raw_rows

    queries, keys = (members[0][name].arrays["embeddings"] for name in ("queries", "keys"))
    found = soft_retrieve(
        raw_rows(queries, start, stop),
        keys,
        [inputs["values"].arrays["embeddings"] for inputs in members],
        temperature=temperature,
        precision=precision,
        device=context.device,
        memory_bytes=budget_bytes(context.device),
        dtype=getattr(torch, dtype),
        progress=lambda done, total: context.progress(
            (stop - start) * done // total, stop - start, "pairs"
        ),
    )
    return [Artifact({"embeddings": rows.numpy()}) for rows in found]
