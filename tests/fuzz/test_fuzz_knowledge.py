"""Damaged knowledge bases and tables of descriptions are read or refused."""

import json
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from knowledge_rows import METADATA, ROWS
from pyarrow import compute, parquet

from reactions.encoders.preprocessing.clip_bpe import count_tokens
from reactions.knowledge.audit import check_knowledge
from reactions.knowledge.base import KnowledgeTable
from reactions.knowledge.exporting import export_knowledge
from reactions.knowledge.files import open_knowledge, write_knowledge
from reactions.knowledge.imports.tables import Defaults, read_tables
from reactions.knowledge.imports.unibind import read_unibind
from reactions.knowledge.summary import summarise

assert compute  # loaded before memory is limited
assert count_tokens("a dog")  # likewise


def bytes_of(write, suffix=".parquet") -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"file{suffix}"
        write(path)
        return path.read_bytes()


KB = KnowledgeTable("pets", ROWS, METADATA)
GOOD = bytes_of(lambda path: write_knowledge(path, ROWS, METADATA))
CSV = bytes_of(lambda path: export_knowledge(KB, path), ".csv")
LINES = bytes_of(lambda path: export_knowledge(KB, path), ".jsonl")
ENTRIES = json.dumps(
    [
        {"data": "1.png", "label": "dog", "description": "a dog"},
        {"data": "2.png", "label": "cat", "description": ["a cat", "x"]},
        {"data": "3.png", "label": "cat"},
    ]
).encode()


def used(data: bytes) -> object:
    """Do all that is done with a knowledge base."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kb.parquet"
        path.write_bytes(data)

        def use() -> int:
            knowledge = open_knowledge(path)
            for category in knowledge.categories:
                knowledge.of_category(category)
                knowledge.synonyms(category)
            n = sum(len(knowledge.items(modality)) for modality in knowledge.modalities)
            assert len(knowledge.digest) == 64
            assert summarise(knowledge).n_rows == len(knowledge)
            check_knowledge(knowledge)
            return n

        return usable_or_refused(use)


def imported(name: str, data: bytes) -> object:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        if name.endswith(".json"):
            return usable_or_refused(lambda: len(read_unibind([path], "image").rows))
        return usable_or_refused(lambda: len(read_tables([path], Defaults()).rows))


def test_the_good_ones_are_used():
    assert used(GOOD) == 3
    n = sum(bool(row.description) for row in ROWS)
    assert imported("a.csv", CSV) == imported("a.jsonl", LINES) == n
    assert imported("a.parquet", GOOD) == n
    assert imported("a.json", ENTRIES) == 3


@fuzz
@given(st.one_of(mutated(GOOD), mutated(GOOD, len(GOOD)), st.binary()))
def test_any_bytes_are_a_knowledge_base_or_refused(data: bytes) -> None:
    used(data)


@fuzz
@given(
    st.dictionaries(
        st.sampled_from(
            ["format", "dataset", "prompts", "models", "token_limit", "items", "dropped", "x"]
        ),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda below: (
                st.lists(below, max_size=2)
                | st.dictionaries(st.sampled_from(["name", "corpus", "image"]), below, max_size=2)
            ),
            max_leaves=4,
        ),
    )
)
def test_any_metadata_are_understood_or_refused(record: dict[str, object]) -> None:
    def write(path: Path) -> None:
        columns = {name: ["x"] for name in ("id", "category", "description")} | {"source": ["LLM"]}
        raw = json.dumps({"format": "molspace-knowledge-1", "token_limit": 77, **record})
        table = pa.table(columns).replace_schema_metadata({b"molspace": raw.encode()})
        parquet.write_table(table, path)

    used(bytes_of(write))


@pytest.mark.parametrize(
    ("name", "good"),
    [("a.csv", CSV), ("a.jsonl", LINES), ("a.parquet", GOOD), ("a.json", ENTRIES)],
)
def test_any_bytes_are_imported_or_refused(name: str, good: bytes) -> None:
    @fuzz
    @given(st.one_of(mutated(good), mutated(good, len(good)), st.binary(max_size=200)))
    def check(data: bytes) -> None:
        imported(name, data)

    check()
