"""Soft retrieval in float16, as CUDA computes it, keeps its promises on hard data."""

import numpy as np
import pytest
from hard_retrieval import NAMES, NOISE, M, N, hard, reference, unit

from reactions.ops.retrieval import FAST_ERROR, MIN_FAST_TEMPERATURE, soft_retrieve
from reactions.ops.tiles import Tiling

torch = pytest.importorskip("torch")

TEMPERATURES = (1 / 20, 1 / 100, MIN_FAST_TEMPERATURE)


@pytest.mark.parametrize("rows_in", [np.float32, np.float16])
@pytest.mark.parametrize("d", [64, 512])
@pytest.mark.parametrize("name", NAMES)
def test_errors_are_within_what_is_promised(name, d, rows_in, cuda):
    q, k = (rows.astype(rows_in) for rows in hard(name, d))
    v = unit(np.random.default_rng(3).normal(size=(M, 96)) + 0.5).astype(rows_in)
    for temperature in TEMPERATURES:
        tiling = Tiling(query_rows=N, block_rows=N // 2, key_rows=M // 3)
        retrieved = soft_retrieve(q, k, [k, v], temperature=temperature, device=cuda, tiling=tiling)
        for value, out in zip((k, v), retrieved, strict=True):
            expected = reference(q, k, value, temperature)
            errors = np.linalg.norm(out.double().numpy() - expected, axis=1)
            promised = FAST_ERROR[torch.float16] / min(d, value.shape[1]) ** 0.5
            promised *= 2.5 if temperature == MIN_FAST_TEMPERATURE else 1.0
            if name == NOISE:
                promised = 2e-2
            assert np.linalg.norm(errors) / N**0.5 < promised
            assert errors.max() < 5 * promised


@pytest.mark.parametrize(
    ("temperature", "promised"), [(1 / 100, 1e-5), (1 / 1000, 1e-4), (1e-4, 1e-3)]
)
def test_tiny_temperatures_in_single_precision(temperature, promised, cuda):
    q, k = (rows.astype(np.float32) for rows in hard("near duplicates", 64))
    precision = "fast" if temperature < MIN_FAST_TEMPERATURE else "exact"
    (retrieved,) = soft_retrieve(
        q, k, [k], temperature=temperature, device=cuda, precision=precision
    )
    errors = retrieved.double().numpy() - reference(q, k, k, temperature)
    assert np.linalg.norm(errors) / N**0.5 < promised


@pytest.mark.parametrize(("octaves", "underflows"), [(26.0, False), (31.0, True)])
def test_keys_that_weigh_next_to_nothing_beside_a_dominating_one(octaves, underflows, cuda):
    # As many light keys as fit a test, all just as far: their share is what the docstring says.
    m, d = 1 << 14, 32
    rng = np.random.default_rng(0)
    cosine = 1 - octaves / 100 * np.log(2)
    light = unit(np.concatenate([np.zeros((m, 1)), rng.normal(size=(m, d - 1))], axis=1))
    k = np.sqrt(1 - cosine**2) * light
    k[:, 0] = cosine
    k[0] = np.eye(d)[0]
    v = np.tile([[0.0, 1.0]], (m, 1))
    v[0] = [1.0, 0.0]
    q, k, v = (rows.astype(np.float32) for rows in (k[:1], k, v))
    (row_s,) = soft_retrieve(q, k, [v], temperature=1 / 100, device=cuda)
    share = float(row_s[0, 1])
    expected = m * 2.0**-octaves
    assert share == (0.0 if underflows else pytest.approx(expected, rel=0.3))
    assert abs(share - expected) < m * 2.0**-29
