"""Several statements: names for products, and the product they lead to."""

from __future__ import annotations

from dataclasses import dataclass, field

from reactions.dsl.source import ProgramText, Span
from reactions.dsl.syntax import Expression, Space


@dataclass(frozen=True, slots=True)
class Binding:
    """``name = expression``."""

    name: str
    expression: Expression
    span: Span | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Program:
    """Bindings and the expression they lead to.

    Attributes:
        bindings: in the order written.
        result: the last statement; the name of the last binding where that came last.
        source: the text, for errors.
    """

    bindings: tuple[Binding, ...]
    result: Expression
    source: ProgramText = field(default=ProgramText(""), compare=False, repr=False)

    def __str__(self) -> str:
        lines = [f"{binding.name} = {binding.expression}" for binding in self.bindings]
        if not (self.bindings and self.result == Space(self.bindings[-1].name)):
            lines.append(str(self.result))
        return "\n".join(lines)
