"""Fields of parquet files: read in any order, by several threads, a few row groups in memory."""

import io
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from parquet_media import put_media, struct

from reactions.core.errors import DataError, MissingError
from reactions.data import parquet_cells, parquet_rows
from reactions.data.parquet_cells import ParquetCell, forget_files

VALUES = [bytes([row % 251]) * (1 + 37 * row) for row in range(120)]


@pytest.fixture(autouse=True)
def _nothing_kept():
    forget_files()
    yield
    forget_files()


def cells(path: Path) -> list[ParquetCell]:
    return [
        ParquetCell(str(path), size_bytes=len(value), row=row, column="x")
        for row, value in enumerate(VALUES)
    ]


@pytest.mark.parametrize("options", [{}, {"use_dictionary": False, "compression": "zstd"}])
def test_any_order_by_several_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options
) -> None:
    monkeypatch.setattr(parquet_cells, "_HELD_BYTES", 1000)  # the rest lies in temporary files
    monkeypatch.setattr(parquet_rows, "_BATCH_BYTES", 5000)
    path = put_media(
        tmp_path / "a.parquet", {"x": [struct(v) for v in VALUES]}, row_group_size=10, **options
    )
    order = random.Random(0).sample(list(enumerate(cells(path))), len(VALUES))
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda entry: (entry[0], entry[1].read()), order))
    assert dict(values) == dict(enumerate(VALUES))
    assert len(parquet_cells._KEPT._groups) <= 4


def test_a_row_group_is_unpacked_once_and_no_further_than_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_media(tmp_path / "a.parquet", {"x": [struct(v) for v in VALUES]}, row_group_size=60)
    unpacked: list[int] = []
    real = parquet_cells._Group._add
    monkeypatch.setattr(
        parquet_cells._Group, "_add", lambda self: (unpacked.append(1), real(self))[1]
    )
    all_cells = cells(path)
    assert [cell.read() for cell in all_cells[:20]] == VALUES[:20]
    assert len(unpacked) == 20
    assert all_cells[5].read() == VALUES[5]
    assert all_cells[70].read() == VALUES[70]
    assert len(unpacked) == 31


def test_equal_values_of_a_dictionary_do_not_fill_the_memory(tmp_path: Path) -> None:
    # A megabyte that stands for 256: no more than the rows that are asked for is unpacked.
    value = bytes(range(256)) * 4096
    path = put_media(
        tmp_path / "a.parquet",
        {"x": [struct(value)] * 256},
        row_group_size=256,
        compression="none",
        dictionary_pagesize_limit=1 << 22,
    )
    assert path.stat().st_size < 2 << 20
    table = parquet_rows.ParquetTable(parquet_cells.find(str(path))[0], path.open("rb"))
    with table._stream:
        leaves = table._leaves(["x"])
        assert table._batch_rows(0, leaves, 4096) <= 256
    assert ParquetCell(str(path), row=3, column="x").read() == value


def test_what_is_not_there(tmp_path: Path) -> None:
    path = put_media(tmp_path / "a.parquet", {"x": [struct(b"1"), struct(None, "file")]})
    with pytest.raises(DataError, match=r"'.*:1' changed"):
        ParquetCell(str(path), size_bytes=2, column="x").read()
    with pytest.raises(DataError, match="cannot read media") as caught:
        ParquetCell(str(path), row=2, column="x").read()
    assert "row 3" in caught.value.why
    with pytest.raises(DataError, match="cannot read media"):
        ParquetCell(str(path), column="y").read()
    path.unlink()
    forget_files()
    with pytest.raises(MissingError):
        ParquetCell(str(path), column="x").read()


def test_a_row_group_is_not_read_as_a_whole(tmp_path: Path) -> None:
    values = [struct(random.Random(row).randbytes(1 << 18)) for row in range(64)]
    path = put_media(tmp_path / "a.parquet", {"x": values}, row_group_size=64, write_batch_size=1)
    (entry,) = parquet_cells.find(str(path))
    with _Counting(path) as stream, pytest.MonkeyPatch.context() as patch:
        patch.setattr(parquet_rows, "_BATCH_BYTES", 1 << 20)
        rows = parquet_rows.ParquetTable(entry, stream).rows(["x"])
        next(rows)
        assert stream.n_bytes < path.stat().st_size / 4
        rows.close()


class _Counting(io.FileIO):
    n_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = super().read(size)
        self.n_bytes += len(data)
        return data
