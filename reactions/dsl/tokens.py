"""From text to tokens.

A newline ends a statement only where one could end: not inside parentheses, and
not before or after an operator. The other newlines are dropped here.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

from reactions.core.errors import LanguageError
from reactions.dsl.source import ProgramText, Span

if TYPE_CHECKING:
    from lark import Lark, Token

MAX_PARENTHESES = 64
"""Parentheses within parentheses; building the tree recurses once for each."""

_BINARY = frozenset({"PLUS", "BAR", "AMP", "STAR", "TILDE", "EQUAL", "COMMA"})


_CHARACTERS = {
    "\N{DAGGER}": "write the dagger as a stage: | Ft(audio~image)",
    "\N{GREEK SMALL LETTER SIGMA}": "write sigma",
    "\N{GREEK SMALL LETTER LAMDA}": "write lambda",
    "\N{MULTIPLICATION SIGN}": "write *",
    "\N{MIDDLE DOT}": "write *",
    "\N{LEFT DOUBLE QUOTATION MARK}": 'use straight quotes: "',
    "\N{RIGHT DOUBLE QUOTATION MARK}": 'use straight quotes: "',
    "\N{LEFT SINGLE QUOTATION MARK}": "use straight quotes: '",
    "\N{RIGHT SINGLE QUOTATION MARK}": "use straight quotes: '",
    "-": "put a name with '-' between quotes",
    "/": "put a path or URI between quotes",
    ":": "put a URI between quotes",
    "[": "use parentheses",
    "]": "use parentheses",
    "{": "use parentheses",
    "}": "use parentheses",
    "@": "put a URI between quotes",
    "\\": "put a path between quotes",
    ".": "put a path between quotes",
}

_TUNED = re.compile(r"\bFt\s*\(\s*\w+\s*\Z")
"""What stands before the sign between the two modalities of Ft."""


def span_of(token: Token) -> Span:
    """Return where a token was written."""
    return Span(token.start_pos or 0, token.end_pos or 0)


def unreadable(source: ProgramText, offset: int) -> LanguageError:
    """Return the error for a character that starts no token."""
    character = source.text[offset]
    if character in "\"'":
        stop = source.text.find("\n", offset)
        end = len(source.text) if stop < 0 else stop
        return source.error(
            "the quote is never closed",
            Span(offset, offset + len(source.text[offset:end].rstrip())),
            fix=f"add {character} after the name",
        )
    fix = _CHARACTERS.get(character, "remove it, or put the name between quotes")
    if character == "-" and _TUNED.search(source.text, 0, offset):
        fix = "write ~ between the modalities, as in Ft(audio~image)"
    shown = character if character.isprintable() else f"U+{ord(character):04X}"
    return source.error(
        f"unknown character '{shown}'",
        Span(offset, offset + 1),
        why="names are made of the letters A to Z, digits, _ and ., and begin with a letter or _",
        fix=fix,
    )


@functools.cache
def lark_parser() -> Lark:
    """Return the parser of the grammar file; made once a process, on first use."""
    from importlib.resources import files

    from lark import Lark

    grammar = files(__package__).joinpath("grammar.lark").read_text("utf-8")
    # The basic lexer does not ask the parser which terminals fit, so that a misplaced
    # word is still a token to speak of.
    return Lark(grammar, parser="lalr", lexer="basic", start="program", propagate_positions=True)


def tokens_of(source: ProgramText) -> tuple[list[Token], LanguageError | None]:
    """Return the tokens up to the first unreadable character, and the error it makes."""
    from lark.exceptions import UnexpectedCharacters

    tokens: list[Token] = []
    stop: LanguageError | None = None
    depth = 0
    try:
        for token in lark_parser().lex(source.text):
            if token.type == "SEP" and (
                not tokens
                or tokens[-1].type == "SEP"
                or (token == "\n" and (depth > 0 or tokens[-1].type in _BINARY))
            ):
                continue
            if token.type in ("PLUS", "BAR", "AMP") and tokens and tokens[-1] == "\n":
                tokens.pop()
            # An unmatched ')' is left to the parser, which can say where it is.
            depth = max(0, depth + (token.type == "LPAR") - (token.type == "RPAR"))
            if depth > MAX_PARENTHESES:
                raise source.error(
                    "parentheses nested too deep",
                    span_of(token),
                    why=f"at most {MAX_PARENTHESES} can lie within each other",
                    fix="name the inner products: P = ...",
                )
            tokens.append(token)
    except UnexpectedCharacters as error:
        stop = unreadable(source, error.pos_in_stream or 0)
    while stop is None and tokens and tokens[-1].type == "SEP":
        tokens.pop()
    return tokens, stop
