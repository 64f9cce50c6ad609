"""From text to syntax tree."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reactions.core.errors import DataError, LanguageError, MissingError, UsageError
from reactions.core.local_files import read_small_file
from reactions.dsl.build import build
from reactions.dsl.diagnose import unexpected
from reactions.dsl.program import Program
from reactions.dsl.source import ProgramText, Span
from reactions.dsl.tokens import lark_parser, tokens_of

if TYPE_CHECKING:
    from lark import Token, Tree

MAX_CHARACTERS = 20_000
LIMIT_BYTES = 4 * MAX_CHARACTERS  # UTF-8 takes at most four bytes a character
"""Of a ``.rxn`` file: no more could be read."""


def parse(text: str, *, origin: str = "") -> Program:
    """Parse a program: bindings, one a line or separated by ``;``, and a result.

    Args:
        text: what to parse.
        origin: file it came from, for errors; the line number is added to it.

    Raises:
        LanguageError: it does not parse; the error points at the first mistake.
    """
    source = ProgramText(text, origin)
    if len(text) > MAX_CHARACTERS:
        raise ProgramText(text[:60] + " ...", origin).error(
            f"a reaction of {len(text):,} characters",
            Span(0, 1),
            why=f"at most {MAX_CHARACTERS:,} are read",
        )
    tokens, unreadable = tokens_of(source)
    return build(source, _tree(source, tokens, unreadable))


def parse_file(path: str | Path) -> Program:
    """Parse a ``.rxn`` file.

    Raises:
        LanguageError: as for ``parse``.
        UsageError: the file cannot be read, or is not UTF-8 text.
    """
    path = Path(path)
    try:
        # -sig drops the byte-order mark that some editors put first.
        text = read_small_file(path, LIMIT_BYTES).decode("utf-8-sig")
    except (DataError, MissingError) as error:
        raise UsageError(
            f"cannot read the reaction file '{path}'",
            why=error.why or "there is no such file",
            fix="give the path of an existing file, or the reaction itself",
            path=str(path),
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(
            f"the reaction file '{path}' is not text",
            why=f"byte {error.start} is not UTF-8",
            path=str(path),
        ) from None
    return parse(text, origin=str(path))


def _tree(
    source: ProgramText, tokens: list[Token], unreadable: LanguageError | None
) -> Tree[Token]:
    from lark.exceptions import UnexpectedToken

    parser = lark_parser().parse_interactive("")
    position = 0
    try:
        for position, token in enumerate(tokens):  # noqa: B007  # read after the loop
            parser.feed_token(token)
        if unreadable is not None:  # a mistake before it has been raised already
            raise unreadable
        position = len(tokens)
        tree: Tree[Token] = parser.feed_eof()  # type: ignore[no-untyped-call]
    except UnexpectedToken:
        accepts = frozenset(parser.accepts())  # type: ignore[no-untyped-call]
        raise unexpected(source, tokens, position, accepts) from None
    return tree
