"""Queries and keys that are hard on the arithmetic of a soft retrieval, and its definition."""

import numpy as np

N, M = 60, 1200
NOISE = "isotropic noise"
NAMES = [
    "near duplicates",
    "duplicates",
    "one dominating key",
    "clusters tighter than the temperature",
    "one tight cluster",
    "opposite",
    NOISE,
]


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def near(rows, distance, rng):
    return unit(rows + distance * rng.normal(size=rows.shape) / rows.shape[1] ** 0.5)


def hard(name, d):
    """Return queries and keys."""
    rng = np.random.default_rng(0)
    noise = unit(rng.normal(size=(M, d)))
    clustered = unit(noise[rng.integers(0, 7, M)] + 0.5 * noise + 0.5 / d**0.5)
    any_row = rng.integers(0, M, N)
    if name == "near duplicates":
        clustered[M // 2 :] = near(clustered[: M // 2], 1e-3, rng)
    elif name == "duplicates":
        clustered[M // 2 :] = clustered[: M // 2]
    elif name == "one dominating key":
        return near(noise[any_row], 0.01, rng), noise
    elif name == "clusters tighter than the temperature":
        centres = np.arange(M) // 30
        return near(noise[centres[any_row]], 0.03, rng), near(noise[centres], 0.03, rng)
    elif name == "one tight cluster":
        return near(noise[np.zeros(N, int)], 0.01, rng), near(noise[np.zeros(M, int)], 0.01, rng)
    elif name == "opposite":
        return near(clustered[any_row], 0.3, rng), -clustered
    elif name == NOISE:
        return unit(rng.normal(size=(N, d))), noise
    return near(clustered[any_row], 0.3, rng), clustered


def reference(q, k, v, temperature):
    logits = unit(q) @ unit(k).T / temperature
    return unit(np.exp(logits - logits.max(axis=1, keepdims=True)) @ unit(v))
