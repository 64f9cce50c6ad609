import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from embedding_folder import DIM, FORMATS, N, embed, load, resolve, rows, unit, write
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError, DimensionMismatch, MissingError
from reactions.core.file_digests import DigestCache
from reactions.core.types import Item
from reactions.encoders.precomputed import corpora, files


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_come_back_normalised_and_in_the_order_asked(tmp_path: Path, suffix: str) -> None:
    x = rows()
    ids = ["f", "e", "d", "c", "b", "a", "a b"]
    write(tmp_path, "audio", x, suffix, ids)
    actual = embed(tmp_path, "audio", ["a b", "f", "c", "c"])
    assert actual.dtype == np.float32
    # float32 division and norm: a few units in the last place of values below 1.
    np.testing.assert_allclose(actual, unit(x)[[6, 0, 3, 3]], atol=3e-7)


@pytest.mark.parametrize("suffix", FORMATS)
def test_without_ids_items_are_row_numbers(tmp_path: Path, suffix: str) -> None:
    x = rows()
    write(tmp_path, "text", x, suffix)
    np.testing.assert_allclose(embed(tmp_path, "text", ["6", "0"]), unit(x)[[6, 0]], atol=3e-7)
    assert embed(tmp_path, "text", []).shape == (0, DIM)
    corpus = corpora.corpus(resolve(tmp_path), "text")
    assert [item.id for item in corpus.items(0, N)] == [str(row) for row in range(N)]
    for bad in ("7", "-1", "01", "+1", "row", "\u00b2", "\u0663", "9" * 5000):
        with pytest.raises(DataError, match="items are 0 to 6"):
            embed(tmp_path, "text", ["0", bad])


def test_without_ids_a_row_number_does_not_name_other_contents(tmp_path: Path) -> None:
    write(tmp_path, "text", rows(), FORMATS[0])
    encoder = load(resolve(tmp_path))
    # Line 1 of some file, or prompt 1 of a task: not row 1 of this table.
    with pytest.raises(
        DataError, match="a number alone does not say which row is text '1'"
    ) as caught:
        encoder.embed("text", [Item("0", "text", None), Item("1", "text", "rain")])
    assert "text.ids.txt" in caught.value.fix
    (tmp_path / "text.ids.txt").write_text("\n".join("abcdefg"))
    encoder = load(resolve(tmp_path))
    assert encoder.embed("text", [Item("b", "text", "rain")]).shape == (1, DIM)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_npy_of_any_float_width(tmp_path: Path, dtype: object) -> None:
    x = rows().astype(dtype)
    write(tmp_path, "text", np.asfortranarray(x))
    np.testing.assert_allclose(embed(tmp_path, "text", ["5", "2"]), unit(x)[[5, 2]], atol=3e-7)


def test_safetensors_bfloat16_and_choice_of_tensor(tmp_path: Path) -> None:
    x = torch.from_numpy(rows()).bfloat16()
    other = torch.ones(3)
    path = tmp_path / "text.safetensors"
    safetensors.torch.save_file({"a": other, "text": x}, path)
    expected = unit(x.float().numpy())
    np.testing.assert_allclose(embed(tmp_path, "text", ["1", "4"]), expected[[1, 4]], atol=3e-7)
    safetensors.torch.save_file({"a": other, "b": x}, path)
    with pytest.raises(DataError, match="which tensor"):
        resolve(tmp_path)
    safetensors.torch.save_file({}, path)
    with pytest.raises(DataError, match="which tensor"):
        resolve(tmp_path)


@pytest.mark.parametrize(
    "kind",
    [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float16(), DIM)],
    ids=["list", "large", "fixed"],
)
def test_parquet_list_kinds(tmp_path: Path, kind: pa.DataType) -> None:
    x = rows().astype(np.float16)
    column = pa.array([list(row) for row in x], kind)
    pq.write_table(pa.table({"embedding": column}), tmp_path / "text.parquet")
    np.testing.assert_allclose(embed(tmp_path, "text", ["3", "1"]), unit(x)[[3, 1]], atol=3e-7)


@given(
    st.lists(st.lists(st.integers(0, 99), max_size=20), max_size=4),
    st.integers(1, 40),
    st.integers(1, 100),
)
def test_parquet_reads_any_rows_in_any_order(
    requests: list[list[int]], batch: int, group: int
) -> None:
    x = rows(n=100)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / "text.parquet"
        pq.write_table(pa.table({"embedding": list(x)}), path, row_group_size=group)
        patch.setattr(files._Parquet, "_BATCH_ROWS", batch)
        table = files.open_embeddings(path)
        for request in requests:
            np.testing.assert_array_equal(table.read(np.array(request, np.int64)), x[request])


