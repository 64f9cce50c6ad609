"""docs/knowledge.md: its code runs, and its tables say what the code says."""

import dataclasses
import re
from pathlib import Path
from typing import get_args

import pytest

from reactions.knowledge.audit import FindingKind
from reactions.knowledge.base import COLUMNS, FORMAT, PROVENANCES
from reactions.labs.knowledge_schema import WorldDescriptions
from reactions.labs.lab_file import load_lab
from reactions.labs.mini import Describer

PAGE = (Path(__file__).parents[2] / "docs" / "knowledge.md").read_text(encoding="utf-8")


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_code_runs(own_folder):
    [code] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names = {}
    exec(compile(code, "knowledge.md", "exec"), names)
    assert Path("mine.parquet").is_file()
    assert tuple(names["kb"].synonyms("dog")) == ("dog", "hound")


def test_the_lab_file_is_valid(own_folder):
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    Path("own.toml").write_text(text, encoding="utf-8")
    source = load_lab("own.toml").knowledge_bases["caltech"]
    assert dict(source.items) == {"image": "caltech101:train"}


def test_columns_sources_and_findings_are_all_there():
    for name in (*COLUMNS, *PROVENANCES, FORMAT):
        assert f"`{name}`" in PAGE, name
    for kind in set(get_args(FindingKind)) - {"unrepaired"}:
        assert f"| `{kind}` |" in PAGE, kind


def test_knobs_have_the_values_of_the_lab():
    source = load_lab("mini").knowledge_bases["kb"]
    values = {"world": source.n_sentences, "scenes": source.n_scenes, **dict(source.errors)}
    assert set(values) == set(WorldDescriptions.model_fields)
    for key, value in values.items():
        cell = str(value).lower() if isinstance(value, bool | int) else f"`{value}`"
        assert re.search(rf"^\| `{key}` \| .* \| {re.escape(cell)} \|$", PAGE, re.MULTILINE), key
    knobs = {field.name: field.default for field in dataclasses.fields(Describer)}
    assert {**knobs, **dict(source.errors)} == knobs
