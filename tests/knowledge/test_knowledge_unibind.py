"""Importing UniBind's released JSON."""

import json

import pytest

from reactions.core.errors import DataError, MissingError
from reactions.knowledge.base import Description
from reactions.knowledge.imports.unibind import read_unibind, unibind_files

TRAIN = [
    {"data": "1.png", "label": "dog", "description": "a dog"},
    {"data": "2.png", "label": "water snake", "description": ["a snake", "water"]},
]
BARE = [{"data": "3.png", "label": "cat"}]


def put(folder, name, entries):
    folder.mkdir(parents=True, exist_ok=True)
    text = entries if isinstance(entries, str) else json.dumps(entries)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


@pytest.fixture
def pets(tmp_path):
    put(tmp_path / "datasets" / "pets", "train_data.json", TRAIN)
    put(tmp_path / "datasets" / "pets", "test_data.json", BARE)
    return tmp_path / "datasets" / "pets"


def test_a_data_set(pets):
    files = unibind_files([pets])
    assert [file.name for file in files] == ["train_data.json", "test_data.json"]
    imported = read_unibind(files, "event", model="BLIP-2", prompt="p")
    assert imported.rows == (
        Description("1.png", "dog", "a dog", "MLLM", "event", "BLIP-2", "p"),
        Description("2.png", "water snake", "a snake", "MLLM", "event", "BLIP-2", "p"),
        Description("2.png", "water snake", "water", "MLLM", "event", "BLIP-2", "p"),
    )
    assert imported.remarks == (
        "'test_data.json': entries without a description, which give no rows: 1",
        "labels without a described item: 1, such as 'cat'",
    )


def test_files_by_name(pets):
    train = pets / "train_data.json"
    assert unibind_files([train, train, pets]) == [train, pets / "test_data.json"]
    assert len(read_unibind([train], "image").rows) == 3


def test_a_folder_of_data_sets(pets):
    with pytest.raises(MissingError, match=r"holds none of train_data\.json.*\n  fix: .*: pets"):
        unibind_files([pets.parent])
    (pets.parent / "empty").mkdir()
    with pytest.raises(MissingError, match="such as datasets/caltech101"):
        unibind_files([pets.parent / "empty"])
    with pytest.raises(MissingError, match="there is nothing at"):
        unibind_files([pets / "other"])


def test_files_without_descriptions(pets):
    with pytest.raises(DataError, match="eval and test files name items and labels alone"):
        read_unibind([pets / "test_data.json"], "image")


def test_blank_descriptions_are_counted(tmp_path):
    entries = [*TRAIN, {"data": "3.png", "label": "cat", "description": " "}]
    imported = read_unibind([put(tmp_path, "a.json", entries)], "image")
    assert imported.dropped == {"blank": 1}
    assert len(imported.rows) == 3


def test_an_item_with_two_labels(tmp_path):
    entries = [*TRAIN, {"data": "1.png", "label": "cat", "description": "x"}]
    with pytest.raises(DataError, match=r"'1\.png' is 'dog' and 'cat'"):
        read_unibind([put(tmp_path, "a.json", entries)], "image")


def test_a_few_bad_entries_are_counted(tmp_path):
    entries = [{"data": str(i), "label": "dog", "description": "x"} for i in range(200)]
    entries.append({"data": "x", "label": 3, "description": "x"})
    imported = read_unibind([put(tmp_path, "a.json", entries)], "image")
    assert imported.dropped == {"unusable": 1}
    assert "entry 201: 'label' is not a text" in imported.remarks[0]


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"label": "dog"}, "'data' is missing"),
        ({"data": "1", "label": " "}, "'label' is not a text"),
        ({"data": "1", "label": "dog", "description": 3}, "'description' is not a text"),
        ({"data": "1", "label": "dog", "description": ["a", 3]}, "'description' is not a text"),
    ],
)
def test_bad_entries(tmp_path, entry, words):
    with pytest.raises(DataError, match=f"1 of 1 entries .*\n  why: 'a.json' entry 1: {words}"):
        read_unibind([put(tmp_path, "a.json", [entry])], "image")
