"""Folders of embeddings, written in each format, and embedded with."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.numpy
import safetensors.torch

from reactions.core.file_digests import DigestCache
from reactions.core.types import Encoder, Item, SpaceSpec
from reactions.encoders.precomputed.adapter import PrecomputedAdapter

N, DIM = 7, 4
FORMATS = ("npy", "safetensors", "parquet")


def rows(seed: int = 0, n: int = N, dim: int = DIM) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)


def write(
    folder: Path, modality: str, x: np.ndarray, suffix: str = "npy", ids: list[str] | None = None
) -> Path:
    """Write embeddings in one format, ids in that format's own place (npy: a sidecar)."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{modality}.{suffix}"
    if suffix == "npy":
        np.save(path, x)
        if ids is not None:
            (folder / f"{modality}.ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    elif suffix == "safetensors":
        metadata = None if ids is None else {"ids": json.dumps(ids)}
        safetensors.numpy.save_file({"e": np.ascontiguousarray(x)}, path, metadata)
    else:
        columns = {"embedding": list(x)} | ({} if ids is None else {"id": ids})
        pq.write_table(pa.table(columns), path, row_group_size=3)
    return path


def unit(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


def resolve(folder: Path | str, digest_cache: DigestCache | None = None) -> SpaceSpec:
    # Remembered nowhere by default: the machine's cache of a test may lie in the same folder.
    digests = digest_cache or DigestCache()
    return PrecomputedAdapter().resolve(str(folder), digest_cache=digests)


def load(spec: SpaceSpec) -> Encoder:
    return PrecomputedAdapter().load(spec)


def embed(folder: Path, modality: str, ids: list[str]) -> np.ndarray:
    return load(resolve(folder)).embed(modality, [Item(id, modality, None) for id in ids])
