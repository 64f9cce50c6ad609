"""Parquet files as input: media of their columns, and captions, by the ids of their rows."""

from pathlib import Path

import pytest
from media_files import image_bytes, sound_bytes
from parquet_media import put_media, struct

from reactions.core.errors import UsageError
from reactions.core.storage import find
from reactions.core.types import Item
from reactions.data.scan_cache import TableCache
from reactions.inference.inputs import read_inputs
from reactions.inference.parquet_items import ParquetItems
from reactions.inference.place_contents import PlaceContents

ALL = ("audio", "image", "text")


def items_of(path: Path, modalities=ALL, only=None) -> tuple[list, str]:
    (file,) = find(str(path))
    entries = ParquetItems(file, path.name, modalities, only, tables=TableCache())
    return list(entries), str(entries.contents)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    columns = {
        "key": ["p", "q", "r"],
        "image": [struct(image_bytes(0), "0.png"), struct(b"no picture", "1.png"), None],
        "caption": ["rain", "wind", "hail"],
        "score": [1, 2, 3],
    }
    return put_media(tmp_path / "x.parquet", columns)


def test_media_and_captions_by_the_ids_of_their_rows(table: Path) -> None:
    entries, summary = items_of(table)
    items = [entry for entry in entries if isinstance(entry, Item)]
    assert [(item.id, item.modality, item.own_id) for item in items] == [
        ("p", "image", True),
        ("p", "text", True),
        ("q", "text", True),
        ("r", "text", True),
    ]
    assert items[0].value.read() == image_bytes(0)
    assert len(entries) == 6  # and a problem for each row without a picture
    assert summary == (
        "x.parquet holds 1 image (column 'image'), 3 text (column 'caption'); "
        "ids of the column 'key'; left out: score"
    )
    (image,) = [e for e in items_of(table, ALL, "image")[0] if isinstance(e, Item)]
    assert image.modality == "image"
    contents: list[PlaceContents] = []
    list(read_inputs([str(table)], modalities=("text",), on_held=contents.append))
    assert "left out: image, score" in str(contents[0])
    assert contents[0].columns_left_out == ("image", "score")


def test_without_ids_rows_are_called_by_file_and_number(tmp_path: Path) -> None:
    path = put_media(tmp_path / "x.parquet", {"photo": [struct(image_bytes(0), "a.png")]})
    (item,), summary = items_of(path)
    assert (item.id, item.own_id, item.modality) == ("x.parquet:1", False, "image")
    assert "ids are numbers" in summary


@pytest.mark.parametrize(
    ("ids", "why"),
    [
        (["x", "x", "y", "x"], "2 rows repeat an id of the column 'id'"),
        ([1, 2, 3, 3], "1 row repeats an id of the column 'id'"),
        ([1.0, 2.0, 3.0, 4.0], "no value of the column 'id' is a text or a whole number"),
        ([b"a", b"b", b"c", b"d"], "no value of the column 'id' is a text or a whole number"),
    ],
)
def test_rows_are_numbered_where_ids_repeat_or_none_can_be_used(
    ids: list, why: str, tmp_path: Path
) -> None:
    pictures = [struct(image_bytes(row)) for row in (0, 0, 1, 2)]
    columns = {"id": ids, "image": pictures, "caption": ["rain", "hail", "wind", "snow"]}
    entries, summary = items_of(put_media(tmp_path / "x.parquet", columns))
    assert [(item.id, item.own_id) for item in entries] == [
        (f"x.parquet:{row}", False) for row in (1, 2, 3, 4)
    ] * 2
    assert f"; ids are numbers: {why}; left out: id" in summary


def test_rows_without_an_id_are_left_out_where_others_have_one(tmp_path: Path) -> None:
    columns = {"id": ["x", None], "image": [struct(image_bytes(row)) for row in range(2)]}
    (item, problem), _ = items_of(put_media(tmp_path / "x.parquet", columns))
    assert (item.id, item.own_id) == ("x", True)
    assert problem.message == "no id in 'id'"


def test_columns_are_told_by_what_declares_them_and_by_their_names(tmp_path: Path) -> None:
    columns = {"a": [struct(sound_bytes(0))], "image": [struct(image_bytes(0))]}
    path = put_media(tmp_path / "x.parquet", columns, {"a": {"_type": "Audio"}})
    assert [item.modality for item in items_of(path)[0]] == ["audio", "image"]
    plain = put_media(tmp_path / "y.parquet", {"data": [image_bytes(0)]})
    with pytest.raises(UsageError, match="holds nothing that the space embeds") as caught:
        items_of(plain)
    assert "--modality" in caught.value.fix
    assert [item.modality for item in items_of(plain, ALL, "image")[0]] == ["image"]


def test_two_columns_of_a_modality_are_not_guessed(tmp_path: Path) -> None:
    columns = {
        "left": [struct(image_bytes(0), "l.png")],
        "right": [struct(image_bytes(1), "r.png")],
    }
    path = put_media(tmp_path / "x.parquet", columns)
    with pytest.raises(UsageError, match="which column holds the image") as caught:
        items_of(path)
    assert caught.value.why == "'left' and 'right' may be meant"
