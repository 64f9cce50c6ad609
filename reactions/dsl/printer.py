"""The one canonical text of an expression."""

from __future__ import annotations

from collections.abc import Iterable

from reactions.core.types import LETTERS, Anchors
from reactions.dsl.program import Program
from reactions.dsl.syntax import (
    Cr,
    Dr,
    Expression,
    Ft,
    Lcl,
    Parallel,
    Space,
    Stage,
)
from reactions.dsl.values import Factors, is_identifier


def print_expression(node: Expression | Stage | Cr) -> str:
    """Return canonical text: ``parse(print_expression(e)).result == e``.

    The first stage follows ``+`` and each later one ``|``; experts of one stage are
    joined by ``&``; options come in the order sigma or lambda, data, recipe, centre.

    Args:
        node: an expression, a stage or a lone combination.
    """
    match node:
        case Space():
            return quoted(node.name)
        case Parallel():
            return " & ".join(print_expression(member) for member in node.members)
        case Dr() | Cr():
            return _fusing(node)
        case Ft():
            return f"Ft({node.tuned}~{node.paired})"
        case Lcl():
            return f"Lcl({quoted(node.knowledge)})"
        case _:
            stages = " | ".join(print_expression(stage) for stage in node.stages)
            return f"{print_expression(node.base)} + {stages}"


def print_program(program: Program) -> str:
    """Return canonical text of a program, one statement a line."""
    lines = [f"{b.name} = {print_expression(b.expression)}" for b in program.bindings]
    if not (program.bindings and program.result == Space(program.bindings[-1].name)):
        lines.append(print_expression(program.result))
    return "\n".join(lines)


def quoted(text: str) -> str:
    """Return a name bare where it can stand bare, else between quotes."""
    if is_identifier(text):
        return text
    return f"'{text}'" if '"' in text else f'"{text}"'


def print_number(value: float) -> str:
    """Return the shortest text that reads back as the same number, without ``.0``."""
    return repr(value).removesuffix(".0")


def print_anchors(anchors: Anchors) -> str:
    """Return ``TVA`` letters where every anchor has one, else a tuple of names."""
    letters = [letter for letter, modality in LETTERS.items() if modality in anchors]
    return "".join(letters) if len(letters) == len(anchors) else _tuple(anchors)


def print_factors(factors: Factors) -> str:
    """Return combining factors as written after ``sigma=`` or ``lambda=``."""
    if isinstance(factors, float):
        return print_number(factors)
    return _tuple(
        print_number(item) if isinstance(item, float) else f"{item[0]}={print_number(item[1])}"
        for item in factors
    )


def _fusing(node: Dr | Cr) -> str:
    inner = print_expression(node.space)
    parts = [inner if isinstance(node.space, Space) else f"({inner})"]
    if node.factors is not None:
        parts.append(f"{node.factor_option}={print_factors(node.factors)}")
    if node.anchors is not None:
        parts.append(f"data={print_anchors(node.anchors)}")
    if node.recipe != "paper":
        parts.append(f"recipe={node.recipe}")
    if node.centre is not None:
        parts.append(f"centre={str(node.centre).lower()}")
    text = f"{type(node).__name__}({', '.join(parts)})"
    if isinstance(node, Cr) and node.weight is not None:
        return f"{print_number(node.weight)}*{text}"
    return text


def _tuple(items: Iterable[str]) -> str:
    return f"({', '.join(items)})"
