"""Lists of captions as Flickr8k and Flickr30k were published: ``NAME.jpg#0``, a tab, a caption."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

from reactions.core.text_lines import MAX_LINE_BYTES, read_lines
from reactions.data.delimited import TOO_LONG

COLUMNS: Final = ("file", "number", "caption")
_LINE: Final = re.compile(rb"([^\t#]+\.[A-Za-z0-9]{2,5}[^\t#]*)#(\d+)\t(.*)", re.DOTALL)


def lists_tokens(stream: BinaryIO) -> bool:
    """Return whether the first line of a seekable stream, which is left at its start, is of one."""
    start = stream.tell()
    first = stream.readline(MAX_LINE_BYTES)
    stream.seek(start)
    return _LINE.fullmatch(first.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n")) is not None


def read_tokens(stream: BinaryIO) -> Iterator[tuple[int, Sequence[str], str]]:
    """Yield (line number, values of ``COLUMNS``, why there are none); blank lines give nothing.

    Raises:
        OSError: as of the stream.
    """
    for number, line in read_lines(stream):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if len(line) > MAX_LINE_BYTES:
            yield number, (), TOO_LONG
        elif match is None:
            yield number, (), "it is not NAME#NUMBER, a tab and a caption"
        else:
            yield number, [part.decode("utf-8", "surrogateescape") for part in match.groups()], ""
