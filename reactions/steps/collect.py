"""collect: pseudo-pairs from one anchor modality, by rows of the anchor."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from reactions.graph import Artifact, Context, Cost, Step
from reactions.kinds import Modality
from reactions.steps.routing import Route, Side
from reactions.steps.step import ITEM_BYTES, make_step

if TYPE_CHECKING:
    from torch import Tensor

_SIDES: tuple[Side, ...] = ("base", "expert")


def collect(
    label: str,
    anchor: Modality,
    hops: Route,
    sides: Mapping[Side, Mapping[Modality, Step]],
    dims: Mapping[Side, int],
    *,
    temperature: float,
    dtype: str,
    shard_rows: int,
) -> Step:
    """Return the step that collects the pseudo set of one anchor.

    Its artifact has one array ``<side>.<modality>`` for every modality of each side:
    (rows of the anchor, dim of the side), unit-norm rows. Row i of all arrays is one
    pseudo-pair.

    Args:
        label: names the two spaces.
        anchor: modality to start from.
        hops: from ``routing.route``.
        sides: embeddings of the corpora on each side.
        dims: width of each side.
        temperature: of the softmax.
        dtype: as stored.
        shard_rows: anchor rows a shard.

    Source: Molecule-Space, eq. 4-6 and 11-13.
    """
    counts = {m: step.n_rows or 0 for side in _SIDES for m, step in sides[side].items()}
    n = counts[anchor]
    flops = sum(
        2.0 * n * counts[hop.key] * (dims[hop.side] + sum(dims[side] for side in hop.fills))
        for hop in hops
    )
    width = sum(dims[side] * len(sides[side]) for side in _SIDES)
    return make_step(
        "collect",
        f"collect {label} from {anchor}",
        {
            "anchor": anchor,
            "hops": [[hop.side, hop.query, hop.key, sorted(hop.fills)] for hop in hops],
            "temperature": temperature,
            "dtype": dtype,
        },
        [(f"{side}.{m}", step) for side in _SIDES for m, step in sides[side].items()],
        partial(_run, anchor, hops, temperature, dtype),
        n_rows=n,
        shard_rows=shard_rows,
        cost=Cost(
            flops=flops,
            size_bytes=n * width * ITEM_BYTES[dtype],
            # A shard of every column, and one tile of logits with its weights.
            memory_bytes=min(n, shard_rows) * width * (4 + ITEM_BYTES[dtype]) + 2 * 4 * 2048 * 8192,
        ),
    )


def _run(
    anchor: Modality,
    hops: Route,
    temperature: float,
    dtype: str,
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    from reactions.ops.retrieval import soft_retrieve
    from reactions.ops.tensors import load_rows, unit

    corpora = {name: artifact.arrays["embeddings"] for name, artifact in inputs.items()}
    columns: dict[str, Tensor] = {}
    for side in _SIDES:
        name = f"{side}.{anchor}"
        if name in corpora:
            columns[name] = unit(load_rows(corpora[name], start, stop, "cpu"))
    for done, hop in enumerate(hops, 1):
        names = [f"{side}.{hop.key}" for side in hop.fills]
        found = soft_retrieve(
            columns[f"{hop.side}.{hop.query}"],
            corpora[f"{hop.side}.{hop.key}"],
            [corpora[name] for name in names],
            temperature=temperature,
            device=context.device,
        )
        columns.update(zip(names, found, strict=True))
        context.progress(done * (stop - start) // len(hops), stop - start, "pairs")
    return Artifact({name: columns[name].numpy().astype(dtype) for name in inputs})
