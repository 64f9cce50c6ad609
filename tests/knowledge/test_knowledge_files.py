import json
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from knowledge_rows import METADATA, ROWS, descriptions, metadata
from pyarrow import parquet

from reactions.core.errors import DataError, MissingError, StoreError
from reactions.core.extras import install_extra
from reactions.knowledge.base import COLUMNS, Description, KnowledgeMetadata
from reactions.knowledge.files import MAX_TEXT_CHARACTERS, open_knowledge, write_knowledge

PLAIN = {"id": ["a"], "category": ["dog"], "description": ["a dog"], "source": ["LLM"]}


def put(path, columns, record=None):
    table = pa.table(columns)
    if record is not None:
        raw = record if isinstance(record, bytes) else json.dumps(record).encode()
        table = table.replace_schema_metadata({b"molspace": raw})
    parquet.write_table(table, path)
    return path


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "deep" / "kb.parquet"
    assert write_knowledge(path, iter(ROWS), METADATA) == len(ROWS)
    table = open_knowledge(path)
    assert (tuple(table.rows()), table.metadata, table.name) == (ROWS, METADATA, str(path))
    assert open_knowledge(path, name="pets").name == "pets"
    assert [entry.name for entry in path.parent.iterdir()] == ["kb.parquet"]


def test_counts_are_there_for_other_readers(tmp_path):
    write_knowledge(tmp_path / "kb.parquet", ROWS, METADATA)
    raw = parquet.read_schema(tmp_path / "kb.parquet").metadata[b"molspace"]
    record = json.loads(raw)
    assert record["format"] == "molspace-knowledge-1"
    assert record["counts"] == {"LLM": 3, "MLLM": 3, "label": 1, "human": 1}
    assert parquet.read_schema(tmp_path / "kb.parquet").names == list(COLUMNS)


@given(st.lists(descriptions(), min_size=1, max_size=6), metadata)
def test_any_rows_come_back(tmp_path_factory, rows, described_by):
    path = tmp_path_factory.getbasetemp() / "any.parquet"
    write_knowledge(path, rows, described_by)
    table = open_knowledge(path)
    assert (list(table.rows()), table.metadata) == (rows, described_by)


def test_a_file_of_ones_own_has_four_columns(tmp_path):
    path = put(tmp_path / "kb.parquet", {**PLAIN, "note": ["x"]})
    table = open_knowledge(path, name="mine")
    assert list(table.rows()) == [Description("a", "dog", "a dog", "LLM")]
    assert table.metadata == KnowledgeMetadata()
    assert "says nothing of its prompts" in table.notices[0]
    assert table.notices[1] == "knowledge base 'mine': not read: note"


def test_a_description_may_be_missing_and_is_counted(tmp_path):
    columns = {name: values * 2 for name, values in PLAIN.items()} | {"description": [None, "x"]}
    table = open_knowledge(put(tmp_path / "kb.parquet", columns))
    assert list(table.of_category("dog")) == ["x"]
    assert "1 of 2 rows have no description" in table.notices[-1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"category": [None]}, "'category' is null, not a text"),
        ({"category": [3]}, "'category' is int, not a text"),
        ({"id": [["a"]]}, "'id' is list, not a text"),
        ({"source": ["robot"]}, "the source is 'robot'"),
        ({"seed": ["x"]}, "'seed' is str, not a whole number"),
        ({"seed": [1.5]}, "'seed' is float, not a whole number"),
        ({"description": ["x" * (MAX_TEXT_CHARACTERS + 1)]}, "has 65,537 characters"),
    ],
)
def test_values_that_cannot_be_used(tmp_path, change, words):
    with pytest.raises(DataError, match=words) as caught:
        open_knowledge(put(tmp_path / "kb.parquet", {**PLAIN, **change}))
    assert "row 1" in caught.value.what


def test_a_column_that_is_missing(tmp_path):
    columns = {k: v for k, v in PLAIN.items() if k != "category"}
    with pytest.raises(DataError, match=r"no column 'category'; its columns: id, description"):
        open_knowledge(put(tmp_path / "kb.parquet", columns))


