"""docs/embeddings.md says what is written: its code is run on what the writers make."""

import json
import re
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from reactions.core.types import Item, Leaf, SpaceSpec
from reactions.inference.outputs import FORMATS
from reactions.inference.writers import describe, open_writer
from reactions.products.target import Target

TEXT = (Path(__file__).parents[2] / "docs" / "embeddings.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
TARGET = Target("A", Leaf(SpaceSpec("A", 2, ("audio", "text"), "toy", "")), "mini")
ITEMS = [Item("rain", "audio", None), Item("2", "text", "a low hum")]
ROWS = np.array([[0.6, 0.8], [1.0, 0.0]], np.float32)


@pytest.mark.parametrize("format", FORMATS)
def test_the_code_for_each_format_reads_it(format, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open_writer(Path(f"emb.{format}"), format, describe(TARGET)) as writer:
        writer.write(ITEMS, ROWS)
    [code] = [code for code in SNIPPETS if f'"emb.{format}"' in code]
    names: dict = {}
    exec(code, names)
    np.testing.assert_array_equal(names["rows"], ROWS)
    assert [(item["id"], item["modality"]) for item in names["items"]] == [
        ("rain", "audio"),
        ("2", "text"),
    ]
    if format == "jsonl":
        return
    # Every fact is in a table, and the format's name is that of the file.
    assert f"`{names['facts']['format']}`" in TEXT
    for key in names["facts"]:
        assert f"`{key}`" in TEXT


def test_the_code_for_compare_reads_it(monkeypatch):
    [code] = [code for code in SNIPPETS if "subprocess" in code]
    printed = json.dumps({"tables": [{"cosines": [[0.5]]}]})
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: SimpleNamespace(stdout=printed))
    names: dict = {}
    exec(code, names)
    assert names["table"] == [[0.5]]
