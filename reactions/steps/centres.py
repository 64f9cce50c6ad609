"""centres: the descriptions that stand for each class, as embeddings."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.centre_options import CentreOptions
from reactions.core.hashing import bytes_digest
from reactions.core.step import (
    NOT_IN_KEY,
    Artifact,
    Context,
    Cost,
    Rows,
    Step,
    entering,
    inputs_from,
)
from reactions.core.types import Digest, Modality, Space
from reactions.data.centre_file import CentreFile
from reactions.modalities.text import TEXT
from reactions.products.acting import acting_adjustment
from reactions.products.bundles.trained import Trained
from reactions.products.parts import NO_PARTS, Parts
from reactions.products.tree import Adjustment, needed_leaves
from reactions.products.tree_json import tree_to_json
from reactions.steps.raw_rows import stored_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class ChosenDescriptions(Step):
    """Chooses among embeddings of descriptions; subclasses say where those are from.

    Its artifact has ``centres`` (c, k, d) float32, unit-norm rows, zeros where a class has fewer
    than others; ``counts`` (c,) int64; ``places`` (c, k) int64, which of the class's descriptions
    they are, -1 where there is none. ``meta`` counts descriptions.

    Attributes:
        name: of what is described, for people.
        options: which descriptions are chosen.
        seed: of the selection ``medoids``.
        spans: of each class, the first of its rows and the one after the last.
        dim: width of the rows.
    """

    KIND = "centres"
    VERSION = 1

    name: str = field(metadata=NOT_IN_KEY)
    options: CentreOptions = field(
        metadata=entering("", lambda step: step.options.selection_json(step.seed))
    )
    seed: int = field(default=0, metadata=NOT_IN_KEY)  # in the options, where it matters
    spans: tuple[tuple[int, int], ...]
    dim: int = field(metadata=NOT_IN_KEY)

    @cached_property
    def label(self) -> str:
        """What progress lines call it."""
        return f"centres of {self.name}"

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Descriptions of each class."""
        return tuple(stop - start for start, stop in self.spans)

    @cached_property
    def most_kept(self) -> int:
        """Descriptions of the class that keeps most."""
        most = max(self.counts)
        return most if self.options.selection == "all" else min(self.options.k, most)

    @cached_property
    def cost(self) -> Cost:
        """Estimates: a product with the mean; for medoids, ten rounds of one with each."""
        rounds = 10 * self.most_kept if self.options.selection == "medoids" else 1
        size_bytes = len(self.spans) * self.most_kept * self.dim * 4
        return Cost(
            flops=2.0 * sum(self.counts) * self.dim * rounds,
            size_bytes=size_bytes,
            # One class at a time: its rows, as whole numbers and their products.
            memory_bytes=size_bytes + max(self.counts) * self.dim * 24,
        )

    @abstractmethod
    def class_rows(
        self, inputs: Mapping[str, Artifact], parts: Parts, start: int, stop: int, device: str
    ) -> NDArray[np.float32]:
        """Return the (stop - start, d) embeddings of descriptions."""

    def parts(self, device: str) -> Parts:
        """Load what was trained."""
        return NO_PARTS

    def item_rows(
        self, inputs: Mapping[str, Artifact], parts: Parts, device: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Return (m, d) embeddings of labelled items and their classes, where they decide."""
        return None

    def run(
        self, context: Context, inputs: Mapping[str, Artifact], start: int, stop: int
    ) -> Artifact:
        """Choose class by class."""
        import torch

        from reactions.ops.tensors import unit

        device = context.device
        parts = self.parts(device)
        n, k = len(self.spans), self.most_kept
        centres = np.zeros((n, k, self.dim), np.float32)
        places = np.full((n, k), -1, np.int64)
        counts = np.zeros(n, np.int64)
        items = self.item_rows(inputs, parts, device)
        chosen_of: dict[tuple[int, int], int] = {}
        for index, span in enumerate(self.spans):
            # Classes that share their descriptions, and are not told apart by items, share all.
            if items is None and span in chosen_of:
                same = chosen_of[span]
                centres[index], places[index] = centres[same], places[same]
                counts[index] = counts[same]
                continue
            chosen_of[span] = index
            rows = torch.from_numpy(self.class_rows(inputs, parts, *span, device)).to(device)
            class_items = None
            if items is not None:
                of_class = items[0][items[1] == index]
                class_items = torch.from_numpy(of_class).to(device)
            chosen_rows = self._chosen(rows, class_items)
            counts[index] = len(chosen_rows)
            places[index, : len(chosen_rows)] = chosen_rows.cpu().numpy()
            centres[index, : len(chosen_rows)] = unit(rows[chosen_rows].float()).cpu().numpy()
            context.progress(index + 1, n, "classes")
        arrays: dict[str, Rows] = {"centres": centres, "counts": counts, "places": places}
        return Artifact(arrays, self.facts(counts))

    def facts(self, kept: NDArray[np.int64]) -> dict[str, Any]:
        """Return how many descriptions there are and how many are used: JSON-able."""
        k = self.options.k
        few = 0 if self.options.selection == "all" else sum(n < k for n in self.counts)
        return {
            **self.options.selection_json(self.seed),
            "descriptions": {
                "used": int(kept.sum()),
                "of": int(sum(self.counts)),
                "least": int(kept.min()),
                "most": int(kept.max()),
                "classes_with_fewer_than_k": few,
            },
        }

    def _chosen(self, rows: Tensor, items: Tensor | None) -> Tensor:
        import torch

        from reactions.ops.centres import fixed_point, medoids, nearest

        if self.options.selection == "all":
            return torch.arange(len(rows), device=rows.device)
        whole = fixed_point(rows)
        if self.options.selection == "medoids":
            return medoids(whole, self.options.k, seed=self.seed)
        centred_on = whole if items is None else fixed_point(items)
        return nearest(whole, centred_on, self.options.k)


@dataclass(frozen=True, eq=False, kw_only=True)
class Centres(ChosenDescriptions):
    """Chooses among descriptions as a product or a space embeds them.

    Attributes:
        scored: the product, or a leaf.
        trained: where its trained parts are; None for a leaf.
        adjustment: factors and experts.
        embedded: ``texts/<leaf>`` to the embeddings of all descriptions, for every leaf that has
            a share in texts; ``items/<leaf>`` to those of labelled items, where they decide.
        item_modality: of the items; "" without any.
        item_classes: (m,) int64, the class of each item; None without any.
    """

    scored: Space = field(metadata=entering("tree", lambda step: tree_to_json(step.scored)))
    trained: Trained | None = field(
        metadata=entering("heads", lambda step: step.trained.digest if step.trained else "")
    )
    adjustment: Adjustment = field(
        metadata=entering("", lambda step: acting_adjustment(step.scored, step.adjustment))
    )
    embedded: Mapping[str, Step] = field(metadata=inputs_from())
    item_modality: Modality = ""
    item_classes: NDArray[np.int64] | None = field(
        default=None, metadata=entering(by=lambda step: _labels_digest(step.item_classes))
    )

    def parts(self, device: str) -> Parts:
        """Load the trained parts; a leaf has none."""
        return NO_PARTS if self.trained is None else self.trained.load(device)

    def class_rows(
        self, inputs: Mapping[str, Artifact], parts: Parts, start: int, stop: int, device: str
    ) -> NDArray[np.float32]:
        """Fuse the embeddings of a class's descriptions."""
        return self._fused("texts", TEXT.name, inputs, parts, start, stop, device)

    def item_rows(
        self, inputs: Mapping[str, Artifact], parts: Parts, device: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]] | None:
        """Fuse the embeddings of the labelled items."""
        if self.item_classes is None:
            return None
        n, modality = len(self.item_classes), self.item_modality
        rows = self._fused("items", modality, inputs, parts, 0, n, device)
        return rows, self.item_classes

    def _fused(
        self,
        prefix: str,
        modality: Modality,
        inputs: Mapping[str, Artifact],
        parts: Parts,
        start: int,
        stop: int,
        device: str,
    ) -> NDArray[np.float32]:
        from reactions.products.fuse import embed_product

        stored: dict[Space, Rows] = {
            leaf: stored_rows(inputs[f"{prefix}/{leaf.label}"])
            for leaf in needed_leaves(self.scored, modality, self.adjustment)
        }
        return embed_product(
            self.scored,
            modality,
            stored,
            parts,
            self.adjustment,
            start=start,
            stop=stop,
            device=device,
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class FileCentres(ChosenDescriptions):
    """Chooses among the rows of a file of centres that others made.

    Attributes:
        file: it; its digest enters the key, its path does not.
    """

    file: CentreFile = field(metadata=entering(by=lambda step: step.file.digest))

    def class_rows(
        self, inputs: Mapping[str, Artifact], parts: Parts, start: int, stop: int, device: str
    ) -> NDArray[np.float32]:
        """Read a class's rows."""
        return self.file.rows(start, stop)


def _labels_digest(labels: NDArray[np.int64] | None) -> Digest:
    if labels is None:
        return ""
    plain = np.ascontiguousarray(labels, np.dtype(np.int64).newbyteorder("<"))
    return bytes_digest(f"{plain.shape}".encode() + plain.tobytes())
