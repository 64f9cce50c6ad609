import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reactions.core.errors import DimensionMismatch
from reactions.ops import retrieval, retrieval_16bit
from reactions.ops.retrieval import FAST_ERROR, soft_retrieve
from reactions.ops.retrieval_exact import ExactTiles
from reactions.ops.tiles import Tiling

ROUND = {
    # What each arithmetic may lose against float64, relative: fp32 carries logits of up to
    # 144; 16 bits round inputs to 2^-9 or 2^-12, which temperature 1/100 multiplies by 144
    # over the root of the width (at least 8 here, where single elements weigh a lot; the
    # product's widths have a test of their own).
    "exact": 1e-4,
    "bfloat16": 8e-2,
    "float16": 1.2e-2,
}
PRECISIONS = sorted(ROUND)


def use(precision: str) -> str:
    """Make ``fast`` mean one 16-bit type; return the precision to ask for."""
    if precision == "exact":
        return "exact"
    retrieval.gemm_dtype = lambda device, purpose: getattr(torch, precision)
    retrieval.MIN_16BIT_QUERIES = retrieval.MIN_16BIT_WORK = 0
    # float16 is CUDA's type, and CUDA's products of 16 bits come out in fp32.
    retrieval_16bit._mm = (
        (lambda a, b, out=None: a.float() @ b.float()) if precision == "float16" else MM
    )
    return "fast"


MM, DTYPE = retrieval_16bit._mm, retrieval.gemm_dtype
LEAST = retrieval.MIN_16BIT_QUERIES, retrieval.MIN_16BIT_WORK


