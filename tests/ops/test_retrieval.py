import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.errors import DimensionMismatch
from reactions.ops.retrieval import soft_retrieve


def clustered(n: int, d: int, seed: int, gap: float = 0.5) -> np.ndarray:
    """Unit rows around a few centres with a common offset, as encoders give."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(7, d))
    rows = centres[rng.integers(0, 7, n)] + 0.5 * rng.normal(size=(n, d)) + gap
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, temperature: float) -> np.ndarray:
    logits = q.astype(np.float64) @ k.astype(np.float64).T / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean = weights @ v.astype(np.float64) / weights.sum(axis=1, keepdims=True)
    return mean / np.linalg.norm(mean, axis=1, keepdims=True)


@given(
    n=st.integers(1, 40),
    m=st.integers(1, 60),
    d=st.integers(1, 17),
    query_rows=st.integers(1, 50),
    key_rows=st.integers(1, 70),
    temperature=st.sampled_from([0.01, 0.05, 1.0]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_streamed_matches_float64(n, m, d, query_rows, key_rows, temperature, seed):
    q, k = clustered(n, d, seed), clustered(m, d, seed + 1)
    values = [k, clustered(m, 5, seed + 2)]
    found = soft_retrieve(
        q, k, values, temperature=temperature, query_rows=query_rows, key_rows=key_rows
    )
    for value, out in zip(values, found, strict=True):
        # fp32 logits of up to 100 carry an absolute error near 1e-5, so weights near 1e-5.
        np.testing.assert_allclose(out, reference(q, k, value, temperature), atol=2e-4)


def test_rows_have_unit_norm_and_queries_find_themselves():
    k = clustered(50, 16, 3, gap=0.0)
    (out,) = soft_retrieve(k, k, [k], temperature=0.001)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(out, k, atol=1e-3)


def test_temperature_matters():
    q, k = clustered(8, 12, 0), clustered(30, 12, 1)
    (sharp,) = soft_retrieve(q, k, [k], temperature=0.01)
    (flat,) = soft_retrieve(q, k, [k], temperature=0.02)
    assert (sharp - flat).abs().max() > 1e-2


def test_peak_in_a_late_tile_is_not_lost():
    # Cosines rise from tile to tile: every earlier sum must be rescaled.
    k = np.eye(4, dtype=np.float32)
    q = np.array([[0.1, 0.2, 0.3, 0.92736185]], dtype=np.float32)
    (out,) = soft_retrieve(q, k, [k], temperature=0.01, key_rows=1)
    np.testing.assert_allclose(out, [[0, 0, 0, 1]], atol=1e-6)


def test_float16_inputs_and_empty_queries():
    k = clustered(20, 8, 1).astype(np.float16)
    (out,) = soft_retrieve(k[:0], k, [k], temperature=0.01)
    assert out.shape == (0, 8)
    (out,) = soft_retrieve(torch.from_numpy(k), k, [k], temperature=0.01)
    assert out.dtype == torch.float32


def test_mismatched_shapes_are_refused():
    with pytest.raises(DimensionMismatch, match="8 dimensions, keys 9"):
        soft_retrieve(clustered(2, 8, 0), clustered(2, 9, 0), [], temperature=0.01)
    with pytest.raises(DimensionMismatch, match="3 keys but 2 values"):
        soft_retrieve(
            clustered(2, 8, 0), clustered(3, 8, 0), [clustered(2, 8, 0)], temperature=0.01
        )
