"""From lark's tree to the syntax tree; what the grammar cannot refuse is refused here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

from reactions.core.errors import LanguageError, UsageError, suggestion
from reactions.dsl.lcl_options import LCL_OPTIONS, lcl_option_of
from reactions.dsl.program import Binding, Program
from reactions.dsl.source import ProgramText, Span
from reactions.dsl.syntax import (
    Cr,
    Dr,
    Expression,
    Ft,
    Lcl,
    Product,
    Reaction,
    Space,
    Stage,
    joined,
    parallel_why,
    product,
    stages_of,
)
from reactions.dsl.tokens import span_of
from reactions.dsl.tuning_options import TUNING_OPTIONS, tuning_option_of
from reactions.dsl.values import FactorsLike, factor_of, option_of
from reactions.modalities.registry import letters

if TYPE_CHECKING:
    from lark import Token, Tree

    Node: TypeAlias = Token | Tree[Token]


def build(source: ProgramText, tree: Tree[Token]) -> Program:
    """Return the program of a parsed text.

    Raises:
        LanguageError: a mistake that the grammar lets pass.
    """
    return _Builder(source).program(tree)


class _Builder:
    """Builds the nodes of one text."""

    def __init__(self, source: ProgramText) -> None:
        self.source = source

    def program(self, tree: Tree[Token]) -> Program:
        statements = [node for node in tree.children if not _is(node, "SEP")]
        bindings: list[Binding] = []
        result: Expression | None = None
        for position, node in enumerate(statements):
            if not _is(node, "binding"):
                result = self.expression(node)
                if position < len(statements) - 1:
                    span = _span(node)
                    raise self.source.error(
                        "a product without a name before the last line",
                        span,
                        why="only the last line is the result; the others are for naming",
                        fix=f"NAME = {result}",
                    )
                continue
            name, _, expression = _children(node)
            if any(binding.name == name for binding in bindings):
                raise self.source.error(
                    f"'{name}' is named twice",
                    _span(name),
                    why="a name keeps its meaning throughout a program",
                    fix="choose another name",
                )
            bindings.append(Binding(str(name), self.expression(expression), _span(name)))
        if result is None:
            result = Space(bindings[-1].name, bindings[-1].span)
        return Program(tuple(bindings), result, self.source)

    def expression(self, node: Node) -> Expression:
        first, *rest = _children(node)
        base = self.base(first)
        if not rest:
            return base
        stages: tuple[Stage, ...] = ()
        clash: tuple[Span, Reaction] | None = None
        for stage in rest:
            operator, parallel = _children(stage)
            members, ampersands = self.parallel(parallel)
            alone = [i for i, member in enumerate(members) if not isinstance(member, Cr)]
            if alone and len(members) > 1:
                clash = clash or (ampersands[max(0, alone[0] - 1)], members[alone[0]])
                stages += stages_of(members)
            else:
                (joining,) = stages_of(members)
                stages = joined(stages, joining, opens=_is(operator, "BAR"))
        if clash:  # raised only now, as the fix shows the whole product
            span, reaction = clash
            raise self.source.error(
                f"'&' around {type(reaction).__name__}",
                span,
                why=parallel_why(reaction),
                fix=str(product(base, stages)),
            )
        whole = product(base, stages)
        return Product(whole.base, whole.stages, _span(node))

    def base(self, node: Node) -> Expression:
        children = _children(node)
        if len(children) == 3:
            return self.expression(children[1])
        return self.space(children[0])

    def space(self, node: Node) -> Space:
        with self.located(_span(node)):
            return Space(_text(node), _span(node))

    def parallel(self, node: Node) -> tuple[list[Reaction], list[Span]]:
        """Return the members in order, and the ampersands between them."""
        members: list[Reaction] = []
        ampersands: list[Span] = []
        for child in _children(node):
            if _is(child, "AMP"):
                ampersands.append(_span(child))
                continue
            parts = _children(child)
            if _is(parts[0], "LPAR"):
                inner, inner_ampersands = self.parallel(parts[1])
                members += inner
                ampersands += inner_ampersands
            else:
                members.append(self.member(parts))
        return members, ampersands

    def member(self, parts: list[Node]) -> Reaction:
        reaction = self.reaction(parts[-1])
        if len(parts) == 1:
            return reaction
        with self.located(_span(parts[0])):
            weighted: Reaction = reaction * float(_text(parts[0]))
            return weighted

    def reaction(self, node: Node) -> Reaction:
        children = _children(node)
        if _is(node, "tuning"):
            return self.tuning(node, children)
        if _is(node, "learning"):
            return self.learning(node, children)
        return self.fusing(node, children)

    def tuning(self, node: Node, children: list[Node]) -> Ft:
        options: dict[str, Any] = {}
        spans: dict[str, Span] = {}
        for name, value in self.options(children, Ft, tuple(TUNING_OPTIONS)):
            with self.located(_span(value)):
                options[name] = tuning_option_of(name, self.scalar(name, value, name == "pairs"))
            spans[name] = _span(value)
        with self.located(_span(node)):
            pair = _text(children[2]), _text(children[4])
            return Ft(*pair, **options, span=_span(node), spans=spans)

    def learning(self, node: Node, children: list[Node]) -> Lcl:
        options: dict[str, Any] = {}
        spans: dict[str, Span] = {}
        for name, value in self.options(children, Lcl, LCL_OPTIONS):
            with self.located(_span(value)):
                if name == "modalities":
                    written: Any = self.names(name, value)
                else:
                    written = self.scalar(name, value, name == "preset")
                options[name] = lcl_option_of(name, written)
            spans[name] = _span(value)
        with self.located(_span(node)):
            return Lcl(_text(children[2]), **options, span=_span(node), spans=spans)

    def scalar(self, name: str, value: Node, is_name: bool) -> float | str:
        """Return an option's one value: a number, unless it is meant as a name."""
        (word, *more) = _children(value)
        if more:
            raise UsageError(f"{name} takes one value", fix="write it without parentheses")
        return float(_text(word)) if _is(word, "NUMBER") and not is_name else _text(word)

    def names(self, name: str, value: Node) -> tuple[str, ...]:
        """Return an option's names, of which there are one or several in parentheses."""
        children = _children(value)
        entries = [child for child in children if _is(child, "entry")]
        words = [_children(entry) for entry in entries] or [children]
        for word in words:
            if len(word) > 1 or _is(word[0], "NUMBER"):
                raise self.source.error(
                    f"'{_text(word[-1])}' is not a modality name",
                    _span(word[-1]),
                    fix=f"{name}=(event, point)",
                )
        return tuple(_text(word[0]) for word in words)

    def options(
        self, children: list[Node], kind: type[Reaction], known: tuple[str, ...]
    ) -> Iterator[tuple[str, Node]]:
        """Yield name and value of each option of a reaction.

        Raises:
            LanguageError: it has no such option, or it is given twice.
        """
        names_seen: set[str] = set()
        for option in (child for child in children if _is(child, "option")):
            name_token, _, value = _children(option)
            name = str(name_token)
            if name not in known:
                raise self.unknown_option(kind, name, known, _span(name_token))
            if name in names_seen:
                raise self.source.error(
                    f"'{name}' is given twice", _span(name_token), fix="give it once"
                )
            names_seen.add(name)
            yield name, value

    def fusing(self, node: Node, children: list[Node]) -> Dr | Cr:
        word, _, expert, *rest = children
        kind = Dr if _is(word, "DR") else Cr
        factor_name = kind.factor_option
        options: dict[str, Any] = {}
        spans: dict[str, Span] = {}
        for name, value in self.options(rest, kind, kind.option_names):
            with self.located(_span(value)):
                if name == factor_name:
                    options[name] = self.factors(name, value)
                elif name == "data":
                    options[name] = self.modalities(value)
                else:
                    options[name] = self.word(name, value)
                option_of(name, options[name])  # a mistake in it is reported at its own place
            spans[name] = _span(value)
        space = self.expression(expert)
        with self.located(_span(node)):
            if "lambda" in options:  # a keyword of Python
                options["lambda_"] = options.pop("lambda")
            return kind(space, **options, span=_span(node), spans=spans)

    def unknown_option(
        self, kind: type[Reaction], name: str, known: tuple[str, ...], span: Span
    ) -> LanguageError:
        other = Cr if kind is Dr else Dr
        if issubclass(kind, Dr | Cr) and name == other.factor_option:
            return self.source.error(
                f"{kind.__name__} takes {kind.factor_option}, not {name}",
                span,
                why=f"{name} is the expert's share in {other.__name__}",
                fix=f"{kind.factor_option}=...",
            )
        if kind is Dr and name == "mean":
            return self.source.error(
                f"{kind.__name__} takes no {name}",
                span,
                why="it says how parallel experts are averaged, and a displacement has one expert",
                fix="leave it out",
            )
        return self.source.error(
            f"unknown option '{name}' of {kind.__name__}",
            span,
            fix=suggestion(name, known),
            known=list(known),
        )

    def factors(self, option: str, value: Node) -> FactorsLike:
        children = _children(value)
        if len(children) == 1:
            return self.factor(option, children[0])
        entries = [_children(child) for child in children if _is(child, "entry")]
        by_name = {}
        for entry in entries:
            if (len(entry) == 3) != (len(entries[0]) == 3):
                raise self.source.error(
                    f"{option} mixes named and unnamed values",
                    Span(_span(entry[0]).start, _span(entry[-1]).end),
                    fix=f"name all of them or none: {option}=(audio=0.5, text=0.1)",
                )
            if len(entry) == 3:
                if str(entry[0]) in by_name:
                    raise self.source.error(
                        f"{option} names '{entry[0]}' twice", _span(entry[0]), fix="name it once"
                    )
                by_name[str(entry[0])] = self.factor(option, entry[2])
        return by_name or tuple(self.factor(option, entry[0]) for entry in entries)

    def factor(self, option: str, node: Node) -> float:
        with self.located(_span(node)):
            return factor_of(option, float(_text(node)) if _is(node, "NUMBER") else _text(node))

    def modalities(self, value: Node) -> str | tuple[str, ...]:
        children = _children(value)
        if len(children) == 1:
            word = _text(children[0])
            by_letter = letters()
            if word.isupper() and set(word) & set(by_letter) and not set(word) <= set(by_letter):
                raise self.source.error(
                    f"'{word}' is not a subset of the modalities",
                    _span(value),
                    why=", ".join(f"{letter} is {name}" for letter, name in by_letter.items()),
                    fix="use these letters, or names: data=(text, audio)",
                )
            return word
        names = []
        for entry in (_children(child) for child in children if _is(child, "entry")):
            if len(entry) > 1 or not _is(entry[0], "NAME"):
                raise self.source.error(
                    f"'{entry[-1]}' is not a modality name",
                    _span(entry[-1]),
                    why="data names the subset of modalities to train on",
                    fix="data=TVA   or   data=(text, audio)",
                )
            names.append(str(entry[0]))
        return tuple(names)

    def word(self, option: str, value: Node) -> str:
        children = _children(value)
        if len(children) > 1:
            raise self.source.error(f"{option} takes one name", _span(value))
        return _text(children[0])

    @contextmanager
    def located(self, span: Span) -> Iterator[None]:
        """Point errors of the syntax tree, which knows no text, at ``span``."""
        try:
            yield
        except LanguageError:
            raise
        except UsageError as error:
            raise self.source.error(error.what, span, why=error.why, fix=error.fix) from None


def _is(node: Node, kind: str) -> bool:
    return (node.type if isinstance(node, str) else node.data) == kind


def _children(node: Node) -> list[Node]:
    assert not isinstance(node, str), "a token where the grammar has a rule"
    return node.children


def _text(node: Node) -> str:
    """Return the text of a token, without the quotes of a string."""
    text = str(node)
    return text[1:-1] if _is(node, "STRING") else text


def _span(node: Node) -> Span:
    if isinstance(node, str):
        return span_of(node)
    return Span(node.meta.start_pos, node.meta.end_pos)
