"""A reaction as a drawing: boxes and lines with their places, from left to right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reactions.core.types import Fusion, Leaf, Space
from reactions.products.tree import mixtures

BOX_WIDTH, BOX_HEIGHT = 196, 62
_COLUMN, _ROW, _MARGIN = 352, 92, 6

_OPERATIONS = {
    "dr": ("Dr", "displacement"),
    "cr": ("Cr", "combination"),
    "ft": ("Ft", "fine-tuning"),
    "lcl": ("Lcl", "knowledge base"),
}


@dataclass(frozen=True, slots=True)
class Box:
    """A space or a reaction.

    Attributes:
        x: left edge.
        y: top edge.
        kind: ``space`` or an operation.
        title: its name.
        lines: what is below the name.
    """

    x: float
    y: float
    kind: str
    title: str
    lines: tuple[str, ...]

    @property
    def middle(self) -> float:
        """Where lines meet it."""
        return self.y + BOX_HEIGHT / 2


@dataclass(frozen=True, slots=True)
class Line:
    """From what a reaction takes to the reaction.

    Attributes:
        start: right edge of what is taken: (x, y).
        end: left edge of the reaction.
        role: ``base`` or ``expert``.
        is_projected: whether projectors act on it.
        words: projectors and factors, for people.
    """

    start: tuple[float, float]
    end: tuple[float, float]
    role: str
    is_projected: bool
    words: tuple[str, ...]

    @property
    def places(self) -> tuple[tuple[str, float], ...]:
        """The words with their baselines: clear of the line, which bends up or down."""
        middle = self.start[1]
        if self.end[1] < middle - 2:
            return tuple((word, middle + 17 + 15 * i) for i, word in enumerate(self.words))
        return tuple(zip(self.words, (middle - 7, middle + 17), strict=False))

    @property
    def path(self) -> str:
        """An SVG path."""
        (x0, y0), (x1, y1) = self.start, self.end
        bend = (x0 + x1) / 2
        return f"M{x0:g} {y0:g} C{bend:g} {y0:g} {bend:g} {y1:g} {x1:g} {y1:g}"


@dataclass
class Drawing:
    """Boxes and lines on a canvas.

    Attributes:
        width: of the canvas.
        height: of the canvas.
        boxes: spaces and reactions.
        lines: between them.
    """

    width: float = 0.0
    height: float = 0.0
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)


def draw_reaction(space: Space, record: Mapping[str, Any]) -> Drawing:
    """Lay a product out: leaves to the left, each reaction to the right of what it takes.

    Args:
        space: the product.
        record: of its bundle, for the number of projectors.
    """
    projectors = {
        pair: len(mixture["subsets"])
        for pair, mixture in zip(mixtures(space), record["mixtures"], strict=True)
    }
    drawing = Drawing()
    next_row = [0]

    def place(node: Space) -> Box:
        """Draw a node and all below it; returns its box."""
        x = _MARGIN + _COLUMN * _depth(node)
        if isinstance(node, Leaf):
            y = _MARGIN + _ROW * next_row[0]
            next_row[0] += 1
            width = f"{node.dim} dimensions" + (", centred" if node.spec.centre else "")
            box = Box(x, y, "space", node.label, (", ".join(node.modalities), width))
            drawing.boxes.append(box)
            return box
        if isinstance(node, Fusion):
            sides = [("base", place(node.base))]
            sides += [("expert", place(expert.space)) for expert in node.experts]
        else:
            sides = [("base", place(node.base))]
        middle = sum(side.middle for _, side in sides) / len(sides)
        short, name = _OPERATIONS[node.op]
        size = f"{node.dim} dimensions"
        if isinstance(node, Fusion):
            lines = (f"{', '.join(node.modalities)}", size)
        else:
            lines = (" ~ ".join(node.arguments), size)
        box = Box(x, middle - BOX_HEIGHT / 2, node.op, f"{short}: {name}", lines)
        drawing.boxes.append(box)
        spread = BOX_HEIGHT / (len(sides) + 1)
        for number, (role, side) in enumerate(sides, 1):
            index = max(number - 2, 0)
            is_projected = isinstance(node, Fusion) and (role == "base") == (node.op == "dr")
            count = projectors[node, index] if isinstance(node, Fusion) and is_projected else 0
            words = [f"{count} projector{'s' * (count != 1)}"] if count else []
            if role == "expert" and isinstance(node, Fusion):
                sign = "\u03bb" if node.op == "dr" else "\u03c3"
                factors = node.experts[index].factors
                words += [f"{sign} " + ", ".join(f"{m} {v:g}" for m, v in factors)]
            drawing.lines.append(
                Line(
                    (side.x + BOX_WIDTH, side.middle),
                    (box.x, box.y + number * spread),
                    role,
                    is_projected,
                    tuple(words),
                )
            )
        return box

    last = place(space)
    drawing.width = last.x + BOX_WIDTH + _MARGIN
    drawing.height = max(box.y for box in drawing.boxes) + BOX_HEIGHT + 2 * _MARGIN
    return drawing


def _depth(space: Space) -> int:
    """Return how many reactions follow each other within a space."""
    if isinstance(space, Leaf):
        return 0
    sides = [space.base]
    if isinstance(space, Fusion):
        sides += [expert.space for expert in space.experts]
    return 1 + max(map(_depth, sides))
