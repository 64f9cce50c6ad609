"""What a parquet file's pages declare is held against limits, whatever its footer says."""

import io
import os
from pathlib import Path

import pyarrow as pa
import pytest
from media_files import put
from pyarrow import parquet

from reactions.core.errors import DataError
from reactions.data.parquet_sizes import page_sizes
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus


def chunk(data: bytes) -> tuple[int, int, int]:
    """Return where the first column's pages begin, and their bytes packed and unpacked."""
    column = parquet.read_metadata(io.BytesIO(data)).row_group(0).column(0)
    start = min(column.dictionary_page_offset or column.data_page_offset, column.data_page_offset)
    return start, column.total_compressed_size, column.total_uncompressed_size


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_pages_add_up_to_what_the_footer_says(
    version: str, compression: str, use_dictionary: bool
) -> None:
    texts = [f"caption {i} {'x' * (i % 500)}" for i in range(5000)]
    stream = io.BytesIO()
    parquet.write_table(
        pa.table({"caption": texts}),
        stream,
        compression=compression,
        use_dictionary=use_dictionary,
        data_page_version=version,
        data_page_size=1 << 14,
    )
    start, packed, unpacked = chunk(stream.getvalue())
    sizes = list(page_sizes(stream, start, packed))
    assert len(sizes) > 1
    heads = unpacked - sum(sizes)  # the footer counts the pages' headers, too
    assert 0 < heads < 2000 * len(sizes)


def varint(value: int) -> bytes:
    value = value << 1  # zigzag
    encoded = b""
    while value > 127:
        encoded += bytes([value & 127 | 128])
        value >>= 7
    return encoded + bytes([value])


def test_a_page_that_says_more_than_the_footer(tmp_path: Path) -> None:
    stream = io.BytesIO()
    # Its size takes five bytes, as the one that is written over it does.
    parquet.write_table(
        pa.table({"caption": ["x" * (1 << 27)]}),
        stream,
        compression="zstd",
        use_dictionary=False,
        write_statistics=False,
    )
    data = stream.getvalue()
    start, packed, _ = chunk(data)
    (size,) = page_sizes(io.BytesIO(data), start, packed)
    assert data.count(varint(size)) >= 1
    place = data.index(varint(size), start)
    fake = varint((1 << 31) - 1)
    assert len(fake) == len(varint(size))
    path = put(tmp_path / "a.parquet", data[:place] + fake + data[place + len(fake) :])
    with pytest.raises(DataError, match="stands for more than its size allows") as caught:
        open_corpus("x", "text", [Source(paths=(str(path),))], tables=TableCache())
    assert "2,147,483,647" in caught.value.why


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x15\x00\x15\x01\x15\x00\x00", b"\x1b" * 64])
def test_headers_that_are_none(data: bytes) -> None:
    with pytest.raises(ValueError, match="page"):
        list(page_sizes(io.BytesIO(data), 0, 64))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in the file system")
def test_pipes_and_devices_are_refused_before_they_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(DataError, match="cannot read") as caught:
        open_corpus("x", "text", [Source(paths=(str(tmp_path / "a.txt"),))], tables=TableCache())
    assert "not a regular file" in caught.value.why
