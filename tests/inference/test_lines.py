import io

import pytest

from reactions.core.errors import DataError
from reactions.inference import line_stream
from reactions.inference.line_stream import GuardedStream


class Endless(io.RawIOBase):
    def __init__(self, piece: bytes) -> None:
        self.piece = piece

    def readline(self, size=-1):
        return (self.piece * size)[:size]


def test_what_has_no_lines_is_given_up(monkeypatch):
    monkeypatch.setattr(line_stream, "MAX_SKIPPED_BYTES", 5000)
    stream = GuardedStream(Endless(b"\0"), "'/dev/zero'")
    assert len(stream.readline(5000)) == 5000
    with pytest.raises(DataError, match="cannot read '/dev/zero'\n  why: it has no line break"):
        stream.readline(1)


@pytest.mark.parametrize("piece", [b"abc\n", b"abc\r"])
def test_what_has_lines_may_go_on(monkeypatch, piece):
    monkeypatch.setattr(line_stream, "MAX_SKIPPED_BYTES", 100)
    stream = GuardedStream(Endless(piece), "it")
    for _ in range(100):
        assert stream.readline(8)


def test_failures_name_the_stream():
    class Broken(io.RawIOBase):
        def readline(self, size=-1):
            raise IsADirectoryError(21, "Is a directory")

    with pytest.raises(DataError, match="cannot read it\n  why: is a directory"):
        GuardedStream(Broken(), "it").readline(1)