def test_extreme_lengths_still_normalise(tmp_path: Path) -> None:
    for x in (rows() * np.float32(1e30), rows() * np.float32(1e-30), rows().astype(float) * 1e200):
        write(tmp_path, "text", x)
        norms = np.linalg.norm(embed(tmp_path, "text", ["0", "1"]), axis=1)
        np.testing.assert_allclose(norms, 1, atol=3e-7)


def test_resolve_describes_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "clap"
    write(folder, "text", rows(1), "safetensors")
    write(folder, "audio", rows(2), "npy", list("abcdefg"))
    (folder / "README.md").write_text("notes")
    (folder / ".hidden.npy").write_text("junk")
    spec = resolve(folder)
    assert (spec.name, spec.dim, spec.modalities) == ("clap", DIM, ("audio", "text"))
    assert (spec.adapter, spec.source, spec.hub) == ("precomputed", str(folder.resolve()), None)
    for uri in (f"precomputed:{folder}", f"file:{folder}", f"file://{folder}", str(folder)):
        assert resolve(uri) == spec
    write(folder, "image", rows(3), "parquet")
    assert resolve(folder).hub == "image"
    (folder / "audio.npy").unlink()
    assert resolve(folder).hub is None


def test_space_json(tmp_path: Path) -> None:
    write(tmp_path, "audio", rows())
    write(tmp_path, "text", rows())
    info = tmp_path / "space.json"
    info.write_text('{"name": "X", "revision": "r1", "licence": "MIT", "hub": "text"}')
    spec = resolve(tmp_path)
    assert (spec.name, spec.revision, spec.licence, spec.hub) == ("X", "r1", "MIT", "text")
    write(tmp_path, "image", rows())
    info.write_text('{"hub": null}')
    assert resolve(tmp_path).hub is None
    for bad, words in [
        ('{"license": "MIT"}', "did you mean 'licence'"),
        ('{"hub": "images"}', "did you mean 'image'"),
        ('{"name": 3}', "is not a string"),
        ("[]", "does not hold a JSON object"),
        ("{", "cannot read"),
    ]:
        info.write_text(bad)
        with pytest.raises(DataError) as caught:
            resolve(tmp_path)
        assert words in str(caught.value)


def test_weights_digest_follows_contents_and_ids_only(tmp_path: Path) -> None:
    write(tmp_path / "a", "text", rows(), ids=list("abcdefg"))
    spec = resolve(tmp_path / "a")
    write(tmp_path / "b", "text", rows(), ids=list("abcdefg"))
    (tmp_path / "b" / "space.json").write_text('{"name": "renamed"}')
    assert resolve(tmp_path / "b").weights_digest == spec.weights_digest
    (tmp_path / "b" / "text.ids.txt").write_text("\n".join("gfedcba"))
    assert resolve(tmp_path / "b").weights_digest != spec.weights_digest
    write(tmp_path / "a", "text", rows(1))
    assert resolve(tmp_path / "a").weights_digest != spec.weights_digest
    write(tmp_path / "c", "audio", rows(), ids=list("abcdefg"))
    (tmp_path / "c" / "audio.ids.txt").rename(tmp_path / "c" / "text.ids.txt")
    assert resolve(tmp_path / "c").weights_digest != spec.weights_digest


def test_digest_cache_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, "text", rows())
    os.utime(path, (1_600_000_000, 1_600_000_000))
    resolve(tmp_path, digest_cache=DigestCache(tmp_path / "cache"))
    assert str(path) in (tmp_path / "cache" / "file-digests.jsonl").read_text()


def test_different_widths_name_both(tmp_path: Path) -> None:
    write(tmp_path, "audio", rows(dim=4))
    write(tmp_path, "text", rows(dim=5))
    with pytest.raises(DimensionMismatch, match="audio has 4 dimensions, text has 5"):
        resolve(tmp_path)


