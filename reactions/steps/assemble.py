"""assemble: trained heads and a record, ready to be written as a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from reactions.core.make_step import make_step
from reactions.core.step import Artifact, Context, Cost, Rows, Step


def assemble(
    record: Mapping[str, Any],
    mixtures: Sequence[Sequence[tuple[str, Step]]],
    *,
    means: Mapping[str, Step] = MappingProxyType({}),
    quality: Step | None = None,
    facts: Mapping[str, Any] = MappingProxyType({}),
) -> Step:
    """Return the step that gathers all heads of a product.

    Its artifact has the tensors ``<mixture>.<subset>.<tensor>`` and ``mean.<space>.<modality>``,
    and the bundle's record as ``meta``: what ``bundle.write_bundle`` takes.

    Args:
        record: from ``bundle.describe``.
        mixtures: (subset, train step) pairs of each mixture, in the record's order.
        means: ``<space>.<modality>`` to the mean of each modality of each centred space.
        quality: measures the product on what was held back, if anything was.
        facts: fields of the record that follow from the inputs, and take no part in the key.
    """
    inputs = [
        (f"{index}.{subset}", step)
        for index, heads in enumerate(mixtures)
        for subset, step in heads
    ]
    inputs += [(f"mean.{name}", step) for name, step in means.items()]
    if quality is not None:
        inputs.append(("quality", quality))
    size_bytes = sum(step.cost.size_bytes for _, step in inputs)
    return make_step(
        "assemble",
        "assemble the bundle",
        {"record": record},
        inputs,
        partial(_run, {**record, **facts}),
        cost=Cost(size_bytes=size_bytes, memory_bytes=size_bytes),
    )


def _run(
    record: Mapping[str, Any],
    context: Context,
    inputs: Mapping[str, Artifact],
    start: int,
    stop: int,
) -> Artifact:
    found = dict(record)
    arrays: dict[str, Rows] = {}
    losses = {}
    products: set[str] = set()
    for name, artifact in inputs.items():
        if name.startswith("mean."):
            arrays[name] = artifact.arrays["mean"]
        elif name == "quality":
            found[name] = dict(artifact.meta)
        else:
            arrays |= {f"{name}.{tensor}": rows for tensor, rows in artifact.arrays.items()}
            losses[name] = artifact.meta["loss"]
            # Results of earlier versions do not say it.
            products.update(filter(None, (artifact.meta.get("products"),)))
    if products:
        found["products"] = sorted(products)
    return Artifact(arrays, {**found, "losses": losses})
