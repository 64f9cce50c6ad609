"""Tables as input: files that columns name, texts, and the ids of both."""

import json

import annotation_files
import pytest
from media_files import image_bytes, put
from parquet_media import put_media

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.core.types import Item
from reactions.inference.inputs import read_inputs
from reactions.inference.table_reading import TableReading

ALL = ("audio", "image", "text")


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate("abc"):
        put(tmp_path / "photos" / f"{name}.png", image_bytes(number))
    return tmp_path


def read(base, name, modalities=ALL, taken_as=None, by_id=(), **said):
    """Return the items of a table, what is wrong with its rows, and what is said of it."""
    contents = []
    entries = list(
        read_inputs(
            [name],
            modalities=modalities,
            base=base,
            taken_as=taken_as,
            by_id=by_id,
            reading=TableReading(**said),
            on_held=contents.append,
        )
    )
    items = [entry for entry in entries if isinstance(entry, Item)]
    wrong = [entry.message for entry in entries if not isinstance(entry, Item)]
    return items, wrong, contents


def ids(items, modality):
    return [item.id for item in items if item.modality == modality]


CSV = "path,title,split\nphotos/a.png,one,train\nphotos/b.png,two,test\nphotos/x.png,three,test\n"


def test_files_and_texts_of_a_row_have_one_id(folder):
    put(folder / "t.csv", CSV)
    items, wrong, (held,) = read(folder, "t.csv")
    assert ids(items, "image") == ["photos/a.png", "photos/b.png"]
    assert ids(items, "text") == ["photos/a.png", "photos/b.png", "photos/x.png"]
    assert items[0].value == folder / "photos" / "a.png"
    assert all(item.own_id and item.origin == str(folder / "t.csv") for item in items)
    assert wrong == [f"there is no file '{folder}/photos/x.png'"]
    assert str(held) == (
        "t.csv holds 2 image (column 'path'), 3 text (column 'title'); ids are names of files; "
        "left out: split"
    )
    assert held.to_json() == {
        "input": "t.csv",
        "kind": "table",
        "taken": {"image": 2, "text": 3},
        "left_out": {},
        "columns_left_out": ["split"],
    }


def test_what_is_said_of_columns(folder):
    put(folder / "t.tsv", "key\tfile\twords\tof\nk1\ta\tone\tx\nk2\tb\ttwo\ty\n")
    said = {"columns": ("image=photos/{file}.png", "text=words"), "id_column": "key"}
    items, wrong, _ = read(folder, "t.tsv", **said, where=("of=y", "of=x"))
    assert wrong == []
    assert ids(items, "image") == ids(items, "text") == ["k1", "k2"]
    items, _, (held,) = read(folder, "t.tsv", **said, where=("of=y",))
    assert ids(items, "image") == ["k2"]
    assert "1 of its 2 rows are left out: of = x (1)" in str(held)
    items, _, _ = read(folder, "t.tsv", columns=("image=file",), folder=str(folder / "photos"))
    assert ids(items, "image") == ["k1", "k2"]  # of the column that is called so
    assert ids(items, "text") == []


def test_rows_of_one_file_are_one_item_with_several_captions(folder):
    annotation_files.write_json(folder / "photos" / "captions.json", annotation_files.coco())
    items, wrong, (held,) = read(folder, "photos/captions.json")
    assert wrong == []
    assert ids(items, "image") == ["a.png", "b.png", "c.png"]
    assert ids(items, "text") == ["a.png/0", "a.png/1", "b.png", "c.png/0", "c.png/1"]
    assert "ids are names of files: some have several in the column 'id'" in str(held)
    assert "2 rows name a file of a row before" in str(held)
    assert "5 annotations of 3 images" in str(held)


def test_sets_that_are_known(folder):
    annotation_files.write_json(folder / "k.json", annotation_files.karpathy(folder="photos"))
    items, _, (held,) = read(folder, "k.json")
    assert len(items) == 8
    assert "the columns are those of a split of Karpathy's" in str(held)
    put(folder / "audio" / "test.csv", annotation_files.audiocaps())
    put(folder / "audio" / f"{'a' * 11}.wav", b"not opened here")
    items, wrong, _ = read(folder, "audio/test.csv")
    assert ids(items, "audio") == ["a" * 11]
    assert len(wrong) == 2  # files that are not there, each once


def test_texts_alone(folder):
    put(folder / "t.csv", "id,caption\nx,rain\ny,wind\n")
    items, _, (held,) = read(folder, "t.csv")
    assert ids(items, "text") == ["x", "y"]
    assert "ids of the column 'id'" in str(held)
    put(folder / "u.csv", "id,caption\nx,rain\nx,wind\n")
    items, _, (held,) = read(folder, "u.csv")
    assert ids(items, "text") == ["u.csv:1", "u.csv:2"]
    assert not any(item.own_id for item in items)
    assert "ids are numbers of rows: the column 'id' repeats 'x'" in str(held)


