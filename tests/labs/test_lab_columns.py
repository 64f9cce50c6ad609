"""How captions lie in tables, as a lab file says."""

import pytest
from lab_files import load, refused

from reactions.labs.inventory import inventory

pytestmark = pytest.mark.usefixtures("own_folder")


def test_tables_without_names():
    lab = load(
        """
        [[corpora.text]]
        path = "Train_GCC-training.tsv"
        header = false
        column = 0
        id = 1
        [[corpora.text]]
        path = "a.csv"
        column = ["caption", 3]
        delimiter = ";"
        quoted = false
        [[corpora.text]]
        path = "b.csv"
        """
    )
    published, unnamed, usual = lab.corpora["text"].sources
    assert (published.header, published.columns, published.id_column) == (False, (0,), 1)
    assert (unnamed.header, unnamed.columns, unnamed.delimiter) == (True, ("caption", 3), ";")
    assert (unnamed.quoted, usual.quoted, usual.delimiter) == (False, None, "")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("column = true", r"column must be a string or a whole number, not True"),
        ("column = -1", r"column is -1; columns are counted from 0"),
        ("column = ['a', 'a']", r"column names a column twice"),
        ("column = 1.0", r"column must be a string or a whole number"),
        ("id = []", r"id must be a string or a whole number"),
        ("header = 0", r"header must be true or false, not 0"),
        ("quoted = 'yes'", r"quoted must be true or false"),
        ("delimiter = ''", r"delimiter must be one character"),
        ("delimiter = ', '", r"delimiter must be one character"),
        ("delimiter = '\"'", r"delimiter must be one character"),
        ("header = false\ncolumn = 'caption'", r"header = false none has a name.*column = 0"),
        ("header = false\nid = 'key'", r"header = false none has a name.*id = 0"),
    ],
)
def test_wrong_values_are_refused(text, words):
    refused(f"[corpora.text]\npath = 'x.csv'\n{text}", words)


@pytest.mark.parametrize("text", ["delimiter = ';'", "header = false", "quoted = true"])
def test_what_is_said_of_texts_is_refused_elsewhere(text):
    refused(f"[corpora.image]\npath = 'x'\n{text}", "says how texts are read")
    refused(f"[[corpora.audio]]\npath = 'x'\n{text}", "says how texts are read")


@pytest.mark.parametrize("text", ["header = false", "delimiter = ';'", "quoted = true"])
def test_manifests_have_no_columns(text):
    refused(f"[corpora.text]\nmanifest = 'x'\n{text}", "goes with path, not with manifest")


def test_how_tables_were_read_is_listed(tmp_path):
    lines = ["id;caption", "a;rain, then wind", "b;hail"]
    (tmp_path / "a.csv").write_text("\n".join(lines), encoding="utf-8")
    lab = load('[corpora.text]\npath = "a.csv"')
    (holding,) = [entry for entry in inventory(lab) if entry.kind == "corpus"]
    assert (holding.found, holding.bad) == (2, 0)
    assert "'a.csv' is read as separated by semicolons" in holding.reading[0]
    assert holding.to_json()["reading"] == holding.reading
