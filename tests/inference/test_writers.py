"""Files of embeddings: what others read from them, and that they are whole or not there."""

import errno
import hashlib
import io
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file

from reactions.core.errors import StoreError, UsageError
from reactions.core.types import Expert, Fusion, Item, Leaf, SpaceSpec
from reactions.inference.outputs import (
    FORMATS,
    choose_output,
    files_of,
    refuse_overwriting,
    refuse_replacing,
)
from reactions.inference.writers import describe, json_lines, open_writer
from reactions.products.target import Target
from reactions.products.tree import Adjustment

OF_FILES = [name for name in FORMATS if name != "lance"]  # a folder: test_lance_writer.py

BASE = Leaf(SpaceSpec("A", 3, ("image", "text"), "toy", ""))
CLAP = Leaf(SpaceSpec("B", 2, ("audio", "text"), "toy", ""))
PRODUCT = Fusion("cr", BASE, (Expert(CLAP, 1.0, (("text", 0.1),)),))
TARGET = Target("A + Cr(B)", PRODUCT, "mini")
ABOUT = describe(TARGET, Adjustment(sigma={"": 0.25}))
ITEMS = [Item("ä\n東", "text", "x"), Item('q"\\', "image", None), Item("1", "text", "y")]
ROWS = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)


def write(path: Path, format: str, n: int = 3) -> None:
    with open_writer(path, format, ABOUT) as writer:
        for i in range(n):
            writer.write([ITEMS[i % 3]], ROWS[[i % 3]])


def load(path: Path, format: str) -> np.ndarray:
    if format == "npy":
        return np.load(path, mmap_mode="r")
    if format == "safetensors":
        return load_file(path)["embeddings"]
    if format == "parquet":
        table = pytest.importorskip("pyarrow.parquet").read_table(path)
        return np.array(table.column("embedding").to_pylist(), np.float32)
    embeddings = [json.loads(line)["embedding"] for line in path.read_text("utf-8").splitlines()]
    return np.array(embeddings, np.float32)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("format", OF_FILES)
def test_rows_come_back_exactly(tmp_path, format):
    path = tmp_path / f"emb.{format}"
    write(path, format)
    rows = load(path, format)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows, ROWS)
    assert names(tmp_path) == sorted(file.name for file in files_of(path, format))


@pytest.mark.parametrize("format", ["safetensors", "npy"])
def test_the_sidecar_names_each_row_and_the_facts_name_the_sidecar(tmp_path, format):
    path = tmp_path / f"emb.{format}"
    write(path, format)
    sidecar = (tmp_path / "emb.items.jsonl").read_bytes()
    assert [json.loads(line) for line in sidecar.split(b"\n")[:-1]] == [
        {"row": row, "id": item.id, "modality": item.modality} for row, item in enumerate(ITEMS)
    ]
    if format == "npy":
        facts = json.loads((tmp_path / "emb.json").read_text("utf-8"))
        assert (facts["n"], facts["dim"]) == (3, 3)
        factors = facts["factors"]
    else:
        with safe_open(path, "numpy") as file:
            facts = file.metadata()
        assert facts["dim"] == "3"
        factors = json.loads(facts["factors"])
    assert factors == {"sigma B": {"text": 0.25}}
    assert facts["format"] == "molspace-embeddings-1"
    assert (facts["lab"], facts["expression"]) == ("mini", "A + Cr(B)")
    assert facts["items"] == "emb.items.jsonl"
    assert facts["items_sha256"] == hashlib.sha256(sidecar).hexdigest()


def test_files_say_which_means_are_rescaled():
    experts = tuple(
        Expert(Leaf(replace(CLAP.spec, name=name)), 0.5, (("text", 0.1),)) for name in "BC"
    )
    product = Fusion("cr", BASE, experts, "unit")
    assert describe(Target("x", product, "mini"))["means"] == {"B & C": "unit"}
    assert "means" not in describe(Target("x", replace(product, mean="eq10"), "mini"))


def test_rows_are_aligned(tmp_path):
    write(tmp_path / "emb.safetensors", "safetensors")
    head = (tmp_path / "emb.safetensors").read_bytes()[:8]
    assert int.from_bytes(head, "little") % 8 == 0


@settings(max_examples=40)
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1), st.text())
def test_json_lines_bring_every_float_and_id_back(numbers, item_id):
    item_id = item_id.encode(errors="replace").decode()
    row = np.array([numbers], np.float32)
    data = json_lines([Item(item_id, "text", "")], row, "mini")
    assert data.count(b"\n") == 1
    record = json.loads(data)
    assert (record["id"], record["modality"], record["lab"]) == (item_id, "text", "mini")
    np.testing.assert_array_equal(np.array(record["embedding"], np.float32), row[0])


def test_lines_go_to_stdout_batch_by_batch():
    stream = io.BytesIO()
    with open_writer(None, "jsonl", ABOUT, stdout=stream) as writer:
        writer.write(ITEMS[:2], ROWS[:2])
        assert stream.getvalue().count(b"\n") == 2
    assert not stream.closed
    with pytest.raises(StoreError, match="stdout"):
        open_writer(None, "jsonl", ABOUT, stdout=None)


@pytest.mark.parametrize("format", OF_FILES)
def test_what_appears_meanwhile_is_not_replaced(tmp_path, format):
    files = files_of(tmp_path / f"emb.{format}", format)
    writer = open_writer(files[0], format, ABOUT, overwrite=False)
    writer.write(ITEMS, ROWS)
    files[-1].write_text("of another run")
    with pytest.raises(UsageError, match="already exists"):
        writer.__exit__(None, None, None)
    assert names(tmp_path) == [files[-1].name]
    assert files[-1].read_text() == "of another run"