def test_two_columns_of_one_name(tmp_path):
    table = pa.table([["a"], ["b"], ["dog"], ["x"], ["LLM"]], names=["id", *COLUMNS[:4]])
    parquet.write_table(table, tmp_path / "kb.parquet")
    with pytest.raises(DataError, match="several of its columns are named 'id'"):
        open_knowledge(tmp_path / "kb.parquet")


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"{", "cannot read the knowledge base"),
        (b"\xff", "cannot read the knowledge base"),
        ([], "not a JSON object"),
        ({}, "its format is None"),
        ({"format": "molspace-knowledge-2"}, "update molspace"),
        ({"dataset": 3}, "'dataset' is int, not str"),
        ({"prompts": [3]}, "3 is not a text"),
        ({"models": [{"name": "m", "size": "x"}]}, "not a table of name, revision, licence"),
        ({"models": ["m"]}, "not a table of"),
        ({"models": [{}]}, "its metadata"),
        ({"token_limit": 0}, "0 is not a number from 1 up"),
        ({"token_limit": True}, "'token_limit' is bool"),
        ({"items": {"image": "x"}}, "not a table of corpus, digest"),
        ({"dropped": {"x": -1}}, "-1 is not a number"),
        ({"surprise": 1}, "unknown key 'surprise'"),
    ],
)
def test_metadata_that_cannot_be_used(tmp_path, record, words):
    if isinstance(record, dict) and record and "format" not in record:
        record = {"format": "molspace-knowledge-1", "token_limit": 77, **record}
    with pytest.raises(DataError, match=words):
        open_knowledge(put(tmp_path / "kb.parquet", PLAIN, record))


def test_metadata_are_bounded(tmp_path):
    with pytest.raises(DataError, match="its metadata have"):
        open_knowledge(put(tmp_path / "kb.parquet", PLAIN, b" " * (5 << 20)))
    with pytest.raises(DataError, match="prompts and models take"):
        write_knowledge(tmp_path / "x.parquet", ROWS, KnowledgeMetadata(prompts=("x" * (5 << 20),)))


def test_a_file_that_stands_for_gigabytes(tmp_path):
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 40_000, pa.int32()), ["x" * 60_000])
    columns = {name: values * 40_000 for name, values in PLAIN.items()} | {"description": texts}
    path = put(tmp_path / "kb.parquet", columns)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(DataError, match="stands for more than its size allows"):
        open_knowledge(path)


def test_what_is_no_parquet_file(tmp_path):
    with pytest.raises(MissingError, match="there is no knowledge base"):
        open_knowledge(tmp_path / "kb.parquet")
    (tmp_path / "kb.csv").write_text("x")
    with pytest.raises(
        DataError, match=r"fix: molspace kb import table .*kb\.csv --out kb\.parquet"
    ):
        open_knowledge(tmp_path / "kb.csv")
    (tmp_path / "kb.parquet").write_text("not parquet")
    with pytest.raises(DataError, match="cannot read the knowledge base"):
        open_knowledge(tmp_path / "kb.parquet")
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(DataError, match="it is a folder"):
        open_knowledge(tmp_path / "folder.parquet")


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(DataError, match=r"--out .*kb\.parquet"):
        write_knowledge(tmp_path / "kb.csv", ROWS, METADATA)
    with pytest.raises(DataError, match="is empty"):
        write_knowledge(tmp_path / "kb.parquet", [], METADATA)
    with pytest.raises(DataError, match="not valid Unicode"):
        write_knowledge(
            tmp_path / "kb.parquet", [Description("a", "dog", "\ud800", "LLM")], METADATA
        )
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        write_knowledge(tmp_path / "file" / "kb.parquet", ROWS, METADATA)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_what_was_there_stays_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "kb.parquet"
    write_knowledge(path, ROWS, METADATA)
    with pytest.raises(DataError):
        write_knowledge(path, [Description("a", "dog", "\ud800", "LLM")], METADATA)
    assert len(open_knowledge(path)) == len(ROWS)


def test_without_pyarrow(tmp_path, monkeypatch):
    write_knowledge(tmp_path / "kb.parquet", ROWS, METADATA)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingError, match=re.escape(install_extra("parquet"))):
        open_knowledge(tmp_path / "kb.parquet")
    with pytest.raises(MissingError, match=re.escape(install_extra("parquet"))):
        write_knowledge(tmp_path / "x.parquet", ROWS, METADATA)


def test_reasons_for_which_nothing_was_left_out_are_no_mistake(tmp_path):
    described_by = KnowledgeMetadata(dropped={"talk around the list": 0, "blank": 2})
    write_knowledge(tmp_path / "kb.parquet", ROWS, described_by)
    assert open_knowledge(tmp_path / "kb.parquet").metadata.dropped == {"blank": 2}
