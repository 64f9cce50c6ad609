"""What ``infer`` writes is a space: rows come back by modality and id, from every format."""

import json
from pathlib import Path

import numpy as np
import pytest
from embedding_folder import load, resolve

from reactions.core.errors import DataError
from reactions.core.types import Item, Leaf, SpaceSpec
from reactions.encoders.precomputed import corpora, infer_outputs
from reactions.inference.outputs import FORMATS
from reactions.inference.writers import describe, open_writer
from reactions.products.target import Target

DIM = 6
ITEMS = [
    Item("b", "text", "x"),
    Item("photo.png", "image", None),
    Item("a", "text", "y"),
    Item("日本", "image", None),
    Item("a", "audio", None),
]
ROWS = np.random.default_rng(0).normal(size=(len(ITEMS), DIM)).astype(np.float32)
UNIT = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)


def write(path: Path, items: list[Item] = ITEMS, rows: np.ndarray = ROWS) -> Path:
    spec = SpaceSpec("s", rows.shape[1], ("audio", "image", "text"), "fake", "s")
    about = describe(Target("s", Leaf(spec), "own"))
    path.parent.mkdir(exist_ok=True)
    with open_writer(path, path.suffix[1:], about) as writer:
        writer.write(items, rows)
    return path


def items_of(spec: SpaceSpec, modality: str) -> list[str]:
    corpus = corpora.corpus(spec, modality)
    return [item.id for item in corpus.items(0, len(corpus))]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("stem", ["embeddings", "mine", "text"])
def test_outputs_round_trip_by_modality(format: str, stem: str, tmp_path: Path) -> None:
    write(tmp_path / "set" / f"{stem}.{format}")
    spec = resolve(tmp_path / "set")
    assert (spec.name, spec.dim, spec.modalities) == ("set", DIM, ("audio", "image", "text"))
    assert {m: items_of(spec, m) for m in spec.modalities} == {
        "audio": ["a"],
        "image": ["photo.png", "日本"],
        "text": ["b", "a"],
    }
    encoder = load(spec)
    for item, row in zip(ITEMS, UNIT, strict=True):
        actual = encoder.embed(item.modality, [item])
        np.testing.assert_allclose(actual, row[None], atol=1e-6)
    actual = encoder.embed("text", [ITEMS[2], ITEMS[0], ITEMS[2]])
    np.testing.assert_allclose(actual, UNIT[[2, 0, 2]], atol=1e-6)


@pytest.mark.parametrize("format", FORMATS)
def test_outputs_of_two_models_pair_by_id(format: str, tmp_path: Path) -> None:
    write(tmp_path / "one" / f"embeddings.{format}")
    order = [4, 2, 0, 3, 1]
    write(tmp_path / "two" / f"embeddings.{format}", [ITEMS[i] for i in order], ROWS[order] * 2)
    specs = [resolve(tmp_path / name) for name in ("one", "two")]
    corpus = corpora.common_corpus(specs, "text")
    assert corpus.notices == ()
    left, right = (load(spec).embed("text", corpus.items(0, len(corpus))) for spec in specs)
    np.testing.assert_allclose(left, right, atol=1e-6)


def test_an_output_for_each_modality(tmp_path: Path) -> None:
    write(tmp_path / "s" / "first.safetensors", [ITEMS[0], ITEMS[2]], ROWS[[0, 2]])
    write(tmp_path / "s" / "second.npy", [ITEMS[1]], ROWS[[1]])
    np.save(tmp_path / "s" / "audio.npy", ROWS)
    spec = resolve(tmp_path / "s")
    assert spec.modalities == ("audio", "image", "text")
    assert items_of(spec, "text") == ["b", "a"]
    write(tmp_path / "s" / "third.jsonl", [ITEMS[1]], ROWS[[1]])
    with pytest.raises(DataError, match="two files of image"):
        resolve(tmp_path / "s")


