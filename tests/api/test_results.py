"""Results as tables: at a prompt, in a notebook, as data frames and JSON."""

import json
import pickle
import sys

import numpy as np
import pytest

from reactions.api.embeddings import Embeddings
from reactions.api.results import ResultTable, cell_text
from reactions.core.errors import MissingError


class Names(ResultTable):
    lab = "mini"
    title = "names"
    columns = ("name", "n")

    def __init__(self, *names, notices=()):
        self.names, self.notices = names, notices

    def rows(self):
        yield from ((name, len(name)) for name in self.names)


def embeddings():
    return Embeddings(
        {"text": np.eye(2, 3, dtype=np.float32), "image": np.ones((1, 3), np.float32)},
        {"text": ["a", "b"], "image": ["c.png"]},
        "mini",
    )


def test_at_a_prompt():
    text = repr(Names("a", "bcd", notices=("few",)))
    assert text.splitlines() == ["names   lab: mini", "name  n", "a     1", "bcd   3", "note: few"]


def test_long_tables_are_cut_and_say_so():
    long_table = Names(*map(str, range(100, 130)))
    for text in (repr(long_table), long_table._repr_html_()):
        assert "119" in text
        assert "120" not in text
        assert "and 10 more rows: to_dataframe() has all" in text
    assert len(long_table.to_dataframe()) == 30


def test_names_are_no_markup():
    hostile = "<img src=x onerror=alert(1)>"
    page = Names(hostile, notices=(hostile,))._repr_html_()
    assert "<img" not in page
    assert page.count("&lt;img") == 2


def test_a_frame_keeps_types_and_the_lab():
    frame = Names("a", "bcd").to_dataframe()
    assert frame["n"].tolist() == [1, 3]
    assert frame.attrs == {"lab": "mini"}


def test_without_pandas_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.delitem(sys.modules, "pandas")
    for result in (Names("a"), embeddings()):
        with pytest.raises(MissingError, match="pandas") as caught:
            result.to_dataframe()
        assert "pandas" in caught.value.fix


def test_json():
    body = json.loads(json.dumps(Names("a", notices=("few",)).to_json()))
    assert body == {
        "title": "names",
        "lab": "mini",
        "notices": ["few"],
        "rows": [{"name": "a", "n": 1}],
    }


def test_cells():
    cells = [None, True, 1.0, 0.0, 0.123456, 12.3456, 4.9e8, 7, "a\nb", "x" * 99]
    expected = ["-", "yes", "1", "0", "0.1235", "12.35", "4.9e+08", "7", "a b", "x" * 43 + "…"]
    assert [cell_text(cell) for cell in cells] == expected


def test_embeddings_are_a_dict_and_a_frame():
    rows = embeddings()
    assert dict(rows).keys() == {"text", "image"}
    frame = rows.to_dataframe()
    assert frame.shape == (3, 3)
    assert frame.loc[("text", "b")].tolist() == [0, 1, 0]
    assert frame.attrs == {"lab": "mini"}
    assert json.loads(json.dumps(rows.to_json()))["embeddings"]["image"][0]["item"] == "c.png"
    assert "lab: mini" in rows._repr_html_()
    unpickled = pickle.loads(pickle.dumps(rows))
    assert (unpickled.labels, unpickled.lab) == (rows.labels, "mini")
    np.testing.assert_array_equal(unpickled["text"], rows["text"])
    assert Embeddings({}, {}, "mini").to_dataframe().empty
