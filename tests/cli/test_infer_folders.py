"""``infer`` and Python's ``embed`` in folders of embeddings: only ids of the input count."""

import io
import json
import sys

import numpy as np
import pytest
from embedding_folder import load, resolve

from molspace_cli.__main__ import main
from reactions.core.errors import DataError
from reactions.core.types import Item, Leaf
from reactions.encoders import registry
from reactions.inference.embedder import Embedder
from reactions.products.target import Target


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run in a folder whose space has row numbers as ids, as pandas writes them."""
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    (tmp_path / "toy").mkdir()
    for modality in ("image", "text"):
        np.save(tmp_path / "toy" / f"{modality}.npy", rows)
        (tmp_path / "toy" / f"{modality}.ids.json").write_text("[0, 1, 2]")
    (tmp_path / "molspace.toml").write_text('[spaces.toy]\npath = "toy"\n')
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: str = ""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        monkeypatch.setattr(
            sys, "argv", ["molspace", "infer", "--space", "toy", "--format", "jsonl", *arguments]
        )
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


def line(**values) -> str:
    return json.dumps(values) + "\n"


@pytest.mark.parametrize(
    "arguments",
    [("a penguin",), ("quantum chromodynamics",), ("0",), ("1", "2"), ('{"text": "rain"}',)],
)
def test_texts_as_arguments_are_not_ids(run, arguments):
    code, out, err = run(*arguments)
    assert (code, out) == (4, "")
    assert "no id to look text up by in space 'toy'" in err


@pytest.mark.parametrize("stdin", ["a penguin\n", "0\n", line(text="0"), "\n\n1\n"])
def test_lines_without_an_id_are_skipped(run, stdin):
    code, out, err = run(stdin=stdin + line(id="1", text="rain"))
    assert code == 4
    assert [json.loads(row)["id"] for row in out.splitlines()] == ["1"]
    assert "no id to look text up by" in err


def test_a_file_is_not_its_row(run, tmp_path):
    (tmp_path / "0.png").write_bytes(b"no picture")
    for arguments in (["0.png"], [line(image="0.png")]):
        code, out, err = run(*arguments)
        assert (code, out) == (4, "")
        assert err


@pytest.mark.parametrize(
    "query",
    [
        line(id="2", text="whatever"),
        line(id=2, modality="text"),
        line(id="2", image="/nowhere/gone.png"),
        line(id="2", modality="image", path="gone.png", digest="0" * 64),
    ],
)
def test_ids_of_the_input_are_looked_up_and_nothing_is_read(run, query):
    code, out, err = run(stdin=query)
    assert code == 0, err
    expected = np.load("toy/text.npy")[2]
    embedding = json.loads(out)["embedding"]
    np.testing.assert_allclose(embedding, expected / np.linalg.norm(expected), atol=1e-6)
    assert "image and text items are looked up by the ids that the input gives" in err


def test_python_takes_items_with_ids_and_nothing_else(tmp_path, run):
    from reactions.api.arguments import items_of

    spec = resolve(tmp_path / "toy")
    embedder = Embedder(
        Target("toy", Leaf(spec), ""),
        load_encoder=lambda spec, device: registry.load(spec, device),
        device="cpu",
    )
    for value in ("nonsense.png", np.zeros((2, 2, 3), np.uint8)):
        with pytest.raises(DataError, match="no id to look image up by"):
            embedder.embed("image", items_of("image", [value], embedder.by_id))
    with pytest.raises(DataError, match="no id to look text up by"):
        embedder.embed("text", items_of("text", ["a penguin"], embedder.by_id))
    rows = embedder.embed("text", items_of("text", [Item("2", "text", None)], embedder.by_id))
    np.testing.assert_array_equal(rows, load(spec).embed("text", [Item("2", "text", "x")]))