@pytest.mark.parametrize("format", OF_FILES)
@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, None])
def test_failed_or_empty_leaves_the_old_file_alone(tmp_path, format, failure):
    path = tmp_path / f"emb.{format}"
    write(path, format)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}

    def attempt():
        with open_writer(path, format, ABOUT) as writer:
            if failure:
                writer.write(ITEMS, ROWS * 2)
                raise failure

    if failure:
        with pytest.raises(failure):
            attempt()
    else:
        attempt()
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == before


@pytest.mark.parametrize("format", OF_FILES)
@pytest.mark.parametrize("at", ["write", "fsync"])
def test_a_full_disk_is_told_and_nothing_stays(tmp_path, format, at, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / f"emb.{format}"
    writer = open_writer(path, format, ABOUT)
    if at == "fsync":
        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="no space left"), writer:
            writer.write(ITEMS, ROWS)
    else:
        monkeypatch.setattr(writer, "_write", full)
        with pytest.raises(StoreError, match="no space left"), writer:
            writer.write(ITEMS, ROWS)
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_is_not_replaced_by_a_file():
    with pytest.raises(StoreError, match="device"):
        open_writer(Path("/dev/full"), "npy", ABOUT)
    assert not Path("/dev/full").is_file()


def test_paths_that_cannot_be_written(tmp_path):
    with pytest.raises(StoreError, match="there is no folder"):
        open_writer(tmp_path / "none" / "emb.npy", "npy", ABOUT)
    with pytest.raises(StoreError, match="it is a folder"):
        open_writer(tmp_path, "npy", ABOUT)
    (tmp_path / "emb.items.jsonl").mkdir()
    with pytest.raises(StoreError, match="it is a folder"):
        open_writer(tmp_path / "emb.npy", "npy", ABOUT)
    with pytest.raises(StoreError, match="too long"):
        open_writer(tmp_path / ("n" * 300 + ".npy"), "npy", ABOUT)
    assert names(tmp_path) == ["emb.items.jsonl"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real.npy").write_bytes(b"old")
    (tmp_path / "emb.npy").symlink_to("real.npy")
    write(tmp_path / "emb.npy", "npy")
    assert (tmp_path / "emb.npy").is_symlink()
    np.testing.assert_array_equal(np.load(tmp_path / "real.npy"), ROWS)


@pytest.mark.parametrize("format", OF_FILES)
def test_memory_does_not_grow_with_rows(tmp_path, format, monkeypatch):
    import tracemalloc

    def peak_bytes(n: int) -> int:
        tracemalloc.start()
        write(tmp_path / f"emb.{format}", format, n)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    if format == "parquet":  # holds a row group
        monkeypatch.setattr("reactions.inference.parquet_writer.GROUP_ROWS", 100)
    peak_bytes(10)
    # 2,000 rows of items and numbers would be over 200 kB if they were held.
    assert peak_bytes(2000) < peak_bytes(20) + 80_000


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.ENOSPC, StoreError), (errno.EPIPE, BrokenPipeError)]
)
def test_stdout_on_a_full_disk_and_a_closed_pipe(number, raised):
    class Broken(io.BytesIO):
        def flush(self):
            raise OSError(number, os.strerror(number))

    with pytest.raises(raised), open_writer(None, "jsonl", ABOUT, stdout=Broken()) as writer:
        writer.write(ITEMS, ROWS)


# --- choosing ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("out", "format", "expected"),
    [
        (None, None, (Path("embeddings.safetensors"), "safetensors")),
        (None, "npy", (Path("embeddings.npy"), "npy")),
        (None, "jsonl", (None, "jsonl")),
        ("-", None, (None, "jsonl")),
        ("a/b.NPY", None, (Path("a/b.NPY"), "npy")),
        ("b.jsonl", "jsonl", (Path("b.jsonl"), "jsonl")),
        ("b.bin", "npy", (Path("b.bin"), "npy")),
    ],
)
def test_output(out, format, expected):
    assert choose_output(None if out is None else Path(out), format) == expected


@pytest.mark.parametrize(
    ("out", "format", "message"),
    [
        ("b.bin", None, "cannot tell the format"),
        ("b", None, "cannot tell the format"),
        ("-", "npy", "stdout"),
        ("b.npy", "jsonl", "contradicts"),
    ],
)
def test_no_output(out, format, message):
    with pytest.raises(UsageError, match=message):
        choose_output(Path(out), format)


def test_the_files_of_an_odd_name_are_distinct():
    assert [p.name for p in files_of(Path("x/e.json"), "npy")] == [
        "e.json",
        "e.json.items.jsonl",
        "e.json.json",
    ]
    assert [p.name for p in files_of(Path("e.NPY"), "npy")] == ["e.NPY", "e.items.jsonl", "e.json"]


def test_an_input_is_not_overwritten(tmp_path):
    items = tmp_path / "emb.items.jsonl"
    items.write_text("rain")
    files = files_of(tmp_path / "emb.npy", "npy")
    refuse_overwriting(files, ["a text", "n" * 5000, "\0"], io.BytesIO())
    with pytest.raises(UsageError, match="is an input"):
        refuse_overwriting(files, ["a text", str(items)])
    with items.open("rb") as stdin, pytest.raises(UsageError, match="is an input"):
        refuse_overwriting(files, [], stdin)


def test_nothing_that_is_there_is_replaced(tmp_path):
    files = files_of(tmp_path / "emb.npy", "npy")
    refuse_replacing(files)
    for file in files:  # also another program's emb.json
        file.write_text("mine")
        with pytest.raises(UsageError, match=f"'{file}' already exists\n  fix: --overwrite"):
            refuse_replacing(files)
        file.unlink()
    (tmp_path / "emb.npy").symlink_to("nowhere")
    with pytest.raises(UsageError, match="already exists"):
        refuse_replacing(files)
