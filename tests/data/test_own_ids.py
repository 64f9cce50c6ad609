"""Ids that came with an item, and those that are only its position."""

import json
from pathlib import Path

import pytest
from media_files import image_bytes, put

from reactions.data.corpora import IdCorpus, TextCorpus
from reactions.data.manifest import read_items
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus


def own_ids(corpus) -> dict[str, bool]:
    return {item.id: item.own_id for item in corpus.items(0, len(corpus))}


def opened(modality: str, cache: Path, **options):
    return open_corpus("c", modality, [Source(**options)], tables=TableCache(cache))


def test_positions_in_memory_are_not_ids():
    assert own_ids(TextCorpus("t", ["a", "b"])) == {"0": False, "1": False}
    assert own_ids(TextCorpus("t", ["a", "b"], ["0", "1"])) == {"0": True, "1": True}
    assert own_ids(IdCorpus("t", "text", ["0"])) == {"0": True}


@pytest.mark.parametrize(
    ("line", "is_own"),
    [
        ("rain", False),
        ('{"text": "rain"}', False),
        ('{"id": "1", "text": "rain"}', True),
        ('{"id": 1, "text": null}', True),
    ],
)
def test_lines(line, is_own, tmp_path):
    (item,) = read_items([line], base=tmp_path)
    assert (item.id, item.own_id) == ("1", is_own)


def test_files_that_are_looked_up_by_id_need_not_be_there(tmp_path):
    lines = [json.dumps({"id": "a", "image": "gone.png", "digest": "0" * 64})]
    (item,) = read_items(lines, base=tmp_path, by_id=["image"])
    assert (item.id, item.value, item.own_id) == ("a", tmp_path / "gone.png", True)
    for by_id, line in ((["text"], lines[0]), (["image"], '{"image": "gone.png"}')):
        (problem,) = read_items([line], base=tmp_path, by_id=by_id)
        assert "no such file" in problem.message


def test_tables_and_lines_of_captions(tmp_path):
    cache = tmp_path / "cache"
    path = put(tmp_path / "a.csv", "key,caption\n1,rain\n2,wind\n")
    for _ in range(2):  # scanned, and remembered
        numbered = opened("text", cache, paths=(str(path),))
        assert own_ids(numbered) == {"1": False, "2": False}
        assert own_ids(opened("text", cache, paths=(str(path),), id_column="key")) == dict.fromkeys(
            ("1", "2"), True
        )
    lines = put(tmp_path / "a.txt", "rain\nwind\n")
    assert own_ids(opened("text", cache, paths=(str(lines),))) == {"1": False, "2": False}


def test_manifests_and_folders(tmp_path):
    put(tmp_path / "pictures/a.png", image_bytes())
    cache = tmp_path / "cache"
    assert own_ids(opened("image", cache, paths=(str(tmp_path / "pictures"),))) == {"a.png": True}
    records = [
        {"id": "x", "image": "pictures/a.png"},
        {"image": "pictures/a.png"},
        {"id": "t", "text": "rain"},
        {"text": "wind"},
    ]
    manifest = put(tmp_path / "m.jsonl", "".join(f"{json.dumps(record)}\n" for record in records))
    for _ in range(2):
        assert own_ids(opened("image", cache, manifest=manifest)) == {"x": True, "2": False}
        assert own_ids(opened("text", cache, manifest=manifest)) == {"t": True, "4": False}
