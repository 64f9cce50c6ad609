"""CLIP's tokenizer: lower-cased byte-pair encoding over the merges that OpenAI published."""

from __future__ import annotations

import gzip
import html
import itertools
import math
import re
import sys
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from reactions.core.errors import MissingError
from reactions.core.extras import install_extra
from reactions.encoders.preprocessing.tokens import cut_limits, note_cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

CONTEXT = 77
"""Tokens of one text, start and end included."""

LIMITS = cut_limits(CONTEXT)
"""What ``tokenize`` notes of texts."""

VOCABULARY = 49408
START, END = VOCABULARY - 2, VOCABULARY - 1

_MERGES = Path(__file__).with_name("clip_merges.txt.gz")
_PLAIN = re.compile(r"[ -%'-~]*")  # printable ASCII without the ampersand
_SPACE = re.compile(r"\s+")
_WORD_BYTES = 4096
"""Bytes of one word that are encoded: its 75 first tokens, 32 bytes each at most, and more."""


def tokenize(text: str) -> NDArray[np.int64]:
    """Encode a text as CLIP does, between a start and an end token.

    A text over the limit is cut, noted (``LIMITS``), and keeps its end token, where the embedding
    is read.
    (OpenAI's and the present ImageBind code agree on this; the first ImageBind release cut
    the end token too.)

    Returns:
        (n,) token ids, 2 <= n <= 77.

    Raises:
        MissingError: the text is not plain ASCII, and the package ftfy is missing.
    """
    ids = [START]
    for word in _words().findall(_clean(text)):
        ids += _encode(word)
        if len(ids) >= CONTEXT:  # the end token comes on top
            note_cut(CONTEXT)
            break
    return np.array([*ids[: CONTEXT - 1], END], np.int64)


def count_tokens(text: str, *, repair: bool = True) -> int:
    """Return the tokens of a text that is not cut, start and end token included.

    Args:
        text: of any length.
        repair: whether ftfy repairs what is not plain ASCII first, as ``tokenize`` does; without
            it the count may be off by a few tokens for such texts.

    Raises:
        MissingError: the text is to be repaired, and the package ftfy is missing.
    """
    clean = _clean(text) if repair else _SPACE.sub(" ", html.unescape(text)).strip().lower()
    return 2 + sum(len(_encode(word)) for word in _words().findall(clean))


def is_plain(text: str) -> bool:
    """Return whether a text needs no repair: printable ASCII without an ampersand."""
    return _PLAIN.fullmatch(text) is not None


def require_ftfy() -> None:
    """Check that any text can be cleaned as CLIP does.

    Raises:
        MissingError: the package ftfy is missing.
    """
    try:
        import ftfy  # noqa: F401
    except ImportError as error:
        raise MissingError(
            "the package ftfy is missing",
            why="CLIP's tokenizer repairs texts with it, curly quotes for example",
            fix=install_extra("imagebind"),
            package="ftfy",
        ) from error


def _clean(text: str) -> str:
    # What ftfy leaves alone, and most captions are, need not pay for it.
    if not _PLAIN.fullmatch(text):
        require_ftfy()
        from ftfy import fix_text

        # Unescaped twice, as in OpenAI's code.
        text = html.unescape(html.unescape(fix_text(text)))
    return _SPACE.sub(" ", text).strip().lower()


@lru_cache(maxsize=1)
def _words() -> re.Pattern[str]:
    r"""Return what splits a lower-case text: contractions, letters, single digits, all else.

    The original names Unicode's categories (letter, number), which ``re`` lacks: ``\d`` has
    the decimal numbers, so that the others are listed. The long list is looked up only
    where it can matter, for speed.
    """
    numbers = "".join(
        c
        for c in map(chr, range(sys.maxunicode + 1))
        if c.isnumeric() and not c.isdecimal() and unicodedata.category(c) in ("Nl", "No")
    )
    s = "[s\u017f]"  # the long s too: the original ignores case, and that is how it folds
    return re.compile(
        rf"<\|{s}tartoftext\|>|<\|endoftext\|>|'(?:{s}|t|re|ve|m|ll|d)"
        rf"|(?:[a-z]+|[^\W\d_](?<![{numbers}]))+|\d|(?=[^\x00-\x7f])[{numbers}]|(?:[^\w\s]|_)+"
    )


@dataclass(frozen=True, slots=True)
class _Vocabulary:
    """What was learnt.

    Attributes:
        letters: byte to its symbol.
        ids: symbol to token id.
        ranks: pair of symbols to its rank; lower merges first.
    """

    letters: tuple[str, ...]
    ids: dict[str, int]
    ranks: dict[tuple[str, str], int]


@lru_cache(maxsize=1)
def _vocabulary() -> _Vocabulary:
    # Bytes that print stand for themselves; the others follow, as characters from 256 up.
    printing = [b for b in range(256) if 33 <= b <= 126 or (161 <= b <= 255 and b != 173)]
    unprintable = [b for b in range(256) if b not in printing]
    letters = {b: chr(b) for b in printing} | {b: chr(256 + i) for i, b in enumerate(unprintable)}
    lines = gzip.decompress(_MERGES.read_bytes()).decode("utf-8").splitlines()
    merges = [(first, second) for first, second in (line.split(" ") for line in lines)]
    # A symbol's place in this list is its token id: the order is OpenAI's.
    symbols = [letters[b] for b in (*printing, *unprintable)]
    symbols += [symbol + "</w>" for symbol in symbols]
    symbols += [first + second for first, second in merges]
    return _Vocabulary(
        letters=tuple(letters[b] for b in range(256)),
        ids={symbol: i for i, symbol in enumerate(symbols)},
        ranks={pair: i for i, pair in enumerate(merges)},
    )


@lru_cache(maxsize=1 << 16)
def _encode(word: str) -> tuple[int, ...]:
    """Merge the bytes of one word, lowest rank first, every occurrence at once."""
    if word in ("<|startoftext|>", "<|endoftext|>"):
        return (START if word == "<|startoftext|>" else END,)
    learnt = _vocabulary()
    symbols = [learnt.letters[byte] for byte in word.encode("utf-8")[:_WORD_BYTES]]
    symbols[-1] += "</w>"
    while len(symbols) > 1:
        pairs = itertools.pairwise(symbols)
        best = min(pairs, key=lambda pair: learnt.ranks.get(pair, math.inf))
        if best not in learnt.ranks:
            break
        merged, i = [], 0
        while i < len(symbols):
            if i + 1 < len(symbols) and (symbols[i], symbols[i + 1]) == best:
                merged.append(symbols[i] + symbols[i + 1])
                i += 2
            else:
                merged.append(symbols[i])
                i += 1
        symbols = merged
    return tuple(learnt.ids[symbol] for symbol in symbols)
