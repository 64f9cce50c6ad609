"""Parts of a bundle in files of their own, by kind: what each holds, and how it is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from reactions.core.errors import BundleError
from reactions.core.types import Space
from reactions.products.aligned import LCL, LclKind
from reactions.products.parts import TrainedPart
from reactions.products.tree import nodes
from reactions.products.tuned import FT, TunedKind

if TYPE_CHECKING:
    from torch import Tensor


class PartKind(Protocol):
    """A kind of trained parts that lie in a file of their own."""

    def shapes(self, node: Space, about: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
        """Return name and shape of each tensor that the file holds; nothing is read for it.

        Args:
            node: that the part belongs to.
            about: what the bundle's record says of the part; it may come from anyone.

        Raises:
            ValueError: this kind of part cannot belong there.
        """

    def load(
        self, node: Space, about: Mapping[str, Any], tensors: Mapping[str, Tensor]
    ) -> TrainedPart:
        """Return the part, on the device of its tensors."""


KINDS: dict[str, PartKind] = {FT: TunedKind(), LCL: LclKind()}
"""By the names that records use."""


@dataclass(frozen=True, slots=True)
class PartFile:
    """A part of a bundle in a file of its own.

    Attributes:
        file: its name in the bundle.
        kind: one of ``KINDS``.
        path: of the node, as in ``tree.nodes``.
        node: that it belongs to.
        about: what the record says of it.
    """

    file: str
    kind: str
    path: str
    node: Space = field(repr=False)
    about: Mapping[str, Any] = field(repr=False)

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return name and shape of each tensor that the file must hold.

        Raises:
            ValueError: such a part cannot belong there.
        """
        return KINDS[self.kind].shapes(self.node, self.about)

    def load(self, tensors: Mapping[str, Tensor]) -> TrainedPart:
        """Return the part."""
        return KINDS[self.kind].load(self.node, self.about, tensors)


def part_file(position: int) -> str:
    """Return the file name of a bundle's part, by its position in the record."""
    return f"part-{position}.safetensors"


def is_part_file(name: str) -> bool:
    """Return whether a file is named as a bundle's part."""
    # No leading zeros: each position has one name.
    return re.fullmatch(r"part-(0|[1-9][0-9]{0,2})\.safetensors", name) is not None


def read_part(position: int, entry: Mapping[str, Any], space: Space) -> PartFile:
    """Return what a record says of a part.

    Raises:
        BundleError: this version knows no such kind.
        ValueError: there is no such node.
        LookupError, TypeError: a field is missing, or of another type.
    """
    kind, path, about = entry["kind"], entry["node"], entry["about"]
    if kind not in KINDS:
        raise BundleError(
            f"the bundle has a trained part of kind {kind!r:.40}",
            why=f"this version of molspace knows {', '.join(sorted(KINDS)) or 'none'}",
            fix="upgrade molspace, or install the package that made it",
        )
    by_path = dict(nodes(space))
    if path not in by_path:
        raise ValueError(f"a part belongs to {path!r:.80}, which the reaction does not have")
    if not isinstance(about, dict):
        raise ValueError(f"a part of kind {kind!r} is described by {about!r:.40}")
    return PartFile(part_file(position), kind, path, by_path[path], about)
