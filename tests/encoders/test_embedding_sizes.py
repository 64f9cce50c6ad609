"""Numbered parts, numbers of any width, and sizes held to before anything is allocated."""

import io
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from embedding_folder import load, resolve
from media_files import put, put_tar

from reactions.core.errors import DataError
from reactions.core.types import Item
from reactions.encoders.precomputed import corpora, tables
from reactions.encoders.precomputed.folder import unread_files
from reactions.encoders.precomputed.ids import possible_ids

X = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)


def npy(x: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


def embed(folder: Path, ids: list[str], modality: str = "text") -> np.ndarray:
    encoder = load(resolve(folder))
    return encoder.embed(modality, [Item(id, modality, None) for id in ids])


def unit(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


# --- widths and orders of bytes ---


@pytest.mark.parametrize("dtype", ["<f2", ">f2", ">f4", ">f8", "<f8"])
def test_halves_are_normalised_in_single_precision(dtype: str, tmp_path: Path) -> None:
    x = X.astype(dtype)
    put(tmp_path / "text.npy", npy(x))
    put_tar(tmp_path / "image.tar", {f"{i}.npy": npy(x[i]) for i in range(len(x))})
    ids = [str(i) for i in range(len(x))]
    for modality in ("text", "image"):
        actual = embed(tmp_path, ids, modality)
        assert actual.dtype == np.float32
        # float32 division and norm: a few units in the last place of values below 1.
        np.testing.assert_allclose(actual, unit(x), atol=3e-7)


def test_joined_doubles_stay_doubles(tmp_path: Path) -> None:
    put(tmp_path / "text_0.npy", npy(X[:5].astype(float) * 1e200))
    put(tmp_path / "text_1.npy", npy(X[5:]))
    np.testing.assert_allclose(embed(tmp_path, ["7", "0", "5"]), unit(X[[7, 0, 5]]), atol=3e-7)


# --- numbered parts ---


@pytest.mark.parametrize("name", ["text_{}", "text-{:05d}", "text.{:02d}", "text-{:03d}-of-012"])
def test_numbered_files_are_parts_of_one_table(name: str, tmp_path: Path) -> None:
    for i in range(12):
        put(tmp_path / f"{name.format(i)}.npy", npy(X[i : i + 1]))
    assert resolve(tmp_path).modalities == ("text",)
    np.testing.assert_allclose(embed(tmp_path, ["10", "9", "0"]), unit(X[[10, 9, 0]]), atol=3e-7)


def test_parts_bring_their_ids(tmp_path: Path) -> None:
    for i in range(2):
        table = pa.table({"embedding": list(X[2 * i : 2 * i + 2]), "key": [f"{i}a", f"{i}b"]})
        pq.write_table(table, tmp_path / f"text_{i}.parquet")
    np.testing.assert_allclose(embed(tmp_path, ["1b", "0a"]), unit(X[[3, 0]]), atol=3e-7)
    pq.write_table(pa.table({"embedding": list(X[4:6])}), tmp_path / "text_2.parquet")
    with pytest.raises(DataError, match=r"no ids in 'text_2\.parquet'"):
        embed(tmp_path, ["1b"])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["text_0.npy", "text_00.npy"], "have the number 0"),
        (["text_0.npy", "text_2.npy"], "they have the numbers 0, 2"),
        (["text_3.npy"], "they have the numbers 3"),
        (["text_0-of-3.npy", "text_1-of-3.npy"], "there are 2 of 3"),
        (["text.npy", "text_0.npy"], "two files of text"),
        (["text_0.npy", "text_1.safetensors"], ""),
        (["img_emb/img_emb_0.npy", "img_emb/img_emb_00.npy"], "have the number 0"),
        (["img_emb/img_emb_1.npy", "img_emb/img_emb_3.npy"], "they have the numbers 1, 3"),
    ],
)
def test_parts_that_replace_or_lack_one_another_are_refused(
    names: list[str], words: str, tmp_path: Path
) -> None:
    for name in names:
        put(tmp_path / name, npy(X))
    with pytest.raises(DataError) as caught:
        resolve(tmp_path)
    assert words in str(caught.value)
    assert caught.value.fix


def test_names_with_and_without_the_usual_ending_are_one_modality(tmp_path: Path) -> None:
    for name in ("text_embeddings.npy", "img_emb.NPY"):
        put(tmp_path / name, npy(X))
    assert resolve(tmp_path).modalities == ("image", "text")


def test_what_is_not_read_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "text.npy", npy(X))
    assert unread_files(resolve(tmp_path)) == ""
    for name in ("audio.npz", "image/0.npy", "weights.pt", "README.md", ".hidden.npy"):
        put(tmp_path / name, b"x")
    note = unread_files(resolve(tmp_path))
    assert note.startswith("3 files in the folder of ")
    assert note.endswith("are not read: audio.npz, image/0.npy, weights.pt")


# --- sizes ---


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


HUGE = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s)}\n"


