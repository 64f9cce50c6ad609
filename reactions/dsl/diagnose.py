"""What to say about a text that does not parse.

The parser knows which token it could not take and which it would have taken;
each rule below recognises one mistake people make from that and its neighbours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reactions.core.errors import LanguageError, did_you_mean
from reactions.dsl.lcl_options import LCL_OPTIONS
from reactions.dsl.source import ProgramText, Span
from reactions.dsl.tokens import span_of
from reactions.dsl.tuning_options import TUNING_OPTIONS
from reactions.dsl.values import RESERVED

if TYPE_CHECKING:
    from lark import Token

KEYWORDS = {"DR": "Dr", "CR": "Cr", "FT": "Ft", "LCL": "Lcl"}
OPTIONS = ("sigma", "lambda", "data", "recipe", "centre", "mean", *TUNING_OPTIONS, *LCL_OPTIONS)
_ARGUMENTS = {
    "FT": ("two modalities", "heads=only, epochs=10, lr=0.001, batch=512"),
    "LCL": (
        "one knowledge base",
        "temperature=0.1, epochs=20, preset=ESC, modalities=(event, point)",
    ),
}
"""What a reaction takes before its options, and some of these; others than Dr and Cr."""
_NAMES = ("NAME", "STRING")
_WORDS = {
    **{kind: f"{word}(...)" for kind, word in KEYWORDS.items()},
    "NAME": "a name",
    "STRING": "a quoted name",
    "NUMBER": "a number",
    "PLUS": "+",
    "BAR": "|",
    "AMP": "&",
    "STAR": "*",
    "TILDE": "~",
    "EQUAL": "=",
    "COMMA": ",",
    "LPAR": "(",
    "RPAR": ")",
    "SEP": "a new line",
    "$END": "the end",
}


def unexpected(
    source: ProgramText, tokens: Sequence[Token], position: int, accepts: frozenset[str]
) -> LanguageError:
    """Return the error for a token the parser could not take.

    Args:
        source: the text.
        tokens: all tokens of the text up to its first unreadable character.
        position: index of the offending token; ``len(tokens)`` for the end.
        accepts: the kinds of token that would have fitted.
    """
    mistake = _Mistake(source, tokens, position, accepts)
    for rule in _RULES:
        error = rule(mistake)
        if error is not None:
            return error
    return mistake.error(f"unexpected '{mistake.text}'", why=mistake.expected)


@dataclass(frozen=True)
class _Mistake:
    source: ProgramText
    tokens: Sequence[Token]
    position: int
    accepts: frozenset[str]

    def kind(self, step: int = 0) -> str:
        """Return the kind of the token ``step`` places after the offending one."""
        position = self.position + step
        if 0 <= position < len(self.tokens):
            return self.tokens[position].type
        return "$END" if step >= 0 else ""

    def word(self, step: int = 0) -> str:
        position = self.position + step
        return str(self.tokens[position]) if 0 <= position < len(self.tokens) else ""

    @property
    def text(self) -> str:
        return self.word() if self.word() != "\n" else "end of line"

    @property
    def ends(self) -> bool:
        """Whether the statement ends here: end of text, separator, or the next binding."""
        if self.kind() in ("$END", "SEP"):
            return True
        # Within parentheses newlines are not tokens: a new line that begins as a statement does
        # shows that the parenthesis before it was never closed.
        if "\n" not in self.source.text[self.before : self.span.start]:
            return False
        if self.kind() == "NAME" and self.kind(1) == "EQUAL":
            return self.word() not in OPTIONS
        return "RPAR" in self.accepts and self.kind() in (*_NAMES, *KEYWORDS)

    @property
    def before(self) -> int:
        """Offset just after the token before the offending one."""
        return span_of(self.tokens[self.position - 1]).end if self.position else 0

    @property
    def span(self) -> Span:
        if self.position < len(self.tokens):
            return span_of(self.tokens[self.position])
        return Span(self.before, self.before + 1)

    @functools.cached_property
    def open_parentheses(self) -> list[Span]:
        return [span for span, _ in self._open]

    @property
    def within(self) -> str:
        """The kind of the token before the innermost open parenthesis; "" for none."""
        return self._open[-1][1] if self._open else ""

    @functools.cached_property
    def _open(self) -> list[tuple[Span, str]]:
        """The open parentheses, each with the kind of the token before it."""
        pairs: list[tuple[Span, str]] = []
        kind = ""
        for token in self.tokens[: self.position]:
            if token.type == "LPAR":
                pairs.append((span_of(token), kind))
            elif token.type == "RPAR":
                pairs.pop()  # never empty: the parser took these tokens
            kind = token.type
        return pairs

    @property
    def expected(self) -> str:
        words = [word for kind, word in _WORDS.items() if kind in self.accepts]
        if not words or len(words) > 6:
            return ""
        return "expected " + " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))

    @property
    def wants_space(self) -> bool:
        return "NAME" in self.accepts and "LPAR" in self.accepts

    @property
    def wants_reaction(self) -> bool:
        return "CR" in self.accepts

    def error(
        self, what: str, *, why: str = "", fix: str = "", span: Span | None = None
    ) -> LanguageError:
        return self.source.error(what, span or self.span, why=why, fix=fix)

    def rewritten(self, replacement: str, *, span: Span | None = None) -> str:
        return self.source.rewritten(span or self.span, replacement)


Rule = Callable[[_Mistake], LanguageError | None]


def _empty(m: _Mistake) -> LanguageError | None:
    if m.tokens:
        return None
    return m.error(
        "there is no reaction here", span=Span(0, 1), fix="write one, as in ImageBind + Cr(CLAP_g)"
    )


def _too_early(m: _Mistake) -> LanguageError | None:
    if not m.ends:
        return None
    after = Span(m.before, m.before + 1)
    if "RPAR" in m.accepts:
        return m.error(
            "missing ')'",
            span=after,
            why=_unclosed(m),
            fix=m.rewritten(")" * len(m.open_parentheses), span=Span(m.before, m.before)),
        )
    previous = m.word(-1)
    fixes = {
        "PLUS": f"add Dr(SPACE) or Cr(SPACE), or remove the '{previous}'",
        "BAR": f"add Dr(SPACE) or Cr(SPACE), or remove the '{previous}'",
        "AMP": f"add Cr(SPACE), or remove the '{previous}'",
        "STAR": "add the Cr(SPACE) that it weighs",
        "EQUAL": "add what the name stands for",
        "NUMBER": f"a weight belongs to a combination: {previous}*Cr(SPACE)",
    }
    if m.kind(-1) in KEYWORDS:
        return m.error(f"{previous} of what?", span=after, fix=_example(previous))
    return m.error(
        f"the reaction ends after '{previous}'",
        span=after,
        why=m.expected,
        fix=fixes.get(m.kind(-1), ""),
    )


def _unclosed(m: _Mistake) -> str:
    start = m.open_parentheses[-1].start
    column = start - (m.source.text.rfind("\n", 0, start) + 1) + 1
    number = m.source.line_number(start)
    line = f" of line {number}" if number != m.source.line_number(m.before) else ""
    return f"the '(' at column {column}{line} is still open"


def _reserved(m: _Mistake) -> LanguageError | None:
    if m.kind() in KEYWORDS and m.kind(1) == "EQUAL":
        return m.error(
            f"'{m.text}' cannot be a name",
            why=f"{', '.join(RESERVED)} are words of the language",
            fix="choose another name",
        )
    return None


def _lower_case(m: _Mistake) -> LanguageError | None:
    """``dr(x)``, after an operator or where a base could stand."""
    if m.wants_reaction and m.kind() == "NAME" and m.kind(1) == "LPAR":
        step = 0
    elif m.kind() == "LPAR" and m.kind(-1) == "NAME":
        step = -1
    else:
        return None
    word = m.word(step)
    span = span_of(m.tokens[m.position + step])
    near = did_you_mean(word, RESERVED, limit=1)
    if near:
        return m.error(
            f"unknown reaction '{word}'",
            span=span,
            fix=f"did you mean '{near[0]}'?",
        )
    return m.error(
        f"'{word}' is not a reaction", span=span, why=f"reactions are {', '.join(RESERVED)}"
    )


def _forgotten_reaction(m: _Mistake) -> LanguageError | None:
    """``A + B``."""
    if not (m.wants_reaction and m.kind() in _NAMES):
        return None
    return m.error(
        f"{m.text} is a space, not a reaction",
        why="a space joins another by displacement (Dr) or combination (Cr)",
        fix=f"{m.rewritten(f'Cr({m.text})')}   or   Dr({m.text})",
    )


def _forgotten_parentheses(m: _Mistake) -> LanguageError | None:
    """``Dr InternVL``."""
    if m.kind(-1) not in KEYWORDS:
        return None
    word = m.word(-1)
    start = span_of(m.tokens[m.position - 1]).start
    if m.kind() == "NAME" and word in ("Dr", "Cr", "Lcl"):
        fix = m.rewritten(f"{word}({m.text})", span=Span(start, m.span.end))
    else:
        fix = _example(word)
    return m.error(f"{word} needs parentheses", why=f"found '{m.text}' after it", fix=fix)


def _example(word: str) -> str:
    return {"Ft": "Ft(audio~image)", "Lcl": "Lcl(kb)"}.get(word, f"{word}(SPACE)")


def _no_base(m: _Mistake) -> LanguageError | None:
    """``Dr(InternVL)`` alone, ``+ Cr(X)``, ``A = | Cr(X)``."""
    if not (m.wants_space and m.kind() in (*KEYWORDS, "PLUS", "BAR", "AMP", "NUMBER", "STAR")):
        return None
    if m.kind(-1) == "LPAR" and m.kind(-2) in KEYWORDS:
        return m.error(
            f"{m.word(-2)} takes a space, found '{m.text}'",
            fix=f"{m.word(-2)}(SPACE)   or   {m.word(-2)}((SPACE + Cr(SPACE)))",
        )
    example = f"{m.text}(...)" if m.kind() in KEYWORDS else "Cr(...)"
    return m.error(
        f"no base before '{m.text}'",
        why="a reaction starts from a space",
        fix=f"begin with one, as in ImageBind + {example}",
    )


def _forgotten_operator(m: _Mistake) -> LanguageError | None:
    """``A Cr(X)``, ``A B``, ``0.7 Cr(X)``, ``Cr(X)*0.7``."""
    if m.kind(-1) == "NUMBER" and "STAR" in m.accepts:
        return m.error(
            "missing '*' after a weight",
            why=f"found '{m.text}'",
            fix=m.rewritten(f"*{m.text}", span=Span(m.before, m.span.end)),
        )
    if "PLUS" not in m.accepts:
        return None
    if m.kind() in KEYWORDS:
        return m.error(
            f"missing operator before {m.text}", fix=m.rewritten(f"+ {m.text}"), span=m.span
        )
    if m.kind() == "STAR":
        return m.error("a weight comes before its Cr", fix="0.7*Cr(SPACE)")
    if m.kind() in _NAMES and m.kind(1) != "EQUAL" and "COMMA" not in m.accepts:
        return m.error(
            f"missing operator before {m.text}",
            fix=f"{m.rewritten(f'+ Cr({m.text})')}   or   + Dr({m.text})",
        )
    if m.kind() == "AMP":
        kinds = [token.type for token in m.tokens]
        is_open = kinds.count("LPAR") > kinds.count("RPAR")
        if is_open and m.kind(-2) == "LPAR" and m.kind(-3) in KEYWORDS:
            fix = m.rewritten(") &", span=Span(m.before, m.span.end))
            return m.error(f"missing ')' after {m.word(-3)}({m.word(-1)}", fix=fix)
        return m.error(
            "no combination before '&'",
            why="'&' joins combinations (Cr) of one stage, and there is none to join here",
            fix=m.rewritten("+"),
        )
    return None


def _arguments(m: _Mistake) -> LanguageError | None:
    """Mistakes between the parentheses of a reaction."""
    if m.kind() == "TILDE" or "TILDE" in m.accepts:
        return m.error(
            f"unexpected '{m.text}'",
            why="Ft names the modality to tune and the one it is paired with",
            fix="Ft(audio~image)",
        )
    if m.kind() == "RPAR" and m.kind(-1) == "LPAR" and m.kind(-2) in KEYWORDS:
        return m.error(f"{m.word(-2)}() is empty", fix=_example(m.word(-2)))
    arguments, options = _ARGUMENTS.get(m.within, ("", ""))
    if m.accepts == {"EQUAL"}:
        return m.error(
            f"'{m.word(-1)}' is not an option",
            span=span_of(m.tokens[m.position - 1]),
            why=f"{KEYWORDS[m.within]} takes {arguments}, then options"
            if arguments
            else "Dr and Cr take one space, then options",
            fix=f"for an option: {m.word(-1)}=..."
            if arguments
            else f"for a second expert: & Cr({m.word(-1)})   for an option: {m.word(-1)}=...",
        )
    if m.kind(-1) == "COMMA" and m.accepts == {"NAME"}:
        if m.kind() == "RPAR":
            return m.error("nothing after the ','", fix="remove the ',' or add an option")
        return m.error(
            f"expected an option, found '{m.text}'",
            fix=f"name it: {options or 'sigma=(0.5, 0.1), lambda=0.9, data=TVA, recipe=exmcr'}",
        )
    if m.kind() == "EQUAL" and m.kind(-2) == "LPAR" and "COMMA" in m.accepts:
        is_lcl = m.within == "LCL"
        return m.error(
            f"'{m.word(-1)}' before the {'knowledge base' if is_lcl else 'space'}",
            span=span_of(m.tokens[m.position - 1]),
            why="Lcl takes the knowledge base first, then options"
            if is_lcl
            else "Dr and Cr take the space first, then options",
            fix="Lcl(kb, epochs=20)" if is_lcl else "Cr(SPACE, sigma=0.5)",
        )
    if m.kind() == "NUMBER" and m.kind(-1) == "NAME" and m.text.startswith("-"):
        return m.error(f"unexpected '{m.text}'", fix="put a name with '-' between quotes")
    if m.kind() in _NAMES and "COMMA" in m.accepts:
        return m.error(
            "missing ','", fix=m.rewritten(f", {m.text}", span=Span(m.before, m.span.end))
        )
    return None


def _stray(m: _Mistake) -> LanguageError | None:
    if m.kind() == "RPAR" and not m.open_parentheses:
        return m.error("unmatched ')'", fix=m.rewritten(""))
    if m.kind() == "EQUAL":
        return m.error(
            "stray '='",
            why="'=' gives a product its name, or an option its value",
            fix="NAME = ImageBind + Cr(CLAP_g)   or   Cr(CLAP_g, sigma=0.5)",
        )
    if m.open_parentheses and "RPAR" in m.accepts and m.kind() in ("SEP", *_NAMES):
        return m.error("missing ')'", span=Span(m.before, m.before + 1), why=_unclosed(m))
    return None


# The first that returns an error wins, so their order matters.
_RULES: tuple[Rule, ...] = (
    _empty,
    _reserved,
    _too_early,
    _lower_case,
    _forgotten_reaction,
    _forgotten_parentheses,
    _no_base,
    _forgotten_operator,
    _arguments,
    _stray,
)
