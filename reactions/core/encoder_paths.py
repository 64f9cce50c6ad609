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
        hops: the fusions on the way, outermost first, each with the index of the expert that the
            way goes through; None where it goes through the base.
        tuned: the nodes on the way that ``Ft`` or ``Lcl`` tuned, outermost first.
    """

    leaf: Leaf
    hops: tuple[tuple[Fusion, int | None], ...] = ()
    tuned: tuple[Tuned, ...] = ()

    @property
    def projected(self) -> tuple[tuple[Fusion, int], ...]:
        """The hops whose projectors act on the way, outermost first, as (fusion, expert)."""
        # Dr projects its base, by the projectors of its one expert; Cr projects its experts.
        return tuple(
            (fusion, index or 0)
            for fusion, index in self.hops
            if (index is None) == (fusion.op == "dr")
        )


def encoder_paths(space: Space, modality: Modality) -> Iterator[EncoderPath]:
    """Yield every way to an encoder of the modality, whatever the combining factors."""
    if isinstance(space, Leaf):
        if modality in space.modalities:
            yield EncoderPath(space)
        return
    for path in encoder_paths(space.base, modality):
        if isinstance(space, Tuned):
            yield EncoderPath(path.leaf, path.hops, (space, *path.tuned))
        else:
            yield EncoderPath(path.leaf, ((space, None), *path.hops), path.tuned)
    if isinstance(space, Fusion):
        for index, expert in enumerate(space.experts):
            for path in encoder_paths(expert.space, modality):
                yield EncoderPath(path.leaf, ((space, index), *path.hops), path.tuned)


def path_of(node: Tuned) -> EncoderPath:
    """Return the way from the base of an ``Ft`` to the encoder that it tunes.

    Raises:
        ValueError: there is none, or more than one.
    """
    paths = list(encoder_paths(node.base, node.arguments[0]))
    if len(paths) != 1:
        raise ValueError(f"{node.arguments[0]} comes from {len(paths)} encoders, not from one")
    return paths[0]
