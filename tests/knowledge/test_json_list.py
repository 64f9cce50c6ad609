import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import DataError, MissingError
from reactions.knowledge.imports import json_list
from reactions.knowledge.imports.json_list import json_entries


def read(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(json_entries(path))


@pytest.mark.parametrize("text", ["[]", " [ ] \n", "\ufeff[]"])
def test_an_empty_list(tmp_path, text):
    assert read(tmp_path, text) == []


_ENTRY = st.dictionaries(st.text(max_size=3), st.none() | st.text() | st.lists(st.integers()))


@given(st.lists(_ENTRY, max_size=5), st.sampled_from([None, 1]), st.integers(1, 40))
def test_any_list_in_pieces_of_any_size(tmp_path_factory, entries, indent, piece):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(entries, indent=indent, ensure_ascii=False), encoding="utf-8")
    before, json_list._PIECE_BYTES = json_list._PIECE_BYTES, piece
    try:
        assert list(json_entries(path)) == list(enumerate(entries, start=1))
    finally:
        json_list._PIECE_BYTES = before


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it ends within the list"),
        ("{}", "it is not a JSON list: it begins with"),
        ("[", "it ends within the list, after entry 0"),
        ("[{}", "it ends within the list, after entry 1"),
        ("[{},", "it ends within the list, after entry 1"),
        ("[{},]", "after entry 1 stands ']', not an object"),
        ("[3]", "after entry 0 stands '3]', not an object"),
        ("[{} {}]", "not a comma or the end of the list"),
        ("[{}] x", "something follows the list: 'x'"),
        ('[{"a": 3', "entry 1 is not valid JSON"),
        ("[{'a': 3}]", "entry 1 is not valid JSON"),
        ('[{"a": ' + "[" * 200_000 + "]" * 200_000 + "}]", "entry 1 is nested too deeply"),
        ('[{"a": "' + "x" * (3 << 20) + '"}]', "entry 1 is longer than 1 MiB"),
        (b"[\xff]", "it is not UTF-8 text"),
        (b"[{}]\xc3", "it is not UTF-8 text"),
    ],
)
def test_what_is_no_list_of_objects(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, text)


def test_what_is_no_file(tmp_path):
    with pytest.raises(MissingError):
        list(json_entries(tmp_path / "none.json"))
    with pytest.raises(DataError, match="it is a folder"):
        list(json_entries(tmp_path))
