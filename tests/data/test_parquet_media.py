"""Corpora of media in parquet files: which column, which rows, what is left out."""

import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest
from media_files import image_bytes, put, sound_bytes
from parquet_media import media_bytes, put_media, struct

from reactions.core.errors import DataError, UsageError
from reactions.core.types import Item
from reactions.data.corpora import ListCorpus
from reactions.data.scan_cache import TableCache
from reactions.data.sources import parquet_media as module
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import SourceCorpus, open_corpus
from reactions.modalities.audio import load_audio
from reactions.modalities.image import load_image
from reactions.modalities.registry import load


def opened(
    path: Path | str, modality: str = "image", cache: Path | None = None, **options: object
) -> SourceCorpus:
    source = Source(paths=(str(path),), **{"max_bad": 1.0, **options})
    return open_corpus("media", modality, [source], tables=TableCache(cache))


def bad(corpus: SourceCorpus) -> dict[str, str]:
    return {bad.place.rpartition(":")[2]: bad.why for bad in corpus.bad()}


PICTURES = [image_bytes(seed, "JPEG") for seed in range(7)]
SOUNDS = [sound_bytes(seed, "FLAC") for seed in range(7)]


@pytest.fixture
def shards(tmp_path: Path) -> str:
    for shard, rows in enumerate([range(4), range(4, 7)]):
        put_media(
            tmp_path / f"train-{shard}.parquet",
            {
                "photo": [struct(PICTURES[row], f"{row}.jpg") for row in rows],
                "clip": [struct(SOUNDS[row], None) for row in rows],
                "caption": [f"caption {row}" for row in rows],
                "key": [f"k{row}" for row in rows],
            },
            {"photo": {"_type": "Image"}, "clip": {"_type": "Audio", "decode": True}},
        )
    return str(tmp_path / "train-*.parquet")


def test_pictures_sounds_and_captions_of_rows(shards: str) -> None:
    pictures, sounds = opened(shards), opened(shards, "audio")
    texts = opened(shards, "text")
    assert pictures.ids() == sounds.ids() == texts.ids()
    assert pictures.ids()[:5] == [*(f"train-0/{row}" for row in (1, 2, 3, 4)), "train-1/1"]
    for row in (3, 0, 6, 5, 1):  # any order
        picture = load(pictures.items(row, row + 1)[0]).value
        np.testing.assert_array_equal(picture, load_image(PICTURES[row]))
        sound = load(sounds.items(row, row + 1)[0]).value
        np.testing.assert_array_equal(sound.samples, load_audio(SOUNDS[row]).samples)
    assert [item.value for item in texts.items(3, 5)] == ["caption 3", "caption 4"]
    assert not any(item.own_id for item in pictures.items(0, 7))
    assert pictures.size_bytes == sum(map(len, PICTURES))


def test_the_same_items_in_memory_are_the_same_corpus(shards: str) -> None:
    corpus = opened(shards, id_column="key")
    ids = [f"train-{int(row > 3)}/k{row}" for row in range(7)]
    items = [Item(id, "image", data) for id, data in zip(ids, PICTURES, strict=True)]
    assert corpus.digest == ListCorpus("other", "image", items).digest
    assert all(item.own_id for item in corpus.items(0, 7))


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    put(tmp_path / "beside.png", image_bytes(9))
    rows = [
        struct(PICTURES[0], "a.jpg"),
        None,
        struct(b"", "b.jpg"),
        struct(None, "beside.png"),
        struct(None, "gone.png"),
        struct(None, "https://example.org/x.png"),
        struct(None, None),
        struct(b"nonsense", None),
    ]
    path = put_media(tmp_path / "a.parquet", {"image": rows})
    corpus = opened(path, max_bad=0.75)
    assert corpus.ids() == ["1", "4"]
    first, second = corpus.items(0, 2)
    assert load(first).value.shape == (8, 12, 3)
    assert second.value == tmp_path / "beside.png"
    reasons = bad(corpus)
    assert list(reasons) == ["2", "3", "5", "6", "7", "8"]
    assert reasons["2"] == "the row has no image"
    assert reasons["3"] == "the image has 0 bytes"
    assert str(tmp_path / "gone.png") in reasons["5"]
    assert "is an address" in reasons["6"]
    assert "neither bytes nor a path" in reasons["7"]
    assert (corpus.skipped.n_bad, corpus.skipped.n_rows) == (6, 8)
    with pytest.raises(DataError, match="6 of 8 image items cannot be used"):
        opened(path, max_bad=0.5)


def test_a_file_that_is_not_beside_the_table_is_not_read(tmp_path: Path) -> None:
    put(tmp_path / "private" / "p.png", image_bytes(9))
    (tmp_path / "shared").mkdir()
    rows = [
        struct(PICTURES[0]),
        struct(None, str(tmp_path / "private" / "p.png")),
        struct(None, "../private/p.png"),
    ]
    corpus = opened(put_media(tmp_path / "shared" / "a.parquet", {"image": rows}), max_bad=0.75)
    assert corpus.ids() == ["1"]
    assert all("is not beside its table" in why for why in bad(corpus).values())