@pytest.mark.parametrize(
    "data",
    [
        header(HUGE % "1000000000, 4") + b"x" * 64,
        header(HUGE % "99999999999999999999, 9999999999"),
        header(HUGE % "-1, 4"),
        header(HUGE % "True, 4") + b"x" * 16,
        header(HUGE % "1.5, 4"),
        header("{'descr': '<f4'}\n"),
        header("[" * 60),
        header("{'descr': 'O', 'fortran_order': False, 'shape': (1, 4)}\n") + b"x" * 32,
        header("{'descr': '<V9', 'fortran_order': False, 'shape': (1, 4)}\n") + b"x" * 36,
        b"\x93NUMPY\x09\x00" + b"x" * 100,
        b"\x93NUM",
        npy(X) + b"more",
        npy(X) + npy(X),
    ],
)
def test_headers_are_held_against_the_file(data: bytes, tmp_path: Path) -> None:
    put(tmp_path / "text.npy", data)
    with pytest.raises(DataError) as caught:
        resolve(tmp_path)
    assert "text.npy" in str(caught.value)
    put(tmp_path / "text.npy", npy(X))
    put(tmp_path / "text.ids.npy", data)
    with pytest.raises(DataError):
        corpora.corpus(resolve(tmp_path), "text")
    (tmp_path / "text.ids.npy").unlink()
    put_tar(tmp_path / "image.tar", {"a.npy": data})
    with pytest.raises(DataError, match="no embedding for 'a'"):
        resolve(tmp_path)


def test_an_archive_is_named_as_such(tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.savez(stream, X)
    put(tmp_path / "text.npy", stream.getvalue())
    with pytest.raises(DataError, match="npz archive"):
        resolve(tmp_path)


def test_parquet_that_unpacks_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "text.parquet"
    n, d = 300, 70_000
    same = pa.array([1.0], pa.float32()).take(pa.array(np.zeros(n * d, np.int32)))
    column = pa.FixedSizeListArray.from_arrays(same, d)
    pq.write_table(pa.table({"embedding": column}), path, compression="zstd")
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="unpacks to too much") as caught:
        resolve(tmp_path)
    assert caught.value.fields["declared_bytes"] == n * d * 4


def test_ids_that_unpack_to_too_much(tmp_path: Path) -> None:
    path = tmp_path / "text.parquet"
    long = ["x" * 1_000_000] * 100
    table = pa.table({"embedding": [[1.0, float(i)] for i in range(100)], "id": long})
    pq.write_table(table, path, compression="zstd")
    del long
    with pytest.raises(DataError, match=r"unpacks to too much|repeats"):
        corpora.corpus(resolve(tmp_path), "text")
    packed_table = pa.table({"embedding": pa.array([[1.0]] * 200_000, pa.list_(pa.float32()))})
    pq.write_table(packed_table, path, compression="zstd")
    with pytest.raises(DataError, match="declares 200,000 rows"):
        resolve(tmp_path)


def test_rows_that_are_all_the_same_are_read_where_they_are_few(tmp_path: Path) -> None:
    same = pa.table({"embedding": [[1.0, 2.0]] * 5000})
    pq.write_table(same, tmp_path / "text.parquet", compression="zstd")
    assert embed(tmp_path, ["4999"]).shape == (1, 2)
    assert tables.FREE_BYTES >= 5000 * 16


_LIMITED = """
import resource, sys
from reactions.core.errors import MolspaceError
from reactions.encoders.precomputed.adapter import PrecomputedAdapter
from reactions.encoders.precomputed.corpora import corpus
import pyarrow, pyarrow.parquet, pyarrow.compute, safetensors, numpy
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for folder in sys.argv[1:]:
    try:
        spec = PrecomputedAdapter().resolve(folder)
        corpus(spec, "text")
        PrecomputedAdapter().load(spec)
    except MolspaceError as error:
        print(folder.rpartition("/")[2], "refused")
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_small_files_take_little_memory(tmp_path: Path) -> None:
    n = 1 << 24
    zeros = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array(["x" * 100]))
    (tmp_path / "ids").mkdir()
    vectors = pa.FixedSizeListArray.from_arrays(pa.nulls(n, pa.float32()), 1)
    table = pa.table({"embedding": vectors, "id": zeros})
    pq.write_table(table, tmp_path / "ids/text.parquet", row_group_size=n)
    del table, zeros, vectors
    put(tmp_path / "npy/text.npy", header(HUGE % f"{1 << 29}, 4") + b"x" * 64)
    put_tar(tmp_path / "tar/text.tar", {"a.npy": header(HUGE % f"{1 << 31},")})
    folders = [str(tmp_path / name) for name in ("ids", "npy", "tar")]
    process = subprocess.run(
        [sys.executable, "-c", _LIMITED, *folders], capture_output=True, text=True, timeout=120
    )
    assert process.returncode == 0, process.stderr
    *refused, grown_kb = process.stdout.split("\n")[:-1]
    assert refused == ["ids refused", "npy refused", "tar refused"]
    assert int(grown_kb) < 300_000


def test_a_sparse_text_of_ids_is_refused_before_it_is_hashed(tmp_path: Path) -> None:
    put(tmp_path / "text.npy", npy(X))
    with (tmp_path / "text.ids.txt").open("wb") as stream:
        stream.truncate(1 << 40)  # hashing it would take an hour
    with pytest.raises(DataError, match=r"text\.ids\.txt' is too large"):
        resolve(tmp_path)


def test_many_parts_are_looked_through_in_a_set(tmp_path: Path) -> None:
    class Counted(type(tmp_path)):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Counted.compared += 1
            return super().__eq__(other)

        __hash__ = type(tmp_path).__hash__

    paths = [tmp_path / f"text_{i}.npy" for i in range(100)]
    for path in paths:
        put(path, b"")
    assert possible_ids(Counted(tmp_path), "text", [Counted(path) for path in paths]) == []
    assert Counted.compared <= 2 * len(paths)
