"""Text corpora from JSON documents, composed columns, and rows that are chosen."""

import json

import annotation_files
import pytest
from media_files import put, put_tar

from reactions.core.errors import DataError, UsageError
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus
from reactions.labs.lab_file import load_lab


def texts(path, tables=None, **said):
    """Return id and text of each item, and the remarks."""
    source = Source(paths=(str(path),), **said)
    corpus = open_corpus("t", "text", [source], tables=tables or TableCache())
    items = corpus.items(0, len(corpus))
    return [(item.id, item.value) for item in items], corpus.remarks


def test_captions_of_annotations(tmp_path):
    path = annotation_files.write_json(tmp_path / "c.json", annotation_files.coco())
    rows, remarks = texts(path)
    assert [text for _, text in rows] == [
        text for captions in annotation_files.CAPTIONS.values() for text in captions
    ]
    assert [id for id, _ in rows] == ["1", "2", "3", "4", "5"]
    assert "'c.json': captions are those of 'caption'" in remarks
    assert "'c.json': 5 annotations of 3 images" in remarks
    assert texts(path, id_column="id")[0][0] == ("500", "a black square")


def test_nested_captions_of_chosen_rows(tmp_path):
    path = annotation_files.write_json(tmp_path / "k.json", annotation_files.karpathy())
    tables = TableCache()
    train = {"columns": ("sentences.raw",), "where": (("split", ("train", "restval")),)}
    rows, remarks = texts(path, tables, **train, id_column="filename")
    assert rows == [("c.png/0", "a light square"), ("c.png/1", "white")]
    assert "'k.json': 2 of its 3 rows are left out: split = test (2)" in remarks
    other = {**train, "where": (("split", ("test",)),)}
    assert len(texts(path, tables, **other)[0]) == 3  # not what the scan of others found


DOCUMENTS = {
    "a list of texts": ["rain", "wind"],
    "records": [{"caption": "rain"}, {"caption": "wind"}],
    "under a key": {"data": [{"text": "rain"}, {"text": "wind"}]},
}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_documents(tmp_path, document):
    path = annotation_files.write_json(tmp_path / "c.json", document)
    assert [text for _, text in texts(path)[0]] == ["rain", "wind"]


def test_lines_that_are_called_json(tmp_path):
    lines = '{"caption": "rain"}\n\n{"caption": "wind"}\nno record\n'
    rows, remarks = texts(put(tmp_path / "c.json", lines), max_bad=0.5)
    assert [text for _, text in rows] == ["rain", "wind"]
    assert any("a record a line, 3" in remark for remark in remarks)


def test_rows_of_a_csv(tmp_path):
    path = put(tmp_path / "c.csv", "a,b,split\nbig,dog,x\nsmall,cat,y\n")
    rows, _ = texts(path, columns=("a {a} {b}",), where=(("split", ("y",)),))
    assert rows == [("1", "a small cat")]
    with pytest.raises(DataError, match="which column of"):
        texts(path, where=(("split", ("y",)),))
    with pytest.raises(DataError, match="has split = z"):
        texts(path, columns=("a",), where=(("split", ("z",)),))


def test_what_holds_no_captions(tmp_path):
    path = annotation_files.write_json(tmp_path / "c.json", [{"x": 1, "y": {"z": 2}}])
    with pytest.raises(DataError) as refused:
        texts(path)
    assert "its columns: x, y.z" in refused.value.why
    shard = put_tar(tmp_path / "s.tar", {"a.txt": "rain"})
    with pytest.raises(UsageError, match="where says nothing about"):
        texts(shard, where=(("split", ("x",)),))


def test_a_corpus_of_a_lab_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    annotation_files.write_json(tmp_path / "k.json", annotation_files.karpathy())
    (tmp_path / "molspace.toml").write_text(
        '[lab]\nextends = "mini"\n[corpora.text]\npath = "k.json"\ncolumn = "sentences.raw"\n'
        'where = { split = "restval" }\n'
    )
    corpus = load_lab().corpus("text")
    assert [item.value for item in corpus.items(0, 9)] == ["a light square", "white"]
    assert json.loads((tmp_path / "k.json").read_text())["dataset"] == "coco"
