"""Importing tables of descriptions."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from knowledge_rows import ROWS, descriptions
from pyarrow import parquet

from reactions.core.errors import DataError, MissingError, UsageError
from reactions.data.path_like import file_reason
from reactions.knowledge.base import Description, KnowledgeTable
from reactions.knowledge.exporting import export_knowledge
from reactions.knowledge.imports.tables import Defaults, read_tables

PAPER = "ID,Category,Description,Source\n1,dog,a dog,LLM\n2,cat,a cat,LLM\n"


def put(tmp_path, text, name="a.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name


def read(tmp_path, text, name="a.csv", **defaults):
    return read_tables([put(tmp_path, text, name)], Defaults(**defaults))


def test_the_papers_columns(tmp_path):
    imported = read(tmp_path, PAPER)
    assert imported.rows == (
        Description("1", "dog", "a dog", "LLM"),
        Description("2", "cat", "a cat", "LLM"),
    )
    assert (imported.remarks, imported.dropped) == ((), {})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", '\ufeff"id";"CATEGORY";"Description";"source"\n"1";"dog";"a; dog";"LLM"\n'),
        ("a.tsv", "Source\tID\tcategory\tdescription\nLLM\t1\tdog\ta; dog\n"),
        ("a.jsonl", '\n{"ID": "1", "Category": "dog", "Description": "a; dog", "Source": "LLM"}\n'),
        ("a.ndjson", '{"id": 1, "category": "dog", "description": "a; dog", "source": "LLM"}'),
    ],
)
def test_any_table(tmp_path, name, text):
    assert read(tmp_path, text, name).rows == (Description("1", "dog", "a; dog", "LLM"),)


def test_parquet(tmp_path):
    columns = {"ID": [1], "Category": ["dog"], "Description": ["x"], "Source": ["LLM"], "n": [3]}
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    imported = read_tables([tmp_path / "a.parquet"], Defaults())
    assert imported.rows == (Description("1", "dog", "x", "LLM"),)
    assert imported.remarks == ("'a.parquet': not read: n",)


def test_all_columns(tmp_path):
    text = (
        "id,category,description,source,modality,model,prompt,seed\n"
        "x,dog,a dog,MLLM,image,m,p,-3\ny,dog,dogs,human,,,,\n"
    )
    assert read(tmp_path, text, model="other").rows == (
        Description("x", "dog", "a dog", "MLLM", "image", "m", "p", -3),
        Description("y", "dog", "dogs", "human", model="other"),
    )


def test_lines_of_json_may_leave_keys_out(tmp_path):
    lines = [
        {"category": "dog", "description": "a dog", "source": "LLM"},
        {"id": "x", "category": "dog", "description": "b", "source": "MLLM", "modality": "image"},
        {"category": "dog", "description": "dogs", "source": "LLM", "note": 1},
    ]
    imported = read(tmp_path, "\n".join(map(json.dumps, lines)), "a.jsonl")
    assert [row.id for row in imported.rows] == ["dog/0", "x", "dog/1"]
    assert imported.remarks == (
        "'a.jsonl': not read: note",
        "rows without an id, numbered within their category: 2",
    )


def test_what_the_table_does_not_say(tmp_path):
    imported = read(tmp_path, "category,description\ndog,a dog\n", source="LLM", prompt="p")
    assert imported.rows == (Description("dog/0", "dog", "a dog", "LLM", prompt="p"),)
    text = "id,category,description\nx.png,dog,a dog\n"
    imported = read(tmp_path, text, source="MLLM", modality="image")
    assert imported.rows == (Description("x.png", "dog", "a dog", "MLLM", "image"),)


def test_who_wrote_a_row_becomes_its_model(tmp_path):
    imported = read(tmp_path, PAPER.replace("LLM", "GPT-4"), source="LLM")
    assert {row.model for row in imported.rows} == {"GPT-4"}
    assert [model.name for model in imported.metadata(token_limit=77).models] == ["GPT-4"]


def test_blank_rows_are_counted(tmp_path):
    imported = read(tmp_path, PAPER + "3,dog, ,LLM\n")
    assert len(imported.rows) == 2
    assert imported.dropped == {"blank": 1}
    assert "entries left out: 1 of 3, for a blank description" in imported.remarks[0]


def test_a_few_bad_rows_are_counted(tmp_path):
    text = "id,category,description,source\n"
    text += "".join(f"{i},dog,dog {i},LLM\n" for i in range(200))
    imported = read(tmp_path, text + "a,b\n")
    assert len(imported.rows) == 200
    assert imported.dropped == {"unusable": 1}
    assert "a.csv:202: 2 fields" in imported.remarks[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            PAPER.replace("LLM", "GPT-4"),
            "the source is 'GPT-4', none of .*\n  fix: .* --source LLM",
        ),
        (PAPER.replace("Source", "Who"), "it has no source\n  fix: .*--source LLM"),
        (PAPER.replace("LLM", "MLLM"), "of which modality\n  fix: --modality image"),
        ("category,description,source,modality\ndog,x,MLLM,image\n", "no id to look it up by"),
        ("category,description,source\n,x,LLM\n", "the category is empty"),
        ("category,description,source,seed\ndog,x,LLM,y\n", "the seed is 'y'"),
        (f"category,description,source,seed\ndog,x,LLM,{1 << 63}\n", "the seed is '9223"),
        ("category,description,source\ndog,,LLM\n", "no row has a description"),
        ("category,description,source\n", "it has no entries"),
        ("", "no column 'category'"),
        ("category,text\ndog,x\n", "no column 'description'\n  why: its columns: category, text"),
        (
            "id,category,description,source,modality\nx,dog,a,MLLM,image\nx,cat,b,MLLM,image\n",
            "in several categories: 1\n  why: 'x' is 'dog' and 'cat'",
        ),
    ],
)
def test_what_cannot_be_imported(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
        ('{"category": "dog"}', "it has no 'description'"),
        ('{"category": "dog", "description": 1.5, "source": "LLM"}', "'description' is float"),
        ('{"category": ["x"], "description": "y", "source": "LLM"}', "'category' is list"),
        ('{"category": "d", "description": "%s", "source": "LLM"}' % ("x" * 70_000), "70,000 char"),
        ('{"a": 1, "a": 2}', "a key is repeated"),
    ],
)
def test_lines_that_cannot_be_used(tmp_path, line, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, line, "a.jsonl")


def test_equal_faults_are_told_once(tmp_path):
    with pytest.raises(DataError) as caught:
        read(tmp_path, PAPER.replace("LLM", "GPT-4"))
    assert caught.value.why.count("GPT-4") == 1
    assert "a.csv:2: the source is" in caught.value.why


def test_what_is_no_table(tmp_path):
    with pytest.raises(MissingError, match="there is nothing at"):
        read_tables([tmp_path / "a.csv"], Defaults())
    with pytest.raises(UsageError, match="fix: UniBind's JSON: molspace kb import unibind"):
        read(tmp_path, "[]", "a.json")
    with pytest.raises(UsageError, match="fix: save it as csv or jsonl"):
        read(tmp_path, "x", "a.xlsx")
    with pytest.raises(DataError, match="cannot read"):
        read(tmp_path, "x", "a.parquet")
    (tmp_path / "b.csv").mkdir()
    with pytest.raises(DataError, match="it is a folder"):
        read_tables([tmp_path / "b.csv"], Defaults())
    with pytest.raises(UsageError, match="'llm' is not a source\n  fix: did you mean 'LLM'"):
        read(tmp_path, PAPER, source="llm")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_what_is_exported_is_imported(tmp_path, suffix):
    rows = [row for row in ROWS if row.description]
    path = tmp_path / f"kb.{suffix}"
    assert export_knowledge(KnowledgeTable("kb", rows), path) == len(rows)
    assert read_tables([path], Defaults()).rows == tuple(rows)


def is_sentence(row):
    return row.description.strip() and not file_reason(row.description)


@given(st.lists(descriptions().filter(is_sentence), min_size=1, max_size=5))
def test_any_rows_survive_lines_of_json(tmp_path_factory, rows):
    # An item of two categories is refused, and is another test.
    rows = list({(row.modality, row.id): row for row in rows}.values())
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    export_knowledge(KnowledgeTable("kb", rows), path)
    assert read_tables([path], Defaults()).rows == tuple(rows)


def test_other_encodings_are_told_by_line_and_nothing_is_written_of_them(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"category,description,source\nr\xf6bin,a bird,LLM\n")
    with pytest.raises(DataError, match=r"a\.csv:2: .*not UTF-8\n  fix: save the table as UTF-8"):
        read_tables([tmp_path / "a.csv"], Defaults())