def test_folders_that_are_no_space(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no embeddings in"):
        resolve(tmp_path)
    with pytest.raises(MissingError, match="no such folder"):
        resolve(tmp_path / "gone")
    file = write(tmp_path, "text", rows())
    with pytest.raises(MissingError, match="it is a file"):
        resolve(file)
    write(tmp_path, "text", rows(), "safetensors")
    with pytest.raises(DataError, match=r"text\.npy and text\.safetensors"):
        resolve(tmp_path)
    (tmp_path / "text.safetensors").unlink()
    np.save(tmp_path / "text.first.npy", np.arange(N))
    with pytest.raises(DataError, match="cannot tell the modality"):
        resolve(tmp_path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_unknown_ids_tell_how_many_and_which(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, "text", rows(), suffix, list("abcdefg"))
    with pytest.raises(DataError, match="for 2 of 3 items") as caught:
        embed(tmp_path, "text", ["a", "x", "0"])
    assert caught.value.fields["missing"] == ["x", "0"]
    assert caught.value.why == "first missing id: 'x'; ids that are there begin with 'a'"
    with pytest.raises(DataError, match="for 1 of 1 items") as caught:
        embed(tmp_path, "text", ["task/a"])
    assert caught.value.fix.startswith("'a' is there: by_id in the evaluation set")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("text.ids.txt", "a\nb\n", "has 2 for 7 text embeddings"),
        ("text.ids.txt", "a\nb\nc\nd\ne\nf\ng\n\n", "has 8 for 7"),
        ("text.ids.txt", "a\nb\n\nd\ne\nf\ng\n", "neither text nor"),
        ("text.ids.txt", "a\nb\na\nd\ne\nf\ng\n", "first 'a'"),
        ("text.ids.json", "{}", "no JSON list"),
        ("text.ids.json", "[", "no JSON list"),
        ("text.ids.json", "[1, 2, 3, 4, 5, 6, null]", "found None"),
        ("text.ids.json", "[1, 2, 3, 4, 5, 6, true]", "found True"),
    ],
)
def test_bad_ids(tmp_path: Path, name: str, text: str, words: str) -> None:
    write(tmp_path, "text", rows())
    (tmp_path / name).write_text(text)
    spec = resolve(tmp_path)
    with pytest.raises(DataError) as caught:
        corpora.corpus(spec, "text")
    assert words in str(caught.value)
    assert caught.value.fix or name.endswith("txt") or "found" in words


def test_ids_in_json_crlf_and_twice(tmp_path: Path) -> None:
    write(tmp_path, "text", rows(), "safetensors")
    (tmp_path / "text.ids.json").write_text('["a", "b c", 3, "d\\u2028", "e", "f", "g"]')
    spec = resolve(tmp_path)
    corpus = corpora.corpus(spec, "text")
    assert [item.id for item in corpus.items(0, 4)] == ["a", "b c", "3", "d\u2028"]
    (tmp_path / "text.ids.txt").write_bytes("\r\n".join("abcdef\u2028").encode() + b"\r\n")
    with pytest.raises(DataError, match="more than once"):
        corpora.corpus(spec, "text")
    (tmp_path / "text.ids.json").unlink()
    ids = [item.id for item in corpora.corpus(spec, "text").items(0, N)]
    assert ids == list("abcdef\u2028")


def test_a_folder_that_changed_after_planning(tmp_path: Path) -> None:
    write(tmp_path, "text", rows())
    spec = resolve(tmp_path)
    write(tmp_path, "text", rows(dim=5))
    with pytest.raises(DimensionMismatch, match="5 dimensions, 4 when planned"):
        corpora.corpus(spec, "text")
    # Of the same width they would pass unnoticed through projectors trained on others.
    write(tmp_path, "text", rows() + 1)
    with pytest.raises(DataError, match="changed"):
        load(spec)
    write(tmp_path, "text", rows())
    assert load(spec).embed("text", [Item("0", "text", None)]).shape == (1, DIM)
    with pytest.raises(DataError, match="no audio embeddings"):
        corpora.corpus(spec, "audio")


def test_common_corpus_takes_the_first_ones_ids(tmp_path: Path) -> None:
    write(tmp_path / "a", "text", rows(n=3), ids=["x", "y", "z"])
    write(tmp_path / "b", "text", rows(n=4), ids=["w", "z", "y", "x"])
    a, b = (resolve(tmp_path / name) for name in "ab")
    corpus = corpora.common_corpus([a, b, a], "text")
    assert [item.id for item in corpus.items(0, 9)] == ["x", "y", "z"]
    with pytest.raises(DataError, match="mismatched ids") as caught:
        corpora.common_corpus([b, a], "text")
    assert caught.value.fields["counts"] == [4, 3]
    assert caught.value.fields["missing"] == ["w"]
    assert "such as w" in str(caught.value)


def test_common_corpus_without_ids_needs_equal_counts(tmp_path: Path) -> None:
    for name, n in (("a", 3), ("b", 3), ("c", 4)):
        write(tmp_path / name, "text", rows(n=n))
    a, b, c = (resolve(tmp_path / name) for name in "abc")
    assert len(corpora.common_corpus([a, b], "text")) == 3
    for pair in ([a, c], [c, a]):
        with pytest.raises(DataError, match="mismatched ids"):
            corpora.common_corpus(pair, "text")
    write(tmp_path / "d", "text", rows(n=4), ids=["2", "1", "0", "3"])
    d = resolve(tmp_path / "d")
    assert len(corpora.common_corpus([a, d], "text")) == 3
    write(tmp_path / "e", "text", rows(n=3), ids=["x", "y", "z"])
    with pytest.raises(DataError, match="3 of the former are not in the latter"):
        corpora.common_corpus([a, resolve(tmp_path / "e")], "text")