@pytest.mark.parametrize("format", ["npy", "safetensors"])
def test_items_that_are_missing_or_of_another_run(format: str, tmp_path: Path) -> None:
    path = write(tmp_path / "s" / f"text.{format}")
    items = path.with_name("text.items.jsonl")
    original = items.read_text(encoding="utf-8")
    items.write_text(original.replace('"b"', '"c"'), encoding="utf-8")
    with pytest.raises(DataError, match="does not belong to"):
        resolve(path.parent)
    items.write_text("".join(original.splitlines(keepends=True)[:-1]), encoding="utf-8")
    with pytest.raises(DataError, match="4 items for 5 embeddings"):
        resolve(path.parent)
    items.unlink()
    with pytest.raises(DataError, match=r"the items of .* are missing") as caught:
        resolve(path.parent)
    assert "text.items.jsonl" in caught.value.why
    items.write_text(original, encoding="utf-8")
    path.unlink()
    with pytest.raises(DataError, match="embeddings that are not there"):
        resolve(path.parent)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "cannot read line 1"),
        ("[]", "not a JSON object"),
        ('{"row": 0, "id": 3, "modality": "text"}', "it needs an 'id'"),
        ('{"row": 0, "id": "a"}', "it needs an 'id'"),
        ('{"row": 7, "id": "a", "modality": "text"}', "its row is 7"),
        ("", "it is empty"),
    ],
)
def test_damaged_items(line: str, words: str, tmp_path: Path) -> None:
    path = write(tmp_path / "s" / "e.npy")
    path.with_name("e.items.jsonl").write_text(line)
    with pytest.raises(DataError) as caught:
        resolve(path.parent)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("embedding", "words"),
    [("[1]", "line 2 is 1 wide"), ('["a", 2]', "not a list of numbers"), ("null", "not a list")],
)
def test_damaged_lines(embedding: str, words: str, tmp_path: Path) -> None:
    line = '{"id": "a", "modality": "text", "embedding": [1, 2]}\n'
    (tmp_path / "e.jsonl").write_text(line + line.replace("[1, 2]", embedding))
    with pytest.raises(DataError) as caught:
        resolve(tmp_path)
    assert words in str(caught.value)


def test_large_files_of_items_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "s" / "e.npy")
    monkeypatch.setattr(infer_outputs, "MAX_ITEMS_BYTES", 100)
    with pytest.raises(DataError, match="too large"):
        resolve(path.parent)


def test_repeated_ids_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "s" / "e.npy", [ITEMS[0], ITEMS[0]], ROWS[:2])
    with pytest.raises(DataError, match="repeats 1 of its text ids"):
        corpora.corpus(resolve(path.parent), "text")


def test_other_json_lines_are_no_embeddings(tmp_path: Path) -> None:
    write(tmp_path / "s" / "e.npy")
    (tmp_path / "s" / "manifest.jsonl").write_text(json.dumps({"id": "a", "text": "x"}))
    assert len(resolve(tmp_path / "s").modalities) == 3


@pytest.mark.parametrize("stem", ["embeddings", "features", "data", "vectors", "X", "train"])
@pytest.mark.parametrize("suffix", ["npy", "parquet"])
def test_names_that_tell_no_modality_are_refused(stem: str, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"{stem}.{suffix}").write_bytes(b"")
    with pytest.raises(DataError, match="cannot tell the modality") as caught:
        resolve(tmp_path)
    assert "<modality>.npy" in caught.value.fix


@pytest.mark.parametrize("format", FORMATS)
def test_numbers_of_lines_are_no_ids(format: str, tmp_path: Path) -> None:
    lines = [Item(str(n + 1), "text", "x", own_id=False) for n in range(len(ROWS))]
    write(tmp_path / "set" / f"mine.{format}", lines)
    write(tmp_path / "other" / "mine.npy", lines)
    specs = [resolve(tmp_path / name) for name in ("set", "other")]
    corpus = corpora.common_corpus(specs, "text")
    # By their order from 0, as rows without ids are, and that is said.
    assert [item.id for item in corpus.items(0, 9)] == ["0", "1", "2", "3", "4"]
    (notice,) = corpus.notices
    assert "'set' and 'other' are paired by their numbers" in notice


@pytest.mark.parametrize("format", FORMATS)
def test_ids_beside_numbers_of_lines_are_refused(format: str, tmp_path: Path) -> None:
    items = [Item("rain", "text", "x"), Item("2", "text", "y", own_id=False)]
    write(tmp_path / "set" / f"mine.{format}", items, ROWS[:2])
    with pytest.raises(DataError, match=r"1 of 2 text items in .* have no id of their own"):
        items_of(resolve(tmp_path / "set"), "text")


def test_ids_that_are_numbers_by_choice_stay_ids(tmp_path: Path) -> None:
    items = [Item(str(7 - n), "text", "x") for n in range(len(ROWS))]
    write(tmp_path / "set" / "mine.safetensors", items)
    assert items_of(resolve(tmp_path / "set"), "text") == ["7", "6", "5", "4", "3"]
