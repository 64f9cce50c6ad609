"""What ``eval`` and ``infer`` act on: a bundle, or a space that is not a product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from reactions.core.types import Leaf, Space
from reactions.ops.recipes import recipe_of
from reactions.products.bundles.bundle import Bundle
from reactions.products.bundles.trained import TrainedFile, TunedFile
from reactions.products.tree import mixtures

if TYPE_CHECKING:
    from reactions.products.parts import Parts


@dataclass(frozen=True)
class Target:
    """A space to evaluate or to embed with.

    Attributes:
        name: for tables: the canonical reaction, or the space's name.
        space: the product, or a leaf.
        lab: label that every result must carry; "" for none.
        bundle: the trained product; None for a leaf.
        reason: why this bundle, for people; "" for a leaf.
        notices: what the user should know of it.
    """

    name: str
    space: Space
    lab: str
    bundle: Bundle | None = None
    reason: str = ""
    notices: tuple[str, ...] = ()

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Self:
        """Return a trained product to act on."""
        return cls(bundle.expression, bundle.space, bundle.lab, bundle)

    @classmethod
    def of_leaf(cls, name: str, leaf: Leaf, label: str) -> Self:
        """Return a space to act on as its encoder gives it: means belong to reactions."""
        if not leaf.spec.centre:
            return cls(name, leaf, label)
        notice = (
            f"{leaf.label} is taken as it is, not centred: means are those of a reaction's "
            "training rows, and a space alone has none"
        )
        return cls(name, Leaf(replace(leaf.spec, centre=False)), label, notices=(notice,))

    @property
    def products(self) -> tuple[str, ...]:
        """Types that the projectors' training multiplied in; () for a leaf, or if unknown."""
        return () if self.bundle is None else tuple(self.bundle.record.get("products", ()))

    def score_notices(self) -> tuple[str, ...]:
        """Say what about the projectors makes scores differ from those of other machines."""
        if self.bundle is None or self.bundle.record.get("settings", {}).get("precision") != "fast":
            return ()
        if self.products != ("float32",) or any(
            "precision" not in recipe_of(fusion.experts[i].recipe).uses
            for fusion, i in mixtures(self.space)
        ):
            return ()  # trained in float32 everywhere
        return (
            "the projectors were trained in float32: the machine that trained them has no fast "
            "16-bit products. Scores may differ by some tenths of a point from those of bfloat16",
        )

    def parts(self, device: str) -> Parts:
        """Load the trained parts onto a device; a leaf has none."""
        return self.bundle.parts(device) if self.bundle else {}

    @property
    def towers(self) -> Mapping[Leaf, TunedFile]:
        """Where the encoders are that were tuned, by the leaves that stand for them."""
        return TunedFile.all_of(self.bundle) if self.bundle else {}

    @property
    def trained(self) -> TrainedFile | None:
        """Where its trained parts are; None for a leaf."""
        return TrainedFile.of(self.bundle) if self.bundle else None
