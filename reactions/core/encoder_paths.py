"""The ways from encoders to where a product embeds a modality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reactions.core.types import Fusion, Leaf, Modality, Space, Tuned


@dataclass(frozen=True, slots=True)
class EncoderPath:
    """One way from a product down to an encoder.

    Attributes:
        leaf: whose encoder.
        way: the nodes on the way, outermost first: what ``Ft`` or ``Lcl`` tuned, and fusions,
            each with the index of the expert that the way goes through; None where it goes
            through the base.
    """

    leaf: Leaf
    way: tuple[Tuned | tuple[Fusion, int | None], ...] = ()

    @property
    def hops(self) -> tuple[tuple[Fusion, int | None], ...]:
        """The fusions on the way, outermost first."""
        return tuple(node for node in self.way if not isinstance(node, Tuned))

    @property
    def tuned(self) -> tuple[Tuned, ...]:
        """The nodes on the way that ``Ft`` or ``Lcl`` tuned, outermost first."""
        return tuple(node for node in self.way if isinstance(node, Tuned))

    @property
    def projected(self) -> tuple[tuple[Fusion, int], ...]:
        """The hops whose projectors act on the way, outermost first, as (fusion, expert)."""
        return tuple((fusion, index or 0) for fusion, index in self.hops if _acts(fusion, index))

    @property
    def aligned(self) -> tuple[tuple[int, Tuned], ...]:
        """What ``Lcl`` trained on the way, innermost first.

        Each comes with how many of ``projected`` act before it.
        """
        tuned_nodes: list[tuple[int, Tuned]] = []
        before = 0
        for node in reversed(self.way):
            if not isinstance(node, Tuned):
                before += _acts(*node)
            elif node.op == "lcl":
                tuned_nodes.append((before, node))
        return tuple(tuned_nodes)


def _acts(fusion: Fusion, index: int | None) -> bool:
    """Return whether projectors act on the way through a fusion."""
    # Dr projects its base, by the projectors of its one expert; Cr projects its experts.
    return (index is None) == (fusion.op == "dr")


def encoder_paths(space: Space, modality: Modality) -> Iterator[EncoderPath]:
    """Yield every way to an encoder of the modality, whatever the combining factors."""
    if isinstance(space, Leaf):
        if modality in space.modalities:
            yield EncoderPath(space)
        return
    for path in encoder_paths(space.base, modality):
        node = space if isinstance(space, Tuned) else (space, None)
        yield EncoderPath(path.leaf, (node, *path.way))
    if isinstance(space, Fusion):
        for index, expert in enumerate(space.experts):
            for path in encoder_paths(expert.space, modality):
                yield EncoderPath(path.leaf, ((space, index), *path.way))


def path_of(node: Tuned) -> EncoderPath:
    """Return the way from the base of an ``Ft`` to the encoder that it tunes.

    Raises:
        ValueError: there is none, or more than one.
    """
    paths = list(encoder_paths(node.base, node.arguments[0]))
    if len(paths) != 1:
        raise ValueError(f"{node.arguments[0]} comes from {len(paths)} encoders, not from one")
    return paths[0]
