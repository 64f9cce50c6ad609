"""What parquet files declare, from footers and pages, against what Arrow says of good ones."""

import contextlib
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embedding_folder import resolve

from reactions.core.errors import DataError, MolspaceError
from reactions.data.parquet_sizes import declared_sizes
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.encoders.precomputed import corpora, tables

N, DIM = 5000, 3
TABLE = pa.table(
    {
        "embedding": list(np.random.default_rng(0).normal(size=(N, DIM)).astype(np.float32)),
        "id": [f"item {i}" for i in range(N)],
        "more": [{"a": i, "b": [str(i)]} for i in range(N)],
        "none": pa.nulls(N, pa.string()),
    }
)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_sizes_are_those_that_arrow_reads(version, compression, use_dictionary, tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(
        TABLE,
        path,
        compression=compression,
        use_dictionary=use_dictionary,
        data_page_version=version,
        row_group_size=1700,
        data_page_size=2000,
        store_schema=use_dictionary,
        write_page_index=use_dictionary,
    )
    metadata = pq.ParquetFile(path).metadata
    for column in TABLE.column_names:
        chunks = [
            metadata.row_group(g).column(c)
            for g in range(metadata.num_row_groups)
            for c in range(metadata.num_columns)
            if metadata.row_group(g).column(c).path_in_schema.split(".")[0] == column
        ]
        sizes = declared_sizes(path, column)
        assert sizes.n_rows == N
        assert sizes.values == sum(chunk.num_values for chunk in chunks)
        assert sizes.unpacked_bytes == sum(chunk.total_uncompressed_size for chunk in chunks)
    assert declared_sizes(path, "gone").values == 0


def test_files_without_rows_or_groups(tmp_path):
    path = tmp_path / "x.parquet"
    for table in (TABLE.slice(0, 0), pa.table({"embedding": pa.array([], pa.list_(pa.float32()))})):
        pq.write_table(table, path)
        assert declared_sizes(path, "embedding").n_rows == 0
    with pq.ParquetWriter(path, TABLE.schema):
        pass
    assert declared_sizes(path, "embedding").values == 0


def test_every_prefix_and_every_flipped_byte_of_a_footer(tmp_path):
    path = tmp_path / "text.parquet"
    stream = io.BytesIO()
    pq.write_table(TABLE.slice(0, 3).select(["embedding", "id"]), stream)
    good = stream.getvalue()
    for n in range(0, len(good), 7):
        path.write_bytes(good[:n])
        with pytest.raises(ValueError, match=r"."):
            declared_sizes(path, "embedding")
    first = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    for place in range(first, len(good) - 8):
        mutant = bytearray(good)
        mutant[place] ^= 0xFF
        path.write_bytes(mutant)
        with contextlib.suppress(ValueError):
            declared_sizes(path, "embedding")


def test_a_damaged_histogram_does_not_end_the_process(tmp_path: Path) -> None:
    # Found by mutation: Arrow's accessors of a column with too long a histogram abort.
    path = tmp_path / "text.parquet"
    pq.write_table(TABLE.slice(0, 4).select(["embedding", "id"]), path)
    good = path.read_bytes()
    # A list of three 64-bit counts of definition levels becomes one of four.
    for place in range(len(good)):
        if good[place : place + 2] == b"\x19\x46" or good[place : place + 1] == b"\x36":
            mutant = bytearray(good)
            mutant[place] += 0x10
            path.write_bytes(mutant)
            with contextlib.suppress(DataError):
                corpora.corpus(resolve(tmp_path), "text")


def test_footers_that_say_less_than_the_pages(tmp_path, monkeypatch):
    path = tmp_path / "text.parquet"
    table = TABLE.select(["embedding"])
    pq.write_table(table, path, use_dictionary=False, compression="none", data_page_size=1 << 20)
    data = path.read_bytes()
    footer = data.index(b"schema")
    # 15,000 and 8,192 as the format writes them, in as many bytes.
    fewer = data[footer:].replace(b"\xb0\xea\x01", b"\x80\x80\x01", 1)
    path.write_bytes(data[:footer] + fewer)
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).num_values == 8192
    assert declared_sizes(path, "embedding").values == N * DIM
    monkeypatch.setattr(tables, "FREE_BYTES", 4 * N * DIM - 1)
    monkeypatch.setattr(tables, "MAX_RATIO", 0)
    with pytest.raises(DataError, match="unpacks to too much"):
        resolve(tmp_path)


def test_captions_of_a_damaged_histogram_do_not_end_the_process(tmp_path: Path) -> None:
    path = tmp_path / "captions.parquet"
    lists = pa.array([[f"a {i}", f"b {i}"] for i in range(4)])
    pq.write_table(pa.table({"caption": lists, "id": list("abcd")}), path)
    good = path.read_bytes()
    sources = [Source(paths=(str(path),), columns=("caption",), id_column="id")]
    assert len(open_corpus("c", "text", sources, tables=TableCache())) == 8
    for place in range(len(good)):
        if good[place] in (0x19, 0x1C, 0x36, 0x46):
            mutant = bytearray(good)
            mutant[place] += 0x10
            path.write_bytes(mutant)
            with contextlib.suppress(MolspaceError):
                open_corpus("c", "text", sources, tables=TableCache())


def test_a_footer_of_many_structs_is_refused_before_it_is_parsed(tmp_path):
    # Field 4 of the footer: a list of structs without a field, a byte each.
    n = (16 << 20) + 1
    footer = b"\x19\xfc" + bytes([n & 127 | 128, n >> 7 & 127 | 128, n >> 14 & 127 | 128, n >> 21])
    footer += bytes(n) + b"\x00"
    path = tmp_path / "x.parquet"
    path.write_bytes(b"PAR1" + footer + len(footer).to_bytes(4, "little") + b"PAR1")
    with pytest.raises(ValueError, match="more than the 16,777,216"):
        declared_sizes(path, "embedding")
