import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.data import lines
from reactions.data.lines import split_lines
from reactions.errors import DataError


def split(data: bytes, max_bytes: int = 100) -> list[bytes | None]:
    return list(split_lines(io.BytesIO(data).readline, max_bytes, "it"))


@given(
    st.lists(st.sampled_from([b"a", b"bc", b"\r", b"\n", b"\r\n", b"x" * 11])).map(b"".join),
    st.integers(1, 12),
)
def test_lines_end_as_python_says(data, max_bytes):
    # bytes.splitlines knows LF, CR LF and CR, and reads all at once.
    want = [line if len(line) <= max_bytes else None for line in data.splitlines()]
    assert split(data, max_bytes) == want


def test_lines_come_as_soon_as_they_are_whole():
    stream = io.BytesIO(b"one\ntwo\n")
    found = split_lines(stream.readline, 100, "it")
    assert next(found) == b"one"
    assert stream.tell() == 4


def test_what_has_no_lines_is_given_up(monkeypatch):
    monkeypatch.setattr(lines, "MAX_SKIPPED_BYTES", 5000)
    endless = split_lines(lambda size: b"\0" * size, 100, "'/dev/zero'")
    with pytest.raises(DataError, match="cannot read '/dev/zero'\n  why: it has no line break"):
        next(endless)
