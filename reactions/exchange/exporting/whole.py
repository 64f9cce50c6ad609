"""A product with its encoders as one program: prepared items in, its embeddings out."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reactions.core.errors import UsageError
from reactions.core.types import Item, Leaf, Modality, Prepared, Space
from reactions.exchange.exporting.examples import example_items
from reactions.products.parts import Parts
from reactions.products.tree import Adjustment, needed_leaves, raw_leaves

if TYPE_CHECKING:
    from torch import Tensor, nn

    from reactions.core.types import Encoder
    from reactions.encoders.tower import TowerProgram
    from reactions.inference.embedder import Embedder


@dataclass(frozen=True)
class WholeModality:
    """What brings prepared items of one modality into a product, encoders included.

    Attributes:
        modality: which.
        inputs: the spaces, in order, for each of which it takes a tensor.
        programs: theirs.
        module: takes the tensors, axis 0 counting items, and gives (n, dim) unit-norm rows.
        items: to compare on.
        prepared: the tensors of all of these.
        rows: what the product makes of them.
    """

    modality: Modality
    inputs: tuple[Leaf, ...]
    programs: tuple[TowerProgram, ...]
    module: nn.Module
    items: tuple[Item, ...]
    prepared: tuple[Tensor, ...]
    rows: Tensor

    def example(self, n: int, seed: int = 0) -> tuple[Tensor, ...]:
        """Return the tensors of n items; the seed is not used, for the items are the same."""
        return tuple(tensor[:n] for tensor in self.prepared)

    def expected(self, given: Sequence[Tensor]) -> Tensor:
        """Return what the product makes of the items of ``example``."""
        return self.rows[: len(given[0])]

    def facts(self) -> dict[str, Any]:
        """Return what ``config.json`` says of its inputs."""
        return {
            "inputs": [
                {
                    "name": leaf.label,
                    "shape": ["n", *tensor.shape[1:]],
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                    **program.about,
                    "files": [f"{folder}/{path.name}" for path in program.files],
                }
                for leaf, folder, program, tensor in zip(
                    self.inputs, self._folders(), self.programs, self.prepared, strict=True
                )
            ]
        }

    def copy_files(self, folder: Path) -> None:
        """Copy what goes with the inputs, such as tokenisers, into an export's folder."""
        for name, program in zip(self._folders(), self.programs, strict=True):
            for path in program.files:
                (folder / name).mkdir(exist_ok=True)
                shutil.copyfile(path, folder / name / path.name)

    def _folders(self) -> list[str]:
        """Return a folder's name for each input; labels are not names of files."""
        plain = [re.sub(r"[^\w-]+", "-", leaf.label)[:40] for leaf in self.inputs]
        return [f"{self.modality}-{i}-{name}" for i, name in enumerate(plain, 1)]


def whole_of(
    space: Space, modality: Modality, parts: Parts, adjustment: Adjustment, embedder: Embedder
) -> WholeModality:
    """Return what brings items of one modality into a product, encoders included.

    Args:
        space: the product.
        modality: one that it embeds.
        parts: what was trained, on the CPU.
        adjustment: factors and experts, which become fixed.
        embedder: of the product at these, on the CPU.

    Raises:
        UsageError: an encoder cannot be written out; the reason names it.
    """
    import torch

    items = tuple(example_items(modality))
    if not items:
        raise UsageError(
            f"whole {modality} is not exported",
            why="there are no examples to compare it on; without --whole its heads are exported",
        )
    inputs = needed_leaves(space, modality, adjustment)
    programs: dict[Leaf, TowerProgram] = {}
    prepared: list[Tensor] = []
    for leaf in inputs:
        encoder = embedder.loaded.encoder(leaf)
        steps = _program(encoder, modality)
        if steps is None:
            raise UsageError(
                f"{modality} of {leaf.label} cannot be written out",
                why=f"{leaf.label} ({leaf.spec.adapter}) does not take {modality} as one tensor of "
                "a fixed shape, or not in single precision",
            )
        preprocess, program = steps
        programs[leaf] = program
        values = [preprocess(modality, item) for item in items]
        prepared.append(program.batch(values))
        if {program.batch([value]).shape[1:] for value in values} != {prepared[-1].shape[1:]}:
            raise UsageError(
                f"{modality} of {leaf.label} cannot be written out",
                why=f"the tensor that {leaf.label} takes depends on what the items are",
            )
    module = _module(space, modality, programs, parts, adjustment)
    rows = torch.from_numpy(np.array(embedder.embed(modality, items)))
    return WholeModality(
        modality, inputs, tuple(programs.values()), module, items, tuple(prepared), rows
    )


def _program(
    encoder: Encoder, modality: Modality
) -> tuple[Callable[[Modality, Item], Prepared], TowerProgram] | None:
    """Return what prepares an encoder's items, and its network; None if it cannot be written."""
    from reactions.encoders.tower import TowerEncoder

    if not isinstance(encoder, TowerEncoder):
        return None
    program = encoder.towers[modality].program
    return None if program is None else (encoder.preprocess, program)


def _module(
    space: Space,
    modality: Modality,
    programs: Mapping[Leaf, TowerProgram],
    parts: Parts,
    adjustment: Adjustment,
) -> nn.Module:
    from torch import nn

    from reactions.encoders.tower import unit_rows
    from reactions.products.fuse import fuse

    raw = raw_leaves(space)

    class Whole(nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            rows: dict[Space, Tensor] = {}
            for (leaf, program), prepared in zip(programs.items(), inputs, strict=True):
                embedded = program.network(prepared)
                rows[leaf] = embedded.float() if leaf in raw else unit_rows(embedded)
            return fuse(space, modality, rows, parts, adjustment)

    return Whole().eval()