def test_the_column_is_told_by_type_and_name(tmp_path: Path) -> None:
    rows = [struct(data) for data in PICTURES[:2]]
    image = {"_type": "Image"}
    for name, columns, features in [
        ("declared", {"a": rows, "b": rows}, {"b": image}),
        ("called", {"img": rows, "b": rows}, {}),
        ("called of declared", {"image": rows, "b": rows}, {"image": image, "b": image}),
        ("only", {"thing": rows, "n": [1, 2]}, {}),
        ("bytes", {"image": PICTURES[:2], "n": [1, 2]}, {}),
    ]:
        corpus = opened(put_media(tmp_path / f"{name}.parquet", columns, features))
        assert len(corpus) == 2, name
        assert bool(corpus.reading) is (name == "only")


@pytest.mark.parametrize(
    ("columns", "features"),
    [
        ({"a": [struct(b"1")], "b": [struct(b"2")]}, {}),
        ({"a": [struct(b"1")]}, {"a": {"_type": "Audio"}}),
        ({"image": ["a.png"]}, {}),
        ({"n": [1]}, {}),
    ],
)
def test_where_it_is_not_clear_which_column_is_meant(tmp_path: Path, columns, features) -> None:
    path = put_media(tmp_path / "a.parquet", columns, features)
    with pytest.raises(DataError, match=r"which column of .* holds the image") as caught:
        opened(path)
    assert all(name in caught.value.why for name in columns)


def test_a_column_that_is_named(tmp_path: Path) -> None:
    put(tmp_path / "x.png", PICTURES[0])
    columns = {"a": [struct(PICTURES[0])], "file": ["x.png"], "n": [[1]], "url": ["http://x/y"]}
    path = put_media(tmp_path / "a.parquet", columns)
    assert opened(path, columns=("a",)).digest == opened(path, columns=(0,)).digest
    assert opened(path, columns=("file",)).items(0, 1)[0].value == tmp_path / "x.png"
    with pytest.raises(DataError, match="no column 'b'"):
        opened(path, columns=("b",))
    with pytest.raises(DataError, match=r"'n' of .* holds no media"):
        opened(path, columns=("n",))
    with pytest.raises(DataError, match="is empty"):
        opened(path, columns=("url",))
    with pytest.raises(UsageError, match="column says nothing about"):
        opened(tmp_path / "x.png", columns=("a",))


def test_ids_of_rows(tmp_path: Path) -> None:
    rows = [struct(data) for data in PICTURES[:3]]
    path = put_media(tmp_path / "a.parquet", {"image": rows, "id": ["2", None, "x"]})
    corpus = opened(path, id_column="id")
    assert corpus.ids() == ["2", "x"]
    assert bad(corpus) == {"2": "no id in 'id'"}
    repeated = put_media(tmp_path / "b.parquet", {"image": rows, "id": ["x", "y", "x"]})
    with pytest.raises(DataError, match="repeats 1 of its image ids"):
        opened(repeated, id_column="id")


def test_a_file_that_did_not_change_is_not_scanned_again(
    shards: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    before = opened(shards, cache=cache)
    key = before.digest
    names_scanned: list[str] = []
    real = module.ParquetTable
    monkeypatch.setattr(
        module,
        "ParquetTable",
        lambda file, *a: (names_scanned.append(file.name), real(file, *a))[1],
    )
    reopened = opened(shards, cache=cache)
    assert (reopened.digest, names_scanned) == (key, [])
    put_media(tmp_path / "train-1.parquet", {"photo": [struct(PICTURES[0])]}, row_group_size=1)
    changed = opened(shards, cache=cache)
    assert names_scanned == ["train-1.parquet"]
    assert changed.digest != key
    assert len(changed) == 5


def test_a_file_that_changed_since_is_not_taken_for_what_it_was(shards: str) -> None:
    corpus = opened(shards)
    (item,) = corpus.items(0, 1)
    Path(item.value.url).unlink()
    put_media(Path(item.value.url), {"photo": [struct(data) for data in PICTURES[1:6]]})
    with pytest.raises(DataError, match="changed"):
        item.value.read()


def test_a_corpus_pickles_by_the_paths_of_its_tables(tmp_path: Path) -> None:
    rows = [struct(b"%d" % row) for row in range(20_000)]
    path = put_media(tmp_path / "a.parquet", {"taste": rows}, row_group_size=5000)
    corpus = opened(path, "taste", tmp_path / "cache")
    data = pickle.dumps(corpus)
    assert len(data) < 4096
    unpickled = pickle.loads(data)
    assert unpickled.items(15_000, 15_001)[0].value.read() == b"15000"
    assert unpickled.digest == corpus.digest


def test_a_file_elsewhere() -> None:
    fs = fsspec.filesystem("memory")
    rows = [struct(PICTURES[0]), struct(None, "beside.png")]
    fs.pipe("/parquet_media/a.parquet", media_bytes({"image": rows}))
    corpus = opened("memory://parquet_media/a.parquet")
    (item,) = corpus.items(0, len(corpus))
    assert item.value.read() == PICTURES[0]
    assert "beside a table that lies elsewhere" in bad(corpus)["2"]
