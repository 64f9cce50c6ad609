"""collect: pseudo-pairs from one anchor modality, one column at a time, by rows.

A pseudo set has a column for every modality of either space; row i of all of them is one
pseudo-pair. The anchor's columns are the corpora's own embeddings. Every other one is found
by a soft retrieval (a hop), whose queries are an earlier column. Columns are steps of their
own, so that reactions share those they have in common; columns found by the same queries
and keys are collected in one pass over the similarities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Self

from reactions.core.memory_budget import budget_bytes
from reactions.core.step import ITEM_BYTES, NOT_IN_KEY, Artifact, Context, Cost, Step
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
            columns[side, hop.key] = Collect(
                label=into if side == hop.side else f"{into} by {names[hop.side]}",
                queries=columns[hop.side, hop.query],
                keys=sides[hop.side][hop.key],
                values=sides[side][hop.key],
                dims=(dims[hop.side], dims[side]),
                temperature=temperature,
                precision=precision,
                dtype=dtype,
                shard_rows=shard_rows,
            )
    return columns


@dataclass(frozen=True, eq=False, kw_only=True)
class Collect(Step):
    """Retrieves one column.

    Its artifact is ``embeddings``: (rows of the queries, width of the values), unit-norm.

    Attributes:
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

    KIND = "collect"
    VERSION = 2

    label: str = field(metadata=NOT_IN_KEY)
    queries: Step
    keys: Step
    values: Step
    dims: tuple[int, int] = field(metadata=NOT_IN_KEY)
    temperature: float
    precision: Precision
    dtype: str
    shard_rows: int = field(metadata=NOT_IN_KEY)

    @cached_property
    def n_rows(self) -> int:
        """Those of the queries."""
        return self.queries.n_rows or 0

    @cached_property
    def cost(self) -> Cost:
        """Estimates: two products a tile, of which the similarities are shared."""
        n, m = self.n_rows, self.keys.n_rows or 0
        key_dim, dim = self.dims
        item_bytes = ITEM_BYTES[self.dtype]
        return Cost(
            flops=2.0 * n * m * (key_dim + dim),
            shared_flops=2.0 * n * m * key_dim,
            size_bytes=n * dim * item_bytes,
            # A shard of queries and of the column, and one tile of logits with its weights, of
            # the size that ``plan_tiles`` prefers on a CPU.
            memory_bytes=min(n, self.shard_rows) * (key_dim + dim) * (4 + item_bytes)
            + 2 * 4 * 2048 * 8192,
        )

    @cached_property
    def together(self) -> str:
        """Names the pass over the similarities: queries, keys and all parameters."""
        return f"{self.queries.key} {self.keys.key} {self.preimage['params']}"

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Retrieve rows of this column alone."""
        (artifact,) = self.run_together(context, [self], [inputs], start, stop)
        return artifact

    @classmethod
    def run_together(
        cls,
        context: Context,
        steps: Sequence[Self],
        inputs: Sequence[Mapping[str, Artifact]],
        start: int,
        stop: int,
    ) -> list[Artifact]:
        """Retrieve rows of several columns in one pass over the similarities."""
        import torch

        from reactions.ops.retrieval import soft_retrieve
        from reactions.ops.tiles import raw_rows

        first = steps[0]
        queries, keys = (inputs[0][name].arrays["embeddings"] for name in ("queries", "keys"))
        columns = soft_retrieve(
            raw_rows(queries, start, stop),
            keys,
            [step_inputs["values"].arrays["embeddings"] for step_inputs in inputs],
            temperature=first.temperature,
            precision=first.precision,
            device=context.device,
            memory_bytes=budget_bytes(context.device),
            dtype=getattr(torch, first.dtype),
            progress=lambda done, total: context.progress(
                (stop - start) * done // total, stop - start, "pairs"
            ),
        )
        return [Artifact({"embeddings": rows.numpy()}) for rows in columns]
