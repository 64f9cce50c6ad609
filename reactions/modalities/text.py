"""Texts: strings, written out in lines, columns and JSON, or members of tars."""

from __future__ import annotations

from typing import Any, BinaryIO

from reactions.core.text_lines import decode_text
from reactions.modalities.base import Modality

MAX_BYTES = 1 << 24
"""Texts in tars."""


def decode(stream: BinaryIO, path: str) -> str:
    """Decode a text in UTF-8, or in what its byte-order mark says, without blanks around it."""
    text = stream.read(MAX_BYTES + 1)
    if len(text) > MAX_BYTES:
        raise ValueError(f"it is longer than {MAX_BYTES} bytes")
    return decode_text(text).strip()


def why_unusable(value: Any) -> str:
    """Return why a value is not a text that can be embedded; "" if it is one."""
    try:
        if isinstance(value, str) and value.encode("utf-8") is not None:
            return ""
    except UnicodeEncodeError:  # lone surrogates, which no tokeniser can handle
        pass
    return "it needs a string of valid Unicode"


TEXT = Modality(
    name="text",
    letter="T",
    aliases=("texts",),
    inline=True,
    form="a str",
    decode=decode,
    why_unusable=why_unusable,
)
