"""Corpora of media whose files a table names."""

import annotation_files
import pytest
from media_files import image_bytes, put

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.data.scan_cache import TableCache
from reactions.data.sources.config import Source
from reactions.data.sources.corpus import open_corpus


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate("abc"):
        put(tmp_path / f"{name}.png", image_bytes(number))
    return tmp_path


def opened(path, **said):
    return open_corpus("p", "image", [Source(paths=(str(path),), **said)], tables=TableCache())


def test_files_that_a_column_names(folder):
    put(folder / "p.csv", "key,path,n\nk1,a.png,1\nk2,b,2\n")
    corpus = opened(folder / "p.csv")
    assert corpus.ids() == ["a.png", "b"]
    assert [item.value for item in corpus.items(0, 2)] == [folder / "a.png", folder / "b.png"]
    assert all(item.own_id for item in corpus.items(0, 2))
    assert "'p.csv': the files are those of the column 'path'" in corpus.remarks
    assert opened(folder / "p.csv", columns=("{path}",), id_column="key").ids() == ["k1", "k2"]


def test_a_file_of_several_rows_is_one_item(folder):
    path = annotation_files.write_json(folder / "c.json", annotation_files.coco())
    corpus = opened(path)
    assert corpus.ids() == ["a.png", "b.png", "c.png"]
    assert "'c.json': 2 rows name a file of a row before" in corpus.remarks
    put(folder / "t.csv", "id,image\nx,a.png\nx,b.png\n")
    with pytest.raises(DataError, match=r"its id is that of 'a\.png', which is another file"):
        opened(folder / "t.csv", id_column="id")


def test_files_that_are_not_there_are_counted(folder):
    put(folder / "p.tsv", "image\na.png\nz.png\n\nb.png\n")
    with pytest.raises(DataError, match="1 of 3 image items cannot be used"):
        opened(folder / "p.tsv")
    corpus = opened(folder / "p.tsv", max_bad=0.5)
    assert [bad.why for bad in corpus.bad()] == [f"there is no file '{folder / 'z.png'}'"]


def test_several_tables(folder):
    put(folder / "1.csv", "image\na.png\nb.png\n")
    put(folder / "2.csv", "image\na.png\n")
    assert opened(f"{folder}/[12].csv").ids() == ["1/a.png", "1/b.png", "2/a.png"]


@pytest.mark.parametrize(
    ("name", "text", "said", "error", "message"),
    [
        ("p.csv", "a,b\n1,2\n", {}, UsageError, "its columns: a, b"),
        ("p.csv", "a,b\n1,2\n", {"columns": ("a", "b")}, UsageError, "which column"),
        ("p.csv", "a,b\n1,2\n", {"columns": ("c",)}, DataError, "c"),
        ("p.txt", "a.png\n", {}, MissingError, "cannot tell how to read image"),
        ("p.txt", "a.png\n", {"columns": ("c",)}, UsageError, "in tables only: .csv"),
    ],
)
def test_what_names_no_files(folder, name, text, said, error, message):
    put(folder / name, text)
    with pytest.raises(error) as refused:
        opened(folder / name, **said)
    assert message in str(refused.value)
