"""What a product is tuned for, and what must be kept: ``0.5*audio-text + esc50``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from reactions.core.errors import UsageError, suggestion
from reactions.eval.task import Task, folded
from reactions.experiments.findings.contrasts import FAMILIES

Reference: TypeAlias = Literal["", "base", "own"]

_TERM = re.compile(r"(?:(\d*\.?\d+)\s*\*\s*)?(\S(?:.*\S)?)", re.DOTALL)
_SIGN = re.compile(r"^-|\s-|,|;")
"""What is not part of a name, which may have hyphens within."""

_KEEP = re.compile(
    r"(\S.*?)\s*>=\s*(?:(base|own)\s*(?:([+-])\s*(\d*\.?\d+))?|(\d*\.?\d+))\s*", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A weighted mean of main scores, in per cent.

    Attributes:
        text: as it was written.
        tasks: name to weight; the weights sum to 1.
    """

    text: str
    tasks: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Keep:
    """A least value of a quantity.

    Attributes:
        text: as it was written.
        quantity: what is kept.
        reference: "base", what the last reaction's experts were added to; "own", the product with
            its present factors; "" for a value by itself.
        least: points that may be added to or lost from the reference, or the value by itself.
    """

    text: str
    quantity: Quantity
    reference: Reference
    least: float


def read_quantity(text: str, tasks: Sequence[Task], *, option: str) -> Quantity:
    """Read a sum of families and tasks with their weights.

    Args:
        text: as typed. A family stands for the mean of its tasks.
        tasks: those that the product can do and the lab has data of.
        option: its name, for messages.

    Raises:
        UsageError: a name is neither, or none of its tasks can be scored.
    """
    available = {task.name for task in tasks}
    weights: dict[str, float] = {}
    total = 0.0
    for part in text.split("+"):
        match = _TERM.fullmatch(part.strip())
        if match is None or _SIGN.search(match[2]):
            raise UsageError(
                f"{option}: '{text}' is not a sum of families and tasks",
                why="scores are added with + between them, each with a weight above 0 or none",
                fix=f'{option} "audio-text"   or   {option} "0.5*audio-text + esc50"',
            )
        weight = 1.0 if match[1] is None else float(match[1])
        if weight <= 0:
            raise UsageError(f"{option}: the weight of '{match[2]}' is 0", fix="leave it out")
        members = _members(match[2], tasks, option)
        present = [name for name in members if name in available]
        if not present:
            raise UsageError(
                f"{option}: nothing can be scored for '{match[2]}'",
                why=f"this product and lab have no data of {', '.join(members)}",
                fix="one of: " + ", ".join(_names(tasks)),
            )
        for name in present:
            weights[name] = weights.get(name, 0.0) + weight / len(present)
        total += weight
    return Quantity(text.strip(), {name: weight / total for name, weight in weights.items()})


def read_keep(text: str, tasks: Sequence[Task]) -> Keep:
    """Read ``QUANTITY >= base - 0.5``, ``>= own``, or ``>= 40``.

    Raises:
        UsageError: it is none of them, or names nothing that can be scored.
    """
    match = _KEEP.fullmatch(text.strip())
    if match is None:
        raise UsageError(
            f"--keep: '{text}' is not a least value",
            fix='--keep "image-text >= base - 0.5"   or   --keep "esc50 >= 85"',
        )
    quantity = read_quantity(match[1], tasks, option="--keep")
    if match[5] is not None:
        return Keep(text.strip(), quantity, "", float(match[5]))
    change = float(match[4] or 0.0)
    reference: Reference = "base" if match[2] == "base" else "own"
    return Keep(text.strip(), quantity, reference, -change if match[3] == "-" else change)


def _members(name: str, tasks: Sequence[Task], option: str) -> tuple[str, ...]:
    for family, members in FAMILIES.items():
        if folded(family) == folded(name):
            return members
    for task in tasks:
        if folded(name) in task.spellings():
            return (task.name,)
    names = [*FAMILIES, *(task.name for task in tasks)]
    raise UsageError(
        f"{option}: no task and no family of tasks is called '{name}'",
        fix=suggestion(name, names),
        name=name,
        known=names,
    )


def _names(tasks: Sequence[Task]) -> list[str]:
    available = {task.name for task in tasks}
    families = [name for name, members in FAMILIES.items() if available & set(members)]
    return [*families, *sorted(available)]