@pytest.fixture(autouse=True)
def _restore():
    yield
    retrieval_16bit._mm, retrieval.gemm_dtype = MM, DTYPE
    retrieval.MIN_16BIT_QUERIES, retrieval.MIN_16BIT_WORK = LEAST


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def clustered(n: int, d: int, seed: int, gap: float = 0.5) -> np.ndarray:
    """Unit rows around a few centres with a common offset, as encoders give."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(7, d))
    rows = centres[rng.integers(0, 7, n)] + 0.5 * rng.normal(size=(n, d)) + gap
    return unit(rows).astype(np.float32)


def reference(q: np.ndarray, k: np.ndarray, v: np.ndarray, temperature: float) -> np.ndarray:
    logits = unit(q) @ unit(k).T / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return unit(weights @ unit(v))


def error(rows: torch.Tensor, expected: np.ndarray) -> float:
    """Relative error of the whole result, as performance figures state it."""
    return float(np.linalg.norm(rows.double().numpy() - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("precision", PRECISIONS)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 60),
    d=st.integers(8, 33),
    tiling=st.builds(Tiling, st.integers(1, 50), st.integers(1, 50), st.integers(1, 70)),
    temperature=st.sampled_from([0.01, 0.05, 1.0]),
    size=st.sampled_from([1e-4, 1.0, 1e4]),
    repeats=st.booleans(),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_streamed_matches_float64(precision, n, m, d, tiling, temperature, size, repeats, seed):
    q, k, v = clustered(n, d, seed), clustered(m, d, seed + 1), clustered(m, 5, seed + 2)
    if repeats:
        k, v = k[np.arange(m) % 3 % m], v[np.arange(m) % 2 % m]
    expected = [reference(q, k, value, temperature) for value in (k, v)]
    q, k, v = q * np.float32(size), k / np.float32(size), v * np.float32(size)
    retrieved = soft_retrieve(
        q, k, [k, v], temperature=temperature, tiling=tiling, precision=use(precision)
    )
    for exact, out in zip(expected, retrieved, strict=True):
        assert error(out, exact) < ROUND[precision]


@pytest.mark.parametrize("d", [8, 24, 64, 256, 768, 1024])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_accuracy_by_width_is_what_the_docstring_promises(precision, d):
    q, k, v = clustered(200, d, 0), clustered(3000, d, 1), clustered(3000, d // 2, 2)
    retrieved = soft_retrieve(
        q, k, [k, v], temperature=0.01, precision=use(precision), tiling=Tiling(200, 64, 700)
    )
    exact = precision == "exact"
    promised = 5e-6 if exact else FAST_ERROR[getattr(torch, precision)] / d**0.5
    for value, out in zip((k, v), retrieved, strict=True):
        assert error(out, reference(q, k, value, 0.01)) < promised


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_shift_follows_a_peak_that_no_sample_shows(precision):
    # One key in 5,000 matches each query; all others are near orthogonal. The sample misses
    # it, so its logit lies 140 octaves above the first shift.
    rng = np.random.default_rng(0)
    k = unit(rng.normal(size=(5000, 256)))
    chosen = np.array([7, 2501, 4990])
    q = unit(k[chosen] + 0.01 * rng.normal(size=(3, 256)))
    retrieved = soft_retrieve(
        q.astype(np.float32),
        k.astype(np.float32),
        [k.astype(np.float32)],
        temperature=0.01,
        precision=use(precision),
        tiling=Tiling(3, 2, 1000),
    )
    assert error(retrieved[0], reference(q, k, k, 0.01)) < {"exact": 1e-5}.get(precision, 3e-3)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_set_of_queries_is_held_at_a_time(precision, monkeypatch):
    references: list[weakref.ref] = []
    name = "ExactTiles" if precision == "exact" else "ShiftedTiles"
    build = getattr(retrieval, name)

    def make(*arguments, **options):
        assert [earlier for earlier in references if earlier() is not None] == []
        sums = build(*arguments, **options)
        references.append(weakref.ref(sums))
        return sums

    precision = use(precision)
    monkeypatch.setattr(retrieval, name, make)
    q, k = clustered(30, 8, 0), clustered(50, 8, 1)
    soft_retrieve(q, k, [k], temperature=0.01, precision=precision, tiling=Tiling(10, 5, 20))
    assert len(references) == 3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_results_in_sixteen_bits_are_those_of_float32_rounded(precision):
    q, k = clustered(30, 8, 0), clustered(50, 8, 1)
    precision = use(precision)
    (rounded_from,) = soft_retrieve(q, k, [k], temperature=0.01, precision=precision)
    (half,) = soft_retrieve(q, k, [k], temperature=0.01, precision=precision, dtype=torch.float16)
    assert torch.equal(half, rounded_from.half())


def test_without_the_row_shift_bfloat16_is_far_off(monkeypatch):
    # Queries amid groups of close keys: logits of 120 and more that differ by little.
    rng = np.random.default_rng(0)
    centres = unit(rng.normal(size=(40, 256)))
    k = unit(np.repeat(centres, 20, axis=0) + 0.03 * rng.normal(size=(800, 256)))
    q = unit(centres + 0.03 * rng.normal(size=(40, 256)))
    q, k = q.astype(np.float32), k.astype(np.float32)
    expected = reference(q, k, k, 0.01)
    shifting = soft_retrieve(q, k, [k], temperature=0.01, precision=use("bfloat16"))
    assert error(shifting[0], expected) < 5e-3
    monkeypatch.setattr(retrieval_16bit.ShiftedTiles, "_set_shift", lambda self, rows, shift: None)
    monkeypatch.setattr(retrieval_16bit, "_SLACK", 126.0)
    fixed_shift = soft_retrieve(q, k, [k], temperature=0.01, precision="fast")
    assert error(fixed_shift[0], expected) > 3 * error(shifting[0], expected)


def test_fast_really_is_16_bits():
    q, k = clustered(64, 64, 0), clustered(500, 64, 1)
    fast = soft_retrieve(q, k, [k], temperature=0.01, precision=use("bfloat16"))
    exact = soft_retrieve(q, k, [k], temperature=0.01, precision="exact")
    assert 1e-5 < error(fast[0], exact[0].double().numpy()) < 1e-2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_value_does_not_depend_on_the_others(precision):
    q, k = clustered(30, 24, 0), clustered(90, 24, 1)
    values = [clustered(90, 7, 2), k, clustered(90, 9, 3)]
    precision = use(precision)
    together = soft_retrieve(q, k, values, temperature=0.01, precision=precision)
    for value, out in zip(values, together, strict=True):
        (alone,) = soft_retrieve(q, k, [value], temperature=0.01, precision=precision)
        assert torch.equal(alone, out)


def test_rows_have_unit_norm_and_queries_find_themselves():
    k = clustered(50, 16, 3, gap=0.0)
    (out,) = soft_retrieve(k, k, [k], temperature=0.005)
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-5)
    assert np.array_equal((out.numpy() @ k.T).argmax(axis=1), np.arange(50))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_temperature_matters(precision):
    q, k = clustered(8, 12, 0), clustered(30, 12, 1)
    precision = use(precision)
    (sharp,) = soft_retrieve(q, k, [k], temperature=0.01, precision=precision)
    (flat,) = soft_retrieve(q, k, [k], temperature=0.02, precision=precision)
    assert error(sharp, reference(q, k, k, 0.01)) < 0.2 * error(flat, reference(q, k, k, 0.01))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_peak_in_a_late_tile_is_not_lost(precision):
    # Cosines rise from tile to tile: every earlier sum must be rescaled.
    k = np.eye(4, dtype=np.float32)
    q = np.array([[0.1, 0.2, 0.3, 0.92736185]], dtype=np.float32)
    (out,) = soft_retrieve(
        q, k, [k], temperature=0.01, tiling=Tiling(1, 1, 1), precision=use(precision)
    )
    np.testing.assert_allclose(out, [[0, 0, 0, 1]], atol=1e-6)


def test_tiny_temperatures_are_computed_exactly(monkeypatch):
    monkeypatch.setattr(retrieval, "ShiftedTiles", None)
    k = clustered(20, 8, 1)
    (out,) = soft_retrieve(k, k, [k], temperature=0.001, precision="fast")
    assert error(out, reference(k, k, k, 0.001)) < 1e-3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_query_that_is_no_number_spoils_no_other(precision):
    q, k = clustered(30, 24, 0), clustered(90, 24, 1)
    expected = np.delete(reference(q, k, k, 0.01), [3, 7], axis=0)
    q[3], q[7, 2] = np.nan, np.inf
    (retrieved,) = soft_retrieve(q, k, [k], temperature=0.01, precision=use(precision))
    assert retrieved[[3, 7]].isnan().all()
    assert error(retrieved[[row not in (3, 7) for row in range(30)]], expected) < ROUND[precision]


def test_inputs_are_left_alone():
    k = torch.from_numpy(clustered(20, 8, 1)) * 3
    before = k.clone()
    soft_retrieve(k, k, [k], temperature=0.01, precision=use("bfloat16"))
    soft_retrieve(k, k, [k], temperature=0.01, precision="exact")
    assert torch.equal(k, before)


def test_float16_inputs_memory_maps_and_empty_queries(tmp_path):
    k = clustered(20, 8, 1).astype(np.float16)
    np.save(tmp_path / "k.npy", k)
    mapped = np.load(tmp_path / "k.npy", mmap_mode="r")
    (out,) = soft_retrieve(k[:0], k, [k], temperature=0.01)
    assert out.shape == (0, 8)
    (out,) = soft_retrieve(torch.from_numpy(k), mapped, [mapped], temperature=0.01)
    assert out.dtype == torch.float32
    (same,) = soft_retrieve(mapped, k, [k], temperature=0.01)
    assert torch.equal(out, same)
    assert soft_retrieve(k, k, [], temperature=0.01) == []


def test_mismatched_shapes_are_refused():
    with pytest.raises(DimensionMismatch, match="8 dimensions, keys 9"):
        soft_retrieve(clustered(2, 8, 0), clustered(2, 9, 0), [], temperature=0.01)
    with pytest.raises(DimensionMismatch, match="3 keys but 2 values"):
        soft_retrieve(
            clustered(2, 8, 0), clustered(3, 8, 0), [clustered(2, 8, 0)], temperature=0.01
        )


def test_progress_reaches_the_end_and_may_stop_the_work():
    k = clustered(50, 8, 1)
    reports: list[tuple[int, int]] = []
    tiling = Tiling(20, 10, 30)
    soft_retrieve(
        k, k, [k], temperature=0.01, tiling=tiling, progress=lambda *done: reports.append(done)
    )
    assert reports == sorted(reports)
    assert reports[-1] == (2500, 2500)
    assert len(reports) == 6  # three sets of queries, two tiles of keys

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        soft_retrieve(k, k, [k], temperature=0.01, tiling=tiling, progress=stop)


def test_few_queries_are_not_worth_16_bits_on_a_cpu(monkeypatch):
    monkeypatch.setattr(retrieval, "gemm_dtype", lambda device, purpose: torch.bfloat16)
    monkeypatch.setattr(retrieval, "MIN_16BIT_WORK", 0)
    q, k = clustered(64, 64, 0), clustered(500, 64, 1)
    for n, is_exact in ((63, True), (64, False)):
        fast, exact = (
            soft_retrieve(q[:n], k, [k], temperature=0.01, precision=precision)[0]
            for precision in ("fast", "exact")
        )
        assert torch.equal(fast, exact) == is_exact


@pytest.mark.parametrize("peaks", [(-140, -90, 0, 70, 144), (144, 0), (60, 63, 66), (-143,)])
def test_exact_shifts_follow_the_largest_logit(peaks):
    # One query and keys whose logits are far apart, tile by tile: every weight counts.
    scale = 144.0
    cosines = torch.tensor([[peak, peak - 1.0] for peak in peaks]) / scale
    tiles = ExactTiles(torch.tensor([[1.0, 0.0]]), [3], scale=scale, block_rows=1)
    values = torch.nn.functional.normalize(torch.arange(6.0 * len(peaks)).view(-1, 2, 3) + 1, dim=2)
    for row, value in zip(cosines, values, strict=True):
        tiles.add(0, torch.stack([row, (1 - row**2).clamp(min=0).sqrt()], dim=1), [value])
    weights = torch.softmax(cosines.double().flatten() * scale * np.log(2), dim=0)
    expected = (weights @ values.double().view(-1, 3)).numpy()
    assert error(tiles.means()[0][0], expected) < 2e-5


def test_exact_means_lie_within_the_ball():
    q = torch.from_numpy(clustered(3, 8, 0))
    tiles = ExactTiles(q, [8], scale=144.0, block_rows=2)
    for part in torch.from_numpy(clustered(30, 8, 1)).split(11):
        tiles.add(0, part, [part])
    (mean,) = tiles.means()
    assert mean.norm(dim=1).max() <= 1 + 1e-6
