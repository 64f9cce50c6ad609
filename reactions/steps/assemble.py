"""assemble: trained heads and a record, ready to be written as a bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from reactions.core.step import NOT_IN_KEY, Artifact, Context, Cost, Rows, Step, inputs_from


@dataclass(frozen=True, eq=False, kw_only=True)
class Assemble(Step):
    """Gathers all heads of a product.

    Its artifact has the tensors ``<mixture>.<subset>.<tensor>``, ``mean.<space>.<modality>`` and
    ``part.<position>.<tensor>``, and the bundle's record as ``meta``: what
    ``bundle.write_bundle`` takes.

    Attributes:
        record: from ``bundle.describe``.
        mixtures: subset to train step of each mixture, in the record's order.
        parts: what trained each part in a file of its own, in the record's order: a step, or one
            for each modality.
        means: ``<space>.<modality>`` to the mean of each modality of each centred space.
        quality: measures the product on what was held back, if anything was.
        facts: fields of the record that follow from the inputs.
    """

    KIND = "assemble"
    VERSION = 1

    record: Mapping[str, Any]
    mixtures: Sequence[Mapping[str, Step]] = field(metadata=inputs_from())
    parts: Sequence[Step | Mapping[str, Step]] = field(default=(), metadata=inputs_from("part"))
    means: Mapping[str, Step] = field(default_factory=dict, metadata=inputs_from("mean"))
    quality: Step | None = field(default=None, metadata=inputs_from("quality"))
    facts: Mapping[str, Any] = field(default_factory=dict, metadata=NOT_IN_KEY)

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return "assemble the bundle"

    @cached_property
    def cost(self) -> Cost:
        """Estimates: what it copies."""
        size_bytes = sum(step.cost.size_bytes for _, step in self.inputs)
        return Cost(size_bytes=size_bytes, memory_bytes=size_bytes)

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Gather the tensors and complete the record."""
        record = {**self.record, **self.facts}
        if self.parts:
            numbered = enumerate(zip(record["parts"], self.parts, strict=True))
            record["parts"] = [
                {**part, "about": _with_facts(part["about"], steps, f"part.{i}", inputs)}
                for i, (part, steps) in numbered
            ]
        arrays: dict[str, Rows] = {}
        losses = {}
        ranks = {}
        products: set[str] = set()
        for name, artifact in inputs.items():
            if name.startswith("mean."):
                arrays[name] = artifact.arrays["mean"]
            elif name == "quality":
                record[name] = dict(artifact.meta)
            else:
                arrays |= {f"{name}.{tensor}": rows for tensor, rows in artifact.arrays.items()}
                losses[name] = artifact.meta["loss"]
                if "rank" in artifact.meta:  # solved for in closed form
                    ranks[name] = artifact.meta["rank"]
                # Results of earlier versions do not say it.
                products.update(filter(None, (artifact.meta.get("products"),)))
        if products:
            record["products"] = sorted(products)
        if ranks:
            record["ranks"] = ranks
        return Artifact(arrays, {**record, "losses": losses})


def _with_facts(
    about: Mapping[str, Any],
    steps: Step | Mapping[str, Step],
    name: str,
    inputs: Mapping[str, Artifact],
) -> dict[str, Any]:
    """Return what a record says of a trained part, with what is known once it is there."""
    # The record has the losses of all that was trained in one place.
    if isinstance(steps, Step):
        return {**about, **_facts(inputs[name])}
    layers = {
        modality: {**layer, "steps": inputs[f"{name}.{modality}"].meta["steps"]}
        for modality, layer in about["layers"].items()
    }
    return {**about, "layers": layers}


def _facts(artifact: Artifact) -> dict[str, Any]:
    about = {name: value for name, value in artifact.meta.items() if name not in ("loss", "pairs")}
    shapes = {name: list(map(int, rows.shape)) for name, rows in artifact.arrays.items()}
    return {**about, "shapes": shapes}
