"""Damaged files of embeddings and ids are read or refused: no traceback, hang or gigabytes."""

import io
import json
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
import torch
from embedding_folder import load, resolve
from fuzzing import fuzz, mutated, usable_or_refused
from hypothesis import given
from hypothesis import strategies as st
from media_files import put_tar

from reactions.core.errors import MolspaceError
from reactions.core.types import Item
from reactions.encoders.precomputed import corpora
from reactions.encoders.precomputed.folder import unread_files
from reactions.weights.safe_load import read_tensors

N = 4
X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
IDS = ["a", "b", "c", "d"]
FACTS = {"format": "molspace-embeddings-1", "items": "e.items.jsonl", "n": str(N)}
ITEMS = "".join(
    json.dumps({"row": row, "id": id, "modality": "text"}) + "\n" for row, id in enumerate(IDS)
)


def bytes_of(write) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


def npy(values: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


def parquet(**options) -> bytes:
    table = pa.table({"embedding": list(X), "id": IDS, "caption": ["x"] * N})
    return bytes_of(lambda path: pq.write_table(table, path, **options))


def tar() -> bytes:
    return bytes_of(lambda path: put_tar(path, {f"{id}.npy": npy(X[0]) for id in IDS}))


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, X)
    return stream.getvalue()


TENSORS = {"embeddings": X, "ids": np.arange(N)}
NPY, NPZ, IDS_NPY = npy(X), npz(), npy(np.array(IDS))
SAFETENSORS = bytes_of(lambda path: safetensors.numpy.save_file(TENSORS, path, {"format": "np"}))
OUTPUT = bytes_of(lambda path: safetensors.numpy.save_file({"embeddings": X}, path, FACTS))
LINES = "".join(
    json.dumps({"id": id, "modality": "text", "embedding": row.tolist()}) + "\n"
    for id, row in zip(IDS, X, strict=True)
).encode()
INFO = json.dumps({"name": "X", "hub": "text", "revision": "1", "licence": "MIT"}).encode()
CHECKPOINT = bytes_of(lambda path: torch.save({"a": torch.ones(2, 3), "b": torch.arange(4)}, path))
LEGACY = bytes_of(
    lambda path: torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
)


def used(files: dict[str, bytes]) -> object:
    """Do all that is done with a space, for every modality and row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, data in files.items():
            (folder / file).write_bytes(data)

        def use() -> int:
            spec = resolve(folder)
            unread_files(spec)
            encoder = load(spec)
            n = 0
            for modality in spec.modalities:
                corpus = corpora.common_corpus([spec], modality)
                items = corpus.items(0, min(len(corpus), 100))
                rows = encoder.embed(modality, items)
                assert rows.shape == (len(items), spec.dim)
                assert np.isfinite(rows).all()
                np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)
                n += len(items)
            return n

        return usable_or_refused(use)


KINDS = {
    "npy": ("text.npy", NPY, {}),
    "npz as npy": ("text.npy", NPZ, {}),
    "ids.npy": ("text.ids.npy", IDS_NPY, {"text.npy": NPY}),
    "ids.txt": ("text.ids.txt", b"a\nb\nc\nd\n", {"text.npy": NPY}),
    "ids.json": ("text.ids.json", b'["a", "b", 3, "d"]', {"text.npy": NPY}),
    "safetensors": ("text.safetensors", SAFETENSORS, {}),
    "output": ("e.safetensors", OUTPUT, {"e.items.jsonl": ITEMS.encode()}),
    "items": ("e.items.jsonl", ITEMS.encode(), {"e.safetensors": OUTPUT}),
    "facts": (
        "e.json",
        json.dumps(FACTS).encode(),
        {"e.npy": NPY, "e.items.jsonl": ITEMS.encode()},
    ),
    "jsonl": ("e.jsonl", LINES, {}),
    "parquet": ("text.parquet", parquet(), {}),
    "parquet zstd": ("text.parquet", parquet(compression="zstd", row_group_size=2), {}),
    "parquet plain": ("text.parquet", parquet(compression="none", use_dictionary=False), {}),
    "tar": ("text.tar", tar(), {}),
    "space.json": ("space.json", INFO, {"text.npy": NPY}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_good_files_are_used(kind: str) -> None:
    name, data, others = KINDS[kind]
    n_used = used({name: data, **others})
    assert n_used == N or kind == "npz as npy"


@pytest.mark.parametrize("kind", KINDS)
@fuzz
@given(st.data())
def test_damaged_files_are_used_or_refused(kind: str, data: st.DataObject) -> None:
    name, good, others = KINDS[kind]
    # The head of parquet is at its end.
    n_head = len(good) if kind.startswith("parquet") else 256
    used({name: data.draw(mutated(good, n_head)), **others})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@fuzz
@given(
    st.sampled_from(["space.json", "text.ids.json", "e.items.jsonl", "e.jsonl"]), _JSON, st.data()
)
def test_any_json_is_used_or_refused(name: str, value: object, data: st.DataObject) -> None:
    keys = ("name", "hub", "id", "modality", "row", "embedding", "ids")
    if isinstance(value, dict):
        value = {**dict.fromkeys(data.draw(st.lists(st.sampled_from(keys))), value), **value}
    text = json.dumps(value).encode()
    used({name: text, "e.npy" if name.startswith("e.items") else "text.npy": NPY})


@fuzz
@given(
    st.text(min_size=1, max_size=40).filter(lambda s: "/" not in s and "\0" not in s), st.booleans()
)
def test_any_name_of_a_file_is_used_or_refused(name: str, is_ids: bool) -> None:
    try:
        data = {f"{name}.{'ids.txt' if is_ids else 'npy'}": b"a\nb\nc\nd" if is_ids else NPY}
        used({**data, **({"text.npy": NPY} if is_ids else {})})
    except (OSError, UnicodeEncodeError):
        pass  # the file system holds no such name


@pytest.mark.parametrize("good", [CHECKPOINT, LEGACY], ids=["zip", "legacy"])
@fuzz
@given(st.data())
def test_damaged_checkpoints_are_read_or_refused(good: bytes, data: st.DataObject) -> None:
    mutant = data.draw(mutated(good, 400))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt"
        path.write_bytes(mutant)
        outcome = usable_or_refused(lambda: read_tensors(path))
        if not isinstance(outcome, MolspaceError):
            assert sum(tensor.nbytes for tensor in outcome.values()) < 1 << 26


def test_items_are_looked_up_after_damage_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "text.npy").write_bytes(NPY)
    (tmp_path / "audio.npy").write_bytes(NPY[:-1])
    with pytest.raises(MolspaceError, match=r"audio\.npy"):
        resolve(tmp_path)
    (tmp_path / "audio.npy").unlink()
    encoder = load(resolve(tmp_path))
    assert encoder.embed("text", [Item("0", "text", None)]).shape == (1, 3)
