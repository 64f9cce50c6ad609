"""What steps that make a projector have in common: the pseudo sets that they read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from reactions.core.step import NOT_IN_KEY, Artifact, Rows, Step, inputs_from
from reactions.core.types import Anchors, Modality, Op
from reactions.steps.routing import Side, Slot

if TYPE_CHECKING:
    from reactions.ops.pairs import PseudoSet


@dataclass(frozen=True, eq=False, kw_only=True)
class ProjectorStep(Step):
    """Makes one projector from a subset of the pseudo sets.

    Attributes:
        spaces: names the two spaces.
        op: ``"dr"`` projects the base, ``"cr"`` the expert.
        anchors: the subset.
        pseudo_sets: anchor to the columns of its pseudo set: those of the subset, which are the
            inputs, and those of the mixture's other projectors, with which it shares a table.
        dims: widths of base and expert.
        modalities: modalities of base and of expert that take part.
    """

    spaces: str = field(metadata=NOT_IN_KEY)
    op: Op
    anchors: Anchors
    pseudo_sets: Mapping[Modality, Mapping[Slot, Step]] = field(
        metadata=inputs_from(by=lambda step: step.pairs)
    )
    dims: tuple[int, int] = field(metadata=NOT_IN_KEY)
    modalities: tuple[Sequence[Modality], Sequence[Modality]]

    @property
    def columns(self) -> list[Slot]:
        """Columns of each pseudo set, the base's first."""
        base, expert = self.modalities
        return [*(("base", m) for m in base), *(("expert", m) for m in expert)]

    @property
    def pairs(self) -> dict[str, Step]:
        """``<anchor>.<side>.<modality>`` to the columns that it is made from."""
        return {
            f"{anchor}.{side}.{modality}": self.pseudo_sets[anchor][side, modality]
            for anchor in self.anchors
            for side, modality in self.columns
        }

    @cached_property
    def rows(self) -> dict[Modality, int]:
        """Rows of each anchor, in the order in which they lie in the table that is shared."""
        return {
            anchor: next(iter(columns.values())).n_rows or 0
            for anchor, columns in sorted(self.pseudo_sets.items())
        }

    @property
    def widths(self) -> tuple[int, int]:
        """Dimensions of the side that is projected, and of the frozen one."""
        base, expert = self.dims
        return (base, expert) if self.op == "dr" else (expert, base)

    @property
    def sides(self) -> tuple[Sequence[Modality], Sequence[Modality]]:
        """Modalities of the side that is projected, and of the frozen one."""
        base, expert = self.modalities
        return (base, expert) if self.op == "dr" else (expert, base)

    def pseudo_pairs(self, inputs: Mapping[str, Artifact]) -> dict[Modality, PseudoSet]:
        """Return the pseudo set of each anchor, projected side first."""
        from reactions.ops.pairs import PseudoSet

        names: tuple[Side, Side] = ("base", "expert") if self.op == "dr" else ("expert", "base")

        def columns(anchor: Modality, which: int) -> list[Rows]:
            return [
                inputs[f"{anchor}.{names[which]}.{m}"].arrays["embeddings"]
                for m in self.sides[which]
            ]

        return {
            anchor: PseudoSet(columns(anchor, 0), columns(anchor, 1)) for anchor in self.anchors
        }
