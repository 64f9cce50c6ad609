"""How an index calls items, from whichever folder they are named."""

from pathlib import Path

import pytest
from indexed import add, target_at
from media_files import image_bytes

from reactions.core.types import Item
from reactions.search import item_names
from reactions.search.hits import IndexedItem


def test_a_file_is_called_the_same_from_every_folder(tmp_path, monkeypatch):
    target = target_at(tmp_path / "bundle")
    for folder in ("photos", "work", "far/away"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "photos/a.png").write_bytes(image_bytes(1))
    (tmp_path / "link").symlink_to("far/away")
    index = tmp_path / "index"

    def added(folder, path):
        monkeypatch.chdir(tmp_path / folder)
        return add(index, target, [Item(path, "image", Path(path), own_id=False)], tmp_path)

    assert added("photos", "a.png").added == {"image": 1}
    other_paths = [("work", "../photos/a.png"), (".", "photos/../photos/a.png")]
    other_paths += [("far/away", "../../photos/a.png"), (".", "link/../../photos/a.png")]
    for folder, path in other_paths:
        assert added(folder, path).kept == 1, path


def test_indexes_whose_paths_have_dots_are_gone_on_with(tmp_path, monkeypatch):
    target = target_at(tmp_path / "bundle")
    (tmp_path / "a.png").write_bytes(image_bytes(1))
    (tmp_path / "sub").mkdir()
    item = Item("x", "image", Path(f"{tmp_path}/sub/../a.png"), own_id=False)
    with monkeypatch.context() as before:
        before.setattr(item_names, "whole_path", Path.absolute)
        assert add(tmp_path / "index", target, [item], tmp_path).added == {"image": 1}
    assert add(tmp_path / "index", target, [item], tmp_path).kept == 1


@pytest.mark.parametrize(
    ("source", "gone"),
    [
        ("a.tar/dog.png", False),
        ("a.tar/sub/dog.png", False),
        ("a.parquet:12", False),
        ("b.tar/dog.png", True),
        ("b.parquet:12", True),
        ("folder/dog.png", True),
        ("a.tar", False),
    ],
)
def test_what_lies_in_a_file_is_gone_with_the_file(tmp_path, source, gone):
    (tmp_path / "folder").mkdir()
    for name in ("a.tar", "a.parquet"):
        (tmp_path / name).touch()
    assert IndexedItem("x", "image", str(tmp_path / source), "").is_gone == gone
