"""Lines of texts: every line break, encoding and length that files come with."""

import codecs
import io
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reactions.core import text_lines as module
from reactions.core.text_lines import decode_text, read_lines

_BREAKS = ("\n", "\r\n", "\r")
_MARKS = {
    "utf-8": codecs.BOM_UTF8,
    "utf-16-le": codecs.BOM_UTF16_LE,
    "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE,
    "utf-32-be": codecs.BOM_UTF32_BE,
}


def lines(data: bytes, **options: int) -> list[bytes]:
    numbered = list(read_lines(io.BytesIO(data), **options))
    assert [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
    return [line for _, line in numbered]


@pytest.mark.parametrize("end", _BREAKS)
def test_lines_end_at_the_three_usual_breaks(end: str) -> None:
    data = end.join(["rain", "", "wind"]).encode()
    assert lines(data) == lines(data + end.encode()) == [b"rain", b"", b"wind"]
    assert lines(data, keepends=True) == [b"rain" + end.encode(), end.encode(), b"wind"]


def test_nothing_else_ends_a_line() -> None:
    odd = "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g"
    assert lines(odd.encode()) == [odd.encode()]


@pytest.mark.parametrize("encoding", list(_MARKS))
def test_byte_order_marks_name_the_encoding_and_are_not_text(encoding: str) -> None:
    text = "Straße\r\n雨\rend"
    data = _MARKS[encoding] + text.encode(encoding)
    assert lines(data) == ["Straße".encode(), "雨".encode(), b"end"]
    assert decode_text(data) == text


def test_texts_without_a_mark_are_left_as_they_are() -> None:
    assert lines(b"caf\xe9\nrain") == [b"caf\xe9", b"rain"]
    with pytest.raises(UnicodeDecodeError):
        decode_text(b"caf\xe9")


def test_a_cut_utf16_file_is_an_error_and_a_lone_surrogate_a_bad_line() -> None:
    with pytest.raises(UnicodeDecodeError):
        lines(codecs.BOM_UTF16_LE + "rain\n".encode("utf-16-le") + b"x")
    data = codecs.BOM_UTF16_LE + b"\x00\xd8\n\x00" + "rain".encode("utf-16-le")
    first, second = lines(data)
    assert second == b"rain"
    with pytest.raises(UnicodeDecodeError):
        first.decode()


def test_long_lines_are_cut_and_the_next_one_is_whole() -> None:
    data = b"x" * 100_000 + b"\nrain\r" + b"y" * 11
    assert lines(data, max_bytes=10) == [b"x" * 11, b"rain", b"y" * 11]
    assert lines(data, max_bytes=10, keepends=True)[0] == b"x" * 11 + b"\n"
    assert lines(b"x" * 10, max_bytes=10) == [b"x" * 10]


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 5, 64])
@given(
    st.lists(st.text(st.sampled_from("ab\x0c\u2028é"), max_size=6), max_size=6),
    st.sampled_from(_BREAKS),
)
@example(["", "", "a"], "\r\n")
def test_pieces_change_nothing(piece_bytes: int, texts: list[str], end: str) -> None:
    data = "".join(text + end for text in texts).encode()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE_BYTES", piece_bytes)
        assert lines(data) == [text.encode() for text in texts]


def test_lines_of_a_pipe_come_at_once() -> None:
    class Pipe(io.RawIOBase):
        """Fails where more than one line is asked for before the first is used."""

        def __init__(self) -> None:
            self.sent = iter([b"rain\n", b"wind\n"])
            self.n_asked = 0

        def readline(self, size: int = -1) -> bytes:
            self.n_asked += 1
            return next(self.sent, b"")

    pipe = Pipe()
    assert list(itertools.islice(read_lines(pipe), 1)) == [(1, b"rain")]
    assert pipe.n_asked == 1
