"""Ids beside and inside tables of embeddings: the usual names are read, likely ones are refused."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from embedding_folder import load, resolve
from media_files import put

from reactions.core.errors import DataError
from reactions.core.types import Item
from reactions.encoders.precomputed import corpora
from reactions.encoders.precomputed import ids as embedding_ids
from reactions.encoders.precomputed.folder import unread_files

N = 5
NAMES = ["c", "a", "e", "b", "d"]
X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
UNIT = X / np.linalg.norm(X, axis=1, keepdims=True)


def ids(folder: Path, modality: str = "text") -> list[str]:
    corpus = corpora.corpus(resolve(folder), modality)
    return [item.id for item in corpus.items(0, len(corpus))]


def embed(folder: Path, names: list[str], modality: str = "text") -> np.ndarray:
    encoder = load(resolve(folder))
    return encoder.embed(modality, [Item(id, modality, None) for id in names])


def put_parquet(file: Path, **columns: object) -> None:
    pq.write_table(pa.table({"embedding": list(X), **columns}), file)


# --- columns and tensors ---


@pytest.mark.parametrize(
    "column",
    [
        *("id", "ids", "ID", "key", "keys", "__key__", "text_id", "image_id", "uuid"),
        *("image_path", "file_name", "path", "url", "__index_level_0__", "youtube_id"),
    ],
)
def test_columns_of_parquet_that_hold_ids(column: str, tmp_path: Path) -> None:
    put_parquet(tmp_path / "text.parquet", caption=["x"] * N, **{column: NAMES})
    assert ids(tmp_path) == NAMES
    np.testing.assert_allclose(embed(tmp_path, ["a", "d"]), UNIT[[1, 4]], atol=1e-6)


def test_the_surest_column_counts(tmp_path: Path) -> None:
    put_parquet(tmp_path / "image.parquet", text_id=["x"] * N, url=["y"] * N, image_id=NAMES)
    assert ids(tmp_path, "image") == NAMES
    put_parquet(tmp_path / "image.parquet", image_id=["x"] * N, key=["y"] * N, id=NAMES)
    assert ids(tmp_path, "image") == NAMES


@pytest.mark.parametrize("columns", [["name"], ["clip_id", "frame_id"], ["sha256"], ["my key"]])
def test_columns_that_may_hold_ids_are_refused(columns: list[str], tmp_path: Path) -> None:
    put_parquet(tmp_path / "text.parquet", **dict.fromkeys(columns, NAMES))
    with pytest.raises(DataError, match="cannot tell the ids in") as caught:
        ids(tmp_path)
    assert columns[0] in caught.value.why
    assert "'id'" in caught.value.fix


def test_a_named_index_of_pandas_is_ids(tmp_path: Path) -> None:
    table = pa.table({"embedding": list(X), "key": pa.array([10, 12, 11, 5, 7])})
    pq.write_table(table, tmp_path / "text.parquet")
    assert ids(tmp_path) == ["10", "12", "11", "5", "7"]


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
@pytest.mark.parametrize("name", ["ids", "id", "keys"])
def test_tensors_of_ids(dtype: type, name: str, tmp_path: Path) -> None:
    numbers = np.array([7, 3, 9, 1, 5], dtype)
    path = tmp_path / "text.safetensors"
    for embeddings in ("embeddings", "whatever"):
        safetensors.numpy.save_file({embeddings: X, name: numbers}, path)
        assert ids(tmp_path) == ["7", "3", "9", "1", "5"]
    safetensors.numpy.save_file({"embeddings": X, name: numbers[:, None]}, path)
    assert ids(tmp_path) == ["7", "3", "9", "1", "5"]
    np.testing.assert_allclose(embed(tmp_path, ["9"]), UNIT[[2]], atol=1e-6)


@pytest.mark.parametrize("tensor", [np.zeros(N, np.float32), np.zeros((N, 2), np.int64)])
def test_tensors_that_are_no_ids(tensor: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "text.safetensors"
    safetensors.numpy.save_file({"embeddings": X, "ids": tensor}, path)
    with pytest.raises(DataError, match="ids"):
        ids(tmp_path)
    safetensors.numpy.save_file(
        {"embeddings": X, "ids": np.arange(N)}, path, {"ids": json.dumps(NAMES)}
    )
    with pytest.raises(DataError, match="more than once"):
        ids(tmp_path)


# --- files ---


def write_npy(path: Path, values: object) -> None:
    np.save(path, values)


def write_parquet(path: Path, values: object) -> None:
    pq.write_table(pa.table({"id": values}), path)


def write_lines(path: Path, values: list[str]) -> None:
    path.write_text("\n".join(values) + "\n", encoding="utf-8")


def write_json(path: Path, values: list[str]) -> None:
    path.write_text(json.dumps(values), encoding="utf-8")


FILES = [
    ("text.ids.txt", write_lines),
    ("text.ids.TXT", write_lines),
    ("Text_IDs.txt", write_lines),
    ("text-keys.lst", write_lines),
    ("text.ids", write_lines),
    ("ids.txt", write_lines),
    ("keys.txt", write_lines),
    ("text.ids.json", write_json),
    ("ids.json", write_json),
    ("text_ids.npy", write_npy),
    ("text.ids.npy", write_npy),
    ("ids.npy", write_npy),
    ("ids.parquet", write_parquet),
]


@pytest.mark.parametrize(("name", "write"), FILES, ids=[name for name, _ in FILES])
def test_files_of_ids(name: str, write, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    write(tmp_path / name, NAMES)
    assert ids(tmp_path) == NAMES
    digest = resolve(tmp_path).weights_digest
    write(tmp_path / name, NAMES[::-1])
    assert resolve(tmp_path).weights_digest != digest
    write(tmp_path / name, NAMES[:2])
    with pytest.raises(DataError, match="has 2 for 5 text embeddings"):
        ids(tmp_path)


def test_ids_for_all_modalities_and_for_one(tmp_path: Path) -> None:
    for modality in ("text", "image", "audio"):
        np.save(tmp_path / f"{modality}.npy", X)
    write_lines(tmp_path / "ids.txt", NAMES)
    write_lines(tmp_path / "image.ids.txt", NAMES[::-1])
    assert ids(tmp_path, "text") == ids(tmp_path, "audio") == NAMES
    assert ids(tmp_path, "image") == NAMES[::-1]
    write_json(tmp_path / "ids.json", NAMES)
    with pytest.raises(DataError, match="more than once"):
        ids(tmp_path, "text")


@pytest.mark.parametrize("values", [np.array(NAMES), np.array(NAMES, "S"), np.array([NAMES]).T])
def test_arrays_of_ids(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    np.save(tmp_path / "text.ids.npy", values)
    assert ids(tmp_path) == NAMES


@pytest.mark.parametrize(
    "values",
    [np.array(NAMES, object), np.arange(N) / 2, np.zeros((2, 2), int), np.zeros(0, int)],
    ids=["pickle", "floats", "table", "empty"],
)
def test_arrays_that_are_no_ids(values: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    np.save(tmp_path / "text.ids.npy", values)
    with pytest.raises(DataError, match=r"text\.ids\.npy"):
        ids(tmp_path)


@pytest.mark.parametrize(
    "data",
    ["\ufeffc\na\ne\nb\nd\n", "c\r\na\r\ne\r\nb\r\nd", "c\ra\re\rb\rd\r"],
    ids=["byte-order mark", "CR LF", "CR"],
)
def test_line_breaks_and_marks_of_other_systems(data: str, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    (tmp_path / "text.ids.txt").write_bytes(data.encode())
    assert ids(tmp_path) == NAMES


def test_names_in_another_unicode_form(tmp_path: Path) -> None:
    names = ["Ångström", "é", "한글", "b", "d"]
    np.save(tmp_path / "text.npy", X)
    for stored, form_asked in (("NFC", "NFD"), ("NFD", "NFC")):
        write_lines(tmp_path / "text.ids.txt", [unicodedata.normalize(stored, n) for n in names])
        actual = embed(tmp_path, [unicodedata.normalize(form_asked, n) for n in names[::-1]])
        np.testing.assert_allclose(actual, UNIT[::-1], atol=1e-6)
    both = [unicodedata.normalize(form, "é") for form in ("NFC", "NFD")]
    write_lines(tmp_path / "text.ids.txt", [*both, "a", "b", "c"])
    np.testing.assert_allclose(embed(tmp_path, both[::-1]), UNIT[[1, 0]], atol=1e-6)


def test_spaces_pair_across_unicode_forms(tmp_path: Path) -> None:
    for name, form in (("a", "NFC"), ("b", "NFD")):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "text.npy", X[:1])
        write_lines(tmp_path / name / "text.ids.txt", [unicodedata.normalize(form, "é")])
    specs = [resolve(tmp_path / name) for name in "ab"]
    corpus = corpora.common_corpus(specs, "text")
    assert [item.id for item in corpus.items(0, 1)] == ["é"]
    assert corpus.notices == ()


@pytest.mark.parametrize(
    "name",
    [
        *("text.csv", "text.jsonl", "text_names.txt", "filenames.txt", "index.csv"),
        *("text.metadata.json", "items.json", "text.pkl", "metadata.jsonl"),
    ],
)
def test_files_that_may_hold_ids_are_refused(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    put(tmp_path / name, "c\na\n")
    spec = resolve(tmp_path)
    with pytest.raises(DataError, match="no ids that are read") as caught:
        corpora.corpus(spec, "text")
    assert name in caught.value.why
    assert "text.ids.txt" in caught.value.fix
    # What has its ids needs no other file.
    write_lines(tmp_path / "text.ids.txt", NAMES)
    assert ids(tmp_path) == NAMES


def test_other_files_are_no_ids(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    for name in ("README.md", "notes.txt", "config.json", "space.json", "LICENSE"):
        put(tmp_path / name, "{}")
    assert ids(tmp_path) == ["0", "1", "2", "3", "4"]


def test_large_files_of_ids_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "text.npy", X)
    write_lines(tmp_path / "text.ids.txt", NAMES)
    with monkeypatch.context() as patch:
        patch.setattr(embedding_ids, "MAX_IDS_BYTES", 3)
        with pytest.raises(DataError, match="too large"):
            ids(tmp_path)
    # A megabyte and a kilobyte a row, whatever it holds.
    put(tmp_path / "text.ids.txt", b"a" * (1 << 20) + b"b" * (6 << 10))
    with pytest.raises(DataError, match="too large"):
        ids(tmp_path)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("text.ids.json", "[" + "[]," * 200_000 + "[]]"),
        ("text.ids.json", "[" * 100_000 + "]" * 100_000),
        ("text.ids.json", '[{"a":' * 20_000),
        ("text.ids.json", "[" + "1," * 400_000 + "1]"),
        ("text.ids.txt", "\n" * 900_000),
    ],
)
def test_texts_of_far_more_ids_than_rows_are_not_taken_apart(
    name: str, data: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "text.npy", X)
    put(tmp_path / name, data)
    with pytest.raises(DataError) as caught:
        ids(tmp_path)
    assert name in str(caught.value)
    (tmp_path / name).unlink()
    (tmp_path / "text.npy").unlink()
    if name.endswith("json"):
        safetensors.numpy.save_file({"e": X}, tmp_path / "text.safetensors", {"ids": data})
        with pytest.raises(DataError, match="metadata"):
            ids(tmp_path)


def test_headers_of_very_many_tensors_are_refused(tmp_path: Path) -> None:
    tensors = {f"t{i}": np.zeros(0, np.float32) for i in range(1001)}
    safetensors.numpy.save_file({**tensors, "text": X}, tmp_path / "text.safetensors")
    with pytest.raises(DataError, match="1,002 tensors"):
        resolve(tmp_path)


# --- what may hold ids and is not read ---


@pytest.mark.parametrize(
    "column",
    [
        *("docid", "imdbId", "ytid", "sentids", "cocoid", "photoid", "rowid", "identifier"),
        *("basename", "fname", "__url__", "sku", "ImageFileName", "SHA256"),
    ],
)
def test_columns_named_in_other_styles_are_refused(column: str, tmp_path: Path) -> None:
    put_parquet(tmp_path / "text.parquet", **{column: NAMES})
    with pytest.raises(DataError, match="cannot tell the ids in") as caught:
        ids(tmp_path)
    assert column in caught.value.why


@pytest.mark.parametrize("column", ["Unnamed: 0", "level_0", "idx"])
def test_an_index_that_pandas_wrote_is_ids(column: str, tmp_path: Path) -> None:
    put_parquet(tmp_path / "text.parquet", caption=["x"] * N, **{column: [4, 2, 9, 1, 7]})
    assert ids(tmp_path) == ["4", "2", "9", "1", "7"]


@pytest.mark.parametrize("column", ["valid", "label", "caption", "grid", "paid"])
def test_other_columns_are_reported_where_there_are_no_ids(column: str, tmp_path: Path) -> None:
    put_parquet(tmp_path / "text.parquet", **{column: NAMES})
    note = unread_files(resolve(tmp_path))
    assert "have no ids; not read beside them in 'text.parquet': " + column in note
    put_parquet(tmp_path / "text.parquet", id=NAMES, **{column: NAMES})
    assert unread_files(resolve(tmp_path)) == ""


def test_other_tensors_are_reported_where_there_are_no_ids(tmp_path: Path) -> None:
    tensors = {"text": X, "image": X}
    safetensors.numpy.save_file(tensors, tmp_path / "text.safetensors")
    note = unread_files(resolve(tmp_path))
    assert note.endswith("not read beside them in 'text.safetensors': image")


def test_texts_in_parquet_without_a_logical_type_are_ids(tmp_path: Path) -> None:
    put_parquet(tmp_path / "text.parquet", id=[name.encode() for name in NAMES])
    assert ids(tmp_path) == NAMES
    put_parquet(tmp_path / "text.parquet", id=[b"\xff", *(name.encode() for name in NAMES[1:])])
    with pytest.raises(DataError, match="neither text nor") as caught:
        ids(tmp_path)
    assert caught.value.fix


@pytest.mark.parametrize("key", ["id", "IDS", "key", "text_id"])
def test_lists_in_metadata_are_ids_by_the_usual_names(key: str, tmp_path: Path) -> None:
    metadata = {key: json.dumps(NAMES), "model_name": "clip"}
    safetensors.numpy.save_file({"text": X}, tmp_path / "text.safetensors", metadata)
    assert ids(tmp_path) == NAMES


@pytest.mark.parametrize("key", ["names", "filenames"])
def test_lists_in_metadata_that_may_be_ids_are_refused(key: str, tmp_path: Path) -> None:
    metadata = {key: json.dumps(NAMES)}
    safetensors.numpy.save_file({"text": X}, tmp_path / "text.safetensors", metadata)
    with pytest.raises(DataError, match="cannot tell the ids in the metadata"):
        ids(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        *("ids.txt.gz", "text.ids.txt.gz", "ids.csv.gz", "ids.yaml", "ids.xlsx", "ids.db"),
        *("image_list.txt", "filelist.txt", "manifest.csv", "id2row.json", "sentids.json"),
        *("metadata/metadata_0.parquet", "ids/text.txt", "image.ids.txt"),
    ],
)
def test_packed_and_other_files_that_may_hold_ids_are_refused(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    put(tmp_path / name, b"c\na\ne\nb\nd\n")
    with pytest.raises(DataError, match="have no ids that are read") as caught:
        ids(tmp_path)
    assert Path(name).name in caught.value.why


def test_ids_of_parts_are_not_overlooked(tmp_path: Path) -> None:
    for i in range(2):
        np.save(tmp_path / f"text_{i}.npy", X)
        put(tmp_path / f"text_{i}.ids.txt", "".join(f"{i}{name}\n" for name in NAMES).encode())
    with pytest.raises(DataError, match="have no ids that are read"):
        ids(tmp_path)


@pytest.mark.parametrize("name", ["captions.txt", "sentences.json", "labels.txt"])
def test_lists_beside_rows_are_reported(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", X)
    put(tmp_path / name, b"x\n")
    assert name in unread_files(resolve(tmp_path))


@pytest.mark.parametrize("name", ["Text.npy", "texts.npy", "text-embeddings.npy", "TEXT_EMB.npy"])
def test_modalities_in_other_styles_of_names(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / name, X)
    assert resolve(tmp_path).modalities == ("text",)
