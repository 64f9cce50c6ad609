"""Folders of embeddings with damaged files, or files of something else."""

import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embedding_folder import DIM, FORMATS, embed, resolve, rows, write

from reactions.core.errors import DataError, DimensionMismatch


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf, -np.inf])
def test_zero_and_unfinite_embeddings(tmp_path: Path, suffix: str, bad: float) -> None:
    x = rows()
    x[5] = bad
    x[6, 1:] = bad
    path = write(tmp_path, "audio", x, suffix)
    assert embed(tmp_path, "audio", ["4", "0"]).shape == (2, DIM)
    with pytest.raises(DataError, match="unusable audio") as caught:
        embed(tmp_path, "audio", ["0", "5", "6"])
    assert caught.value.fields == {"path": str(path.resolve()), "modality": "audio", "row": 5}
    assert ("row 5 is zero" if bad == 0 else "row 5 is not finite") in str(caught.value)


@pytest.mark.parametrize("suffix", ["npy", "safetensors"])
@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros(3, np.float32), "shape is (3,)"),
        (np.zeros((2, 3, 4), np.float32), "shape is (2, 3, 4)"),
        (np.zeros((0, 3), np.float32), "no embeddings"),
        (np.zeros((3, 0), np.float32), "no embeddings"),
        (np.zeros((3, 2), np.int64), "elements are"),
    ],
)
def test_arrays_that_are_no_tables(tmp_path: Path, suffix: str, x: np.ndarray, words: str) -> None:
    write(tmp_path, "text", x, suffix)
    with pytest.raises(DataError) as caught:
        resolve(tmp_path)
    assert words in str(caught.value)
    assert f"text.{suffix}" in str(caught.value)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ({"embedding": pa.array([], pa.list_(pa.float32()))}, "no embeddings"),
        ({"embedding": [[1.0, 2.0], [1.0]]}, "row 1 is 1 wide, the first is 2 wide"),
        ({"embedding": [[1.0, 2.0], None]}, "row 1 is null"),
        ({"embedding": [None, [1.0]]}, "row 0 is null"),
        ({"embedding": [[], []]}, "no embeddings"),
        ({"embedding": [1.0, 2.0]}, "not a list"),
        ({"embedding": [[1, 2]]}, "elements are"),
        ({"embeddings": [[1.0]]}, "no column 'embedding'"),
    ],
)
def test_parquet_that_is_not_a_table_of_embeddings(
    tmp_path: Path, table: dict[str, object], words: str
) -> None:
    if "wide" in words or table == {"embedding": [[], []]}:
        table = {"embedding": pa.array(table["embedding"], pa.list_(pa.float32()))}
    pq.write_table(pa.table(table), tmp_path / "text.parquet")
    with pytest.raises(DataError) as caught:
        resolve(tmp_path)
    assert words in str(caught.value)
    assert caught.value.fix


def test_parquet_ragged_late_and_missing_values(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"embedding": [[1.0, 2.0]] * 5000 + [[1.0]]}), tmp_path / "text.parquet"
    )
    with pytest.raises(DimensionMismatch, match="row 5000 is 1 wide"):
        embed(tmp_path, "text", ["5000"])
    pq.write_table(pa.table({"embedding": [[1.0, 2.0], [1.0, None]]}), tmp_path / "text.parquet")
    with pytest.raises(DataError, match="row 1 is not finite"):
        embed(tmp_path, "text", ["0", "1"])


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("exploded"),))


def test_pickles_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "space"
    write(folder, "text", np.array([[1.0, 2.0], [1.0, Bomb()]], dtype=object))
    with pytest.raises(DataError, match="cannot read"):
        resolve(folder)
    (folder / "text.npy").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(DataError, match="cannot read"):
        resolve(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("keep", [0, 5, 90, -3])
def test_truncated_files(tmp_path: Path, suffix: str, keep: int) -> None:
    path = write(tmp_path, "text", rows(n=200), suffix)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError) as caught:
        resolve(tmp_path)
    assert str(path) in str(caught.value)
    assert caught.value.fix
