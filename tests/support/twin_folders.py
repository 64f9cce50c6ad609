"""Folders of embeddings of one seeded world: two spaces that see the same items differently."""

import hashlib
import json
from pathlib import Path

import numpy as np


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def write_space(folder: Path, embeddings, ids) -> Path:
    """Write {modality: rows} with one list of ids."""
    folder.mkdir(parents=True)
    for modality, rows in embeddings.items():
        np.save(folder / f"{modality}.npy", rows.astype(np.float32))
        (folder / f"{modality}.ids.json").write_text(json.dumps(list(ids)), encoding="utf-8")
    return folder


def twins(n, *, noise, means=0.0, dims=(48, 64), latent=24, seed=0):
    """Return the embeddings of n items, image and text, in two spaces.

    Args:
        n: items.
        noise: of each space, relative to what it sees.
        means: length of each modality's mean in each space: how far apart the cones are.
        dims: widths.
        latent: what there is to be seen.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(n, latent))
    spaces = []
    for dim, spread in zip(dims, noise, strict=True):
        view = rng.normal(size=(latent, dim)) / np.sqrt(latent)
        space = {}
        for modality in ("image", "text"):
            rows = unit(latents @ view + spread * rng.normal(size=(n, dim)))
            space[modality] = unit(rows + means * unit(rng.normal(size=dim)))
        spaces.append(space)
    return spaces


def ids(n):
    return [f"item-{k:05d}" for k in range(n)]


def is_held(id, seed, share):
    """The rule by which items are held back, written anew."""
    blake = hashlib.blake2b(f"molspace:holdout\n{seed}\n{id}".encode(), digest_size=8)
    return int(blake.hexdigest(), 16) < share * 2**64
