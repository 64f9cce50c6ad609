"""From syntax tree to typed reaction: names, modalities, dimensions, factors.

Works on what the catalogue says of a space; nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from reactions.core import types
from reactions.core.catalogue import Catalogue
from reactions.core.errors import DataError, MissingError, UsageError, suggestion
from reactions.core.factor_defaults import FactorDefaults
from reactions.core.lcl_options import LclOptions
from reactions.core.tuning_options import Heads, TuningOptions
from reactions.dsl.experts import Experts, mean_of_stage, shares_of
from reactions.dsl.parser import parse
from reactions.dsl.program import Program
from reactions.dsl.source import ProgramText, Span
from reactions.dsl.syntax import (
    Cr,
    Dr,
    Expression,
    Ft,
    Lcl,
    Parallel,
    Space,
    Stage,
    product,
    stages_of,
)
from reactions.dsl.tuning import LEFT_ALONE, check_learned, check_tuned
from reactions.dsl.values import MAX_NESTING, is_identifier

MAX_STAGES = 64
"""Stages one after another or within each other, once all names are expanded."""

MAX_REACTIONS = 1000
"""Reactions in all, once all names are expanded."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A reaction that can be planned.

    Attributes:
        expression: canonical text with all names expanded.
        space: the typed reaction.
        name: what the program calls its result, if anything.
        notices: remarks for the user, one sentence each.
    """

    expression: str
    space: types.Space
    name: str | None = None
    notices: tuple[str, ...] = ()


def check(
    reaction: Program | Expression,
    catalogue: Catalogue,
    *,
    factors: FactorDefaults,
    names: Mapping[str, Expression] | None = None,
    heads: Heads = True,
) -> Checked:
    """Resolve and check every name, modality and option of a reaction.

    Args:
        reaction: a parsed program, or an expression built in Python.
        catalogue: the spaces that can be named.
        factors: combining factors where a reaction gives none.
        names: products known by name from elsewhere; the program's own hide them.
        heads: what Ft tunes where a reaction does not say.

    Raises:
        LanguageError: the reaction cannot mean anything; the error points at the place.
    """
    # An expression is printed and parsed, so that errors have a text to point at.
    program = reaction if isinstance(reaction, Program) else parse(str(reaction))
    return _Checker(catalogue, factors, names or {}, heads).program(program)


@dataclass(frozen=True, slots=True)
class _Value:
    """An expression with its names expanded, its type, and its size."""

    expression: Expression
    space: types.Space
    stages: int = 0
    reactions: int = 0


@dataclass(frozen=True, slots=True)
class _Scope:
    """What a text can refer to.

    Attributes:
        source: the text.
        bound: names bound so far.
        later: names bound on this line or further down, with the place.
    """

    source: ProgramText
    bound: dict[str, _Value] = field(default_factory=dict)
    later: dict[str, Span] = field(default_factory=dict)


_HERE = Span(0, 1)


class _Checker:
    def __init__(
        self,
        catalogue: Catalogue,
        factors: FactorDefaults,
        names: Mapping[str, Expression],
        heads: Heads,
    ) -> None:
        self.catalogue = catalogue
        self.experts = Experts(catalogue, factors)
        self.names = names
        self.heads = heads
        self.known: dict[str, _Value] = {}
        self.entered: list[str] = []
        self.notices: list[str] = []

    def program(self, program: Program) -> Checked:
        scope = _Scope(program.source)
        for binding in program.bindings:
            scope.later[binding.name] = binding.span or _HERE
        for binding in program.bindings:
            span = binding.span or _HERE
            if binding.name in self.catalogue:
                raise scope.source.error(
                    f"'{binding.name}' is already a space",
                    span,
                    why="a name cannot hide a registered space",
                    fix="choose another name",
                )
            if binding.name in self.names:
                self.notices.append(f"'{binding.name}' is defined here anew, for this program only")
            value = self.value(scope, binding.expression)
            del scope.later[binding.name]
            scope.bound[binding.name] = value
        value = self.value(scope, program.result)
        name = program.result.name if isinstance(program.result, Space) else None
        return Checked(
            str(value.expression),
            value.space,
            name if name in scope.bound or name in self.known else None,
            tuple(dict.fromkeys(self.notices)),
        )

    def value(self, scope: _Scope, expression: Expression) -> _Value:
        if isinstance(expression, Space):
            return self.space(scope, expression)
        value = self.space(scope, expression.base)
        for stage in expression.stages:
            value = self.stage(scope, value, stage)
        return value

    # --- names ---

    def space(self, scope: _Scope, node: Space) -> _Value:
        span = node.span or _HERE
        if node.name in scope.bound:
            return scope.bound[node.name]
        if node.name in self.catalogue:
            return _Value(Space(node.name), types.Leaf(self.catalogue.by_name(node.name)))
        if node.name in scope.later:
            # Names leave `later` in order, so the first is the one being defined.
            if node.name == next(iter(scope.later)):
                raise scope.source.error(
                    f"'{node.name}' is defined by itself",
                    span,
                    why="a product cannot contain itself",
                    fix="use another name for one of the two",
                )
            number = scope.source.line_number(scope.later[node.name].start)
            raise scope.source.error(
                f"'{node.name}' is used before it is defined",
                span,
                why=f"its definition comes later, on line {number}",
                fix=f"move the definition of '{node.name}' before this one",
            )
        if node.name in self.names:
            return self.known_name(scope, node.name, span)
        if not is_identifier(node.name):
            return self.uri(scope, node.name, span)
        names = [*self.catalogue.names(), *scope.bound, *self.names]
        raise scope.source.error(
            f"unknown space '{node.name}'",
            span,
            fix=suggestion(node.name, names, see="molspace spaces"),
            name=node.name,
            known=names,
        )

    def known_name(self, scope: _Scope, name: str, span: Span) -> _Value:
        if name in self.entered:
            raise scope.source.error(
                f"'{name}' is defined by itself", span, why=" -> ".join([*self.entered, name])
            )
        if name not in self.known:
            self.entered.append(name)
            program = parse(str(self.names[name]))
            source = ProgramText(program.source.text, f"in '{name}'", numbered=False)
            self.known[name] = self.value(_Scope(source), program.result)
            self.entered.pop()
        return self.known[name]

    def uri(self, scope: _Scope, uri: str, span: Span) -> _Value:
        try:
            return _Value(Space(uri), types.Leaf(self.catalogue.by_uri(uri)))
        except (MissingError, DataError, UsageError) as error:
            located = scope.source.error(
                error.what, span, why=error.why, fix=error.fix, **error.fields
            )
            # What is missing or broken lies outside the text, and scripts distinguish these.
            located.exit_code = error.exit_code
            raise located from None

    # --- stages ---

    def stage(self, scope: _Scope, base: _Value, stage: Stage) -> _Value:
        if isinstance(stage, Ft | Lcl):
            return self.tuned(scope, base, stage)
        members: tuple[Dr | Cr, ...] = stage.members if isinstance(stage, Parallel) else (stage,)
        values = [self.value(scope, member.space) for member in members]
        stages = 1 + max(base.stages, *(value.stages for value in values))
        reactions = base.reactions + len(members) + sum(value.reactions for value in values)
        depth = max(getattr(value.expression, "nesting", 0) for value in values)
        self.limit(scope, members[0].span or _HERE, stages, reactions, depth)
        shares = shares_of(scope.source, members)
        mean = mean_of_stage(scope.source, members, self.experts.defaults.mean)
        experts: list[types.Expert] = []
        for member, value, share in zip(members, values, shares, strict=True):
            if any(value.space == expert.space for expert in experts):
                raise scope.source.error(
                    f"{value.space.label} twice in one stage",
                    member.span or _HERE,
                    why="the same expert aligned to the same base adds nothing",
                    fix=f"give it more weight instead: 2*Cr({member.space}) & 1*Cr(...)",
                )
            experts.append(
                self.experts.expert(scope.source, base.space, member, value.space, share)
            )
        expanded = stages_of(
            member.changed(space=value.expression)
            for member, value in zip(members, values, strict=True)
        )
        return _Value(
            product(base.expression, expanded),
            types.Fusion(members[0].op, base.space, tuple(experts), mean),
            stages,
            reactions,
        )

    def limit(
        self, scope: _Scope, span: Span, stages: int, reactions: int, nesting: int = 0
    ) -> None:
        """Keep every recursive walk within Python's stack, and the text within the parser's."""
        if stages > MAX_STAGES or reactions > MAX_REACTIONS or nesting >= MAX_NESTING:
            raise scope.source.error(
                "too large a reaction",
                span,
                why=f"at most {MAX_STAGES} stages, {MAX_NESTING} products within each other and "
                f"{MAX_REACTIONS} reactions, names expanded",
            )

    def tuned(self, scope: _Scope, base: _Value, node: Ft | Lcl) -> _Value:
        span = node.span or _HERE
        stages, reactions = base.stages + 1, base.reactions + 1
        self.limit(scope, span, stages, reactions)
        options_given = {name: value for name, value in node.options.items() if value is not None}
        try:
            if isinstance(node, Ft):
                options = TuningOptions(**{"heads": self.heads, **options_given})
                space = types.Tuned("ft", base.space, (node.tuned, node.paired), options)
                check_tuned(space)
            else:
                space = types.Tuned(
                    "lcl", base.space, (node.knowledge,), LclOptions(**options_given)
                )
                check_learned(space)
        except UsageError as error:
            raise scope.source.error(error.what, span, why=error.why, fix=error.fix) from None
        if isinstance(node, Ft) and node.tuned in LEFT_ALONE:
            self.notices.append(
                f"Ft({node.tuned}~{node.paired}) tunes the {node.tuned} encoder; the paper "
                "tunes neither image nor text, to keep their alignment"
            )
        return _Value(product(base.expression, (node,)), space, stages, reactions)
