"""Text of other people on a terminal: what would move a cursor or turn text around is spelled out.

Ids, labels, names of files and what a server says may hold escape sequences, which can rewrite what
a person has read, or bidirectional overrides, which show one name and mean another.
"""

from __future__ import annotations

import re

_CONTROLS = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and line feed, DEL, C1 (a short ESC [)
    "\u00ad\u061c\u200b\u200e\u200f"  # invisible, or marks of direction
    "\u2028-\u202e\u2060-\u206f"  # other line breaks, embeddings, overrides, isolates
    "\ud800-\udfff"  # lone surrogates, which no encoding holds
    "\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"  # tags
)
_TEXT = re.compile(f"[{_CONTROLS}]")
_CELL = re.compile(f"[{_CONTROLS}\t\n]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


def printable(text: str) -> str:
    r"""Return a text for people, with controls spelled out (``\x1b``, ``\u202e``); lines stay."""
    return _TEXT.sub(_spelled, text)


def printable_cell(text: str) -> str:
    r"""Return a text that is one cell of a table or one line: tabs and line breaks, too."""
    return _CELL.sub(_spelled, text)


def printable_json(text: str) -> str:
    r"""Return JSON with the same signs as escapes (``\u202e``): it means what it meant."""
    return _TEXT.sub(_escaped, text)


def _spelled(match: re.Match[str]) -> str:
    sign = match[0]
    code = ord(sign)
    if sign in _SHORT:
        return _SHORT[sign]
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    # JSON's escapes have 16 bits: beyond them, a pair of surrogates.
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