def test_an_id_of_two_files_is_refused_where_it_was_asked_for(folder):
    put(folder / "t.csv", "id,image\nx,photos/a.png\nx,photos/b.png\ny,photos/c.png\n")
    items, wrong, _ = read(folder, "t.csv", id_column="id")
    assert ids(items, "image") == ["x", "y"]
    assert wrong == ["its id is that of 'photos/a.png', which is another file"]
    assert ids(read(folder, "t.csv")[0], "image") == [f"photos/{name}.png" for name in "abc"]


def test_one_modality_is_taken(folder):
    put(folder / "t.csv", CSV)
    items, _, (held,) = read(folder, "t.csv", taken_as="image")
    assert {item.modality for item in items} == {"image"}
    assert "left out: title, split" in str(held)
    put(folder / "d.csv", "file\nphotos/a.png\n")
    items, _, _ = read(folder, "d.csv", modalities=("depth",), taken_as="depth")
    assert [item.modality for item in items] == ["depth"]


def test_records_in_lines(folder):
    lines = [{"file_name": "a.png", "caption": "one"}, {"file_name": "b.png", "caption": "two"}]
    put(folder / "photos" / "r.jsonl", "\n".join(map(json.dumps, lines)))
    items, _, _ = read(folder, "photos/r.jsonl")
    assert ids(items, "image") == ids(items, "text") == ["a.png", "b.png"]
    put(folder / "m.jsonl", '{"id": "rain", "image": "photos/a.png"}\n{"imag": "x"}\n')
    items, wrong, held = read(folder, "m.jsonl")
    assert (ids(items, "image"), len(wrong), held) == (["rain"], 1, [])  # lines of items, as ever


def test_parquet_that_names_files(folder):
    columns = {"file_name": ["a.png", "b.png"], "caption": ["one", "two"], "n": [1, 2]}
    put_media(folder / "photos" / "x.parquet", columns)
    items, _, (held,) = read(folder, "photos/x.parquet")
    assert ids(items, "image") == ["a.png", "b.png"]
    assert "left out: n" in str(held)


def test_lists_of_captions_when_it_is_said(folder):
    put(folder / "photos" / "x.token.txt", annotation_files.token_lines())
    items, _, _ = read(folder, "photos/x.token.txt", columns=("image=file", "text=caption"))
    assert (len(ids(items, "image")), len(ids(items, "text"))) == (3, 5)
    with pytest.raises(DataError, match="is a table, not lines of texts") as refused:
        read(folder, "photos/x.token.txt")
    assert "--columns MODALITY=COLUMN" in refused.value.fix


def test_files_that_need_not_be_there(folder):
    put(folder / "t.csv", "key,image\nk1,nowhere.png\nk2,\n")
    items, wrong, _ = read(folder, "t.csv", by_id=("image",), id_column="key")
    assert [(item.id, item.value) for item in items] == [("k1", None), ("k2", None)]
    assert wrong == []


@pytest.mark.parametrize(
    ("text", "said", "error", "message"),
    [
        ("a,b\n1,2\n", {}, UsageError, "its columns: a, b"),
        (CSV, {"columns": ("image=pth",)}, UsageError, "has no column 'pth'"),
        (CSV, {"columns": ("video=path",)}, UsageError, "video is not embedded"),
        (CSV, {"id_column": "ids"}, UsageError, "has no column 'ids'"),
        (CSV, {"folder": "/nowhere"}, MissingError, "there is no folder"),
        (CSV, {"where": ("split=tst",)}, DataError, "has split = tst"),
        ("", {}, DataError, "it is empty"),
    ],
)
def test_what_cannot_be_read_is_refused(folder, text, said, error, message):
    put(folder / "t.csv", text)
    with pytest.raises(error) as refused:
        read(folder, "t.csv", **said)
    assert message in str(refused.value)


def test_several_columns_of_what_is_asked_for(folder):
    put(folder / "t.csv", "image,img,photo\nphotos/a.png,x,y\n")
    assert ids(read(folder, "t.csv")[0], "image") == ["photos/a.png"]
    put(folder / "u.csv", "img,photo\nphotos/a.png,photos/b.png\n")
    with pytest.raises(UsageError, match=r"which column of 'u\.csv' holds the image"):
        read(folder, "u.csv", taken_as="image")


def test_what_datasets_saved(folder):
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_dict(
        {"image": [str(folder / "photos" / f"{name}.png") for name in "ab"], "caption": ["x", "y"]}
    ).cast_column("image", datasets.Image())
    rows.save_to_disk(str(folder / "saved"))
    items, wrong, (held,) = read(folder, "saved")
    assert (len(ids(items, "image")), len(ids(items, "text")), wrong) == (2, 2, [])
    assert held.kind == "parquet"
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(str(folder / "both"))
    with pytest.raises(UsageError, match="has several splits") as refused:
        read(folder, "both")
    assert refused.value.fix.endswith("/both/train")
    assert len(read(folder, "both/test")[0]) == 4
