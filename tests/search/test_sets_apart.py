"""Ids repeat from set to set: what another file calls so is never replaced without a word."""

import json

import pytest
from indexed import add, target_at
from media_files import image_bytes, put, put_tar
from parquet_media import put_media

from reactions.core.errors import UsageError
from reactions.core.types import Item
from reactions.data.scan_cache import TableCache
from reactions.inference.inputs import read_inputs
from reactions.search import files
from reactions.search.item_names import of_corpus

MODALITIES = ("text", "image", "audio")


@pytest.fixture
def target(tmp_path):
    return target_at(tmp_path / "bundle")


@pytest.fixture
def index(tmp_path, target):
    """Add what files hold."""

    def add_files(*names, **options):
        items = read_inputs(
            names, modalities=MODALITIES, base=tmp_path, tables=TableCache(tmp_path / "tables")
        )
        return add(tmp_path / "index", target, items, tmp_path / "cache", **options)

    return add_files


def lines(*texts, modality="text"):
    return "".join(json.dumps({"id": str(i), modality: t}) + "\n" for i, t in enumerate(texts))


def captions(folder, name, text):
    """A file of one caption of id 0, of the kind that its name says."""
    path = folder / name
    if name.endswith(".tar"):
        put_tar(path, {"0.png": image_bytes(1), "0.txt": text})
    elif name.endswith(".parquet"):
        put_media(path, {"id": ["0"], "caption": [text]})
    else:
        put(path, lines(text))
    return name


KINDS = ("x.tar", "x.parquet", "x.jsonl")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_captions_of_other_files_are_refused_and_kept_apart_by_a_prefix(
    index, tmp_path, kind, other
):
    index(captions(tmp_path, f"a{kind}", "rain"))
    further_captions = captions(tmp_path, f"b{other}", "snow")
    with pytest.raises(UsageError, match="holds another text with the id '0' than") as caught:
        index(further_captions)
    assert f"/b{other}'" in caught.value.what
    assert f"/a{kind}', which the index has" in caught.value.what
    assert "--prefix NAME" in caught.value.fix
    result = index(further_captions, prefix="b")
    assert result.index.counts["text"] == 2
    assert (dict(result.replaced), result.notices) == ({}, [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changed_and_one_that_was_moved_take_their_own_place(index, tmp_path, kind):
    name = captions(tmp_path, kind, "rain")
    index(name)
    for text in ("snow", "hail"):
        if text == "hail":
            (tmp_path / name).unlink()
            name = f"moved-{kind}"
        result = index(captions(tmp_path, name, text))
        assert (dict(result.replaced), result.notices) == ({"text": 1}, [])
        assert [item.source for _, item in result.index.items("text")] == [text]


def test_pictures_that_lines_name(index, tmp_path):
    for name in ("x", "y"):
        put(tmp_path / f"{name}.png", image_bytes(ord(name)))
    put(tmp_path / "a.jsonl", lines("x.png", modality="image"))
    index("a.jsonl")
    put(tmp_path / "b.jsonl", lines("y.png", modality="image"))
    with pytest.raises(UsageError, match=r"b\.jsonl' holds another image with the id '0' than"):
        index("b.jsonl")
    put(tmp_path / "a.jsonl", lines("y.png", modality="image"))
    assert dict(index("a.jsonl").replaced) == {"image": 1}
    assert index("a.jsonl").index.items("image").__next__()[1].label == "y.png"


def test_indexes_from_before_are_gone_on_with_and_say_what_they_cannot_know(
    index, tmp_path, target, monkeypatch
):
    with monkeypatch.context() as before:
        line = files._line
        before.setattr(files, "_line", lambda item: line(item).replace('"origin"', '"none"'))
        put(tmp_path / "a.jsonl", lines("rain", "snow", "hail", "wind", "fog"))
        index("a.jsonl")
    result = index("a.jsonl")
    assert (result.kept, result.notices) == (5, [])
    put(tmp_path / "a.jsonl", lines("dust", "snow", "storm", "sun", "ice"))
    result = index("a.jsonl")
    assert dict(result.replaced) == {"text": 4}
    (notice,) = result.notices
    assert notice.startswith("4 items took the place of others of the same id with other contents")
    assert "text '0', text '2', text '3' and 1 more; if not" in notice
    assert "--prefix NAME" in notice
    put(tmp_path / "a.jsonl", lines("heat", "snow", "storm", "sun", "ice"))
    assert index("a.jsonl").notices == []  # known now


def test_what_could_not_be_embedded_took_no_place(tmp_path, target):
    def add_bytes(*contents):
        items = [Item(str(i), "image", content) for i, content in enumerate(contents)]
        return add(tmp_path / "index", target, items, tmp_path / "cache")

    add_bytes(image_bytes(1), image_bytes(2))
    result = add_bytes(image_bytes(3), b"cut")
    assert (dict(result.replaced), result.outdated, result.skipped) == ({"image": 1}, 1, 1)
    (notice,) = result.notices
    assert notice.startswith("1 item took the place of one")
    assert result.unplaced == [("image", "0")]  # and nothing of its contents is held


def test_corpora_are_sets_too(tmp_path, target):
    def add_corpus(name, text):
        items = of_corpus(name, [Item("0", "text", text)])
        return add(tmp_path / "index", target, items, tmp_path / "cache")

    add_corpus("text", "rain")
    assert dict(add_corpus("text", "snow").replaced) == {"text": 1}
    with pytest.raises(UsageError, match="'corpus other' holds another text with the id '0' than"):
        add_corpus("other", "hail")


def test_two_files_in_one_run(index, tmp_path):
    for name in "ab":
        put(tmp_path / f"{name}.jsonl", lines(name))
    with pytest.raises(UsageError, match="two different text items") as caught:
        index("a.jsonl", "b.jsonl")
    assert "one set at a time" in caught.value.fix
    put(tmp_path / "c.jsonl", lines("x") + lines("y"))
    with pytest.raises(UsageError, match="two different text items") as caught:
        index("c.jsonl")
    assert "ids of their own" in caught.value.fix
