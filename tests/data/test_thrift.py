"""Thrift's compact protocol: damaged structs take no more time or memory than their length."""

import io
import tracemalloc

import pytest

from reactions.data.thrift import MAX_DEPTH, Compact, CutShort, read_struct


def test_a_struct_is_read_and_measured():
    data = b"\x15\x02\x11\x28\x02ab\x39\x21\x01\x02\x00rest"
    fields, n_bytes = read_struct(io.BytesIO(b"--" + data), 2, 2 + len(data))
    assert fields == {1: 1, 2: True, 4: b"ab", 7: [True, False]}
    assert data[n_bytes:] == b"rest"


def test_a_long_struct_is_read_in_larger_pieces():
    text = b"x" * 100_000
    data = b"\x18\xa0\x8d\x06" + text + b"\x00"
    assert read_struct(io.BytesIO(data), 0, len(data)) == ({1: text}, len(data))
    with pytest.raises(CutShort):
        read_struct(io.BytesIO(data[:-1]), 0, len(data) - 1)


def test_entries_of_maps_take_bytes():
    """A list of maps that each claim as many truth values as the data have bytes."""
    n = 2000
    map_bytes = b"\xd0\x0f\x11"  # a map of 2,000 entries of two truth values, which do not follow
    data = b"\x19\xfb\xd0\x0f" + map_bytes * n
    tracemalloc.start()
    with pytest.raises(ValueError, match="metadata"):
        Compact(data).struct()
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


@pytest.mark.parametrize(
    "data", [b"\x1c" * (MAX_DEPTH + 2), b"\x19" * 1000, b"\x15" + b"\xff" * 20]
)
def test_damaged_structs_are_refused(data):
    with pytest.raises(ValueError, match="metadata"):
        Compact(data).struct()
