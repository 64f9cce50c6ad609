"""Light keys are drawn: what that may cost, and when it is done."""

import numpy as np
import pytest
import torch
from hard_retrieval import NAMES, M, hard, reference, unit

from reactions.ops import retrieval, retrieval_sampled
from reactions.ops.retrieval import soft_retrieve
from reactions.ops.retrieval_sampled import COLUMN_ERROR, ROW_ERROR, SampledTiles, _squared_norm
from reactions.ops.tiles import Tiling

SCALE = float(np.log2(np.e)) * 100  # of temperature 1/100


def in_tiles(q, k, values, *, share=1e-3, tile=400, block=25, scale=SCALE):
    """Return unit means, and how many rows were computed once more."""
    q, k = torch.from_numpy(unit(q)).float(), torch.from_numpy(k)
    values = [torch.from_numpy(value) for value in values]
    tiling = Tiling(query_rows=len(q), block_rows=block, key_rows=tile)
    tiles = SampledTiles(q, k, values, share=share, scale=scale, tiling=tiling)
    for start in range(0, len(k), tile):
        rows = slice(start, start + tile)
        tiles.add(start, k[rows], [value[rows] for value in values])
    exactly, recomputed = tiles._exactly, []
    tiles._exactly = lambda uncertain, index: (
        recomputed.append(len(uncertain)) or exactly(uncertain, index)
    )
    means = tiles.means()
    return [torch.nn.functional.normalize(mean).double().numpy() for mean in means], sum(recomputed)


@pytest.fixture
def only_drawn(monkeypatch):
    """No tile is added whole, however many of its keys are kept."""
    monkeypatch.setattr(retrieval_sampled, "_keeping", lambda width: 0.0)


def errors(retrieved, expected):
    rows = np.linalg.norm(retrieved - expected, axis=1)
    return np.linalg.norm(rows) / len(rows) ** 0.5, rows.max()


@pytest.mark.parametrize("d", [64, 512])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("keeping", [0.0, 4.0])
def test_errors_are_within_the_bounds_whatever_the_data(name, d, keeping, monkeypatch):
    monkeypatch.setattr(retrieval_sampled, "_keeping", lambda width: keeping)
    q, k = (rows.astype(np.float32) for rows in hard(name, d))
    v = unit(np.random.default_rng(3).normal(size=(M, 200)) + 0.5).astype(np.float32)
    for temperature in (1 / 20, 1 / 100, 1 / 200):
        for share in (2.0**-10, 2.0**-16):
            scale = SCALE / 100 / temperature
            retrieved, _ = in_tiles(q, k, [k, v], share=share, scale=scale)
            for value, out in zip((k, v), retrieved, strict=True):
                column, row = errors(out, reference(q, k, value, temperature))
                assert column < COLUMN_ERROR
                assert row < 3 * ROW_ERROR  # three times what is expected


def test_a_threshold_that_is_too_high_is_found_out(only_drawn, monkeypatch):
    monkeypatch.setattr(retrieval_sampled, "_MOST", 1.0)
    q, k = (rows.astype(np.float32) for rows in hard("near duplicates", 64))
    (retrieved,), n_recomputed = in_tiles(q, k, [k], share=0.2)
    assert n_recomputed == len(q)
    assert errors(retrieved, reference(q, k, k, 1 / 100))[0] < 1e-5


def test_what_is_drawn_is_right_on_average(only_drawn, monkeypatch):
    monkeypatch.setattr(retrieval_sampled, "COLUMN_ERROR", 1.0)
    monkeypatch.setattr(retrieval_sampled, "ROW_ERROR", 1.0)
    monkeypatch.setattr(retrieval_sampled, "_MOST", 1.0)
    q, k = (rows.astype(np.float32) for rows in hard("near duplicates", 64))
    expected = reference(q, k, k, 1 / 20)
    draws = []
    for seed in range(64):
        monkeypatch.setattr(retrieval_sampled, "_SEED", seed)
        ((retrieved,), n_recomputed) = in_tiles(q, k, [k], share=0.01, scale=SCALE / 5)
        assert n_recomputed == 0
        draws.append(retrieved)
    single = np.mean([errors(draw, expected)[0] for draw in draws])
    # Errors that are independent from draw to draw shrink by the root of their number.
    assert errors(unit(np.mean(draws, axis=0)), expected)[0] < single / 5
    assert single > 1e-3


def test_the_estimate_of_the_error_is_one(only_drawn, monkeypatch):
    estimates = []

    class Sums(SampledTiles):
        def means(self):
            estimates.append((self._variance.sqrt() / self.total).square().mean().sqrt())
            return super().means()

    monkeypatch.setattr(retrieval_sampled, "COLUMN_ERROR", 1.0)
    monkeypatch.setattr(retrieval_sampled, "ROW_ERROR", 1.0)
    monkeypatch.setitem(globals(), "SampledTiles", Sums)
    q, k = (rows.astype(np.float32) for rows in hard("duplicates", 64))
    ((retrieved,), _) = in_tiles(q, k, [k], share=0.003, scale=SCALE / 5)
    measured = errors(retrieved, reference(q, k, k, 1 / 20))[0]
    # A bound: rows in a cone have less to lose, as what is off along their mean does not count.
    assert 0.1 * float(estimates[0]) < measured < 1.5 * float(estimates[0])


def test_lanes_merge_the_estimate_of_the_error(only_drawn):
    q, k = (torch.from_numpy(rows).float() for rows in hard("near duplicates", 64))
    tiling = Tiling(query_rows=len(q), block_rows=25, key_rows=M // 2)
    sums = SampledTiles(q, k, [k], share=1e-3, scale=SCALE / 5, tiling=tiling)
    other = sums.another()
    for first, lane in [(0, sums), (M // 2, other)]:
        rows = slice(first, first + M // 2)
        lane.add(first, k[rows], [k[rows]])
    other.move(slice(None), other.unit + 3)
    expected = (
        sums._variance / 4**3 + other._variance,
        torch.maximum(sums._largest / 2**3, other._largest),
    )
    assert all(lane._variance.max() > 0 for lane in (sums, other))
    sums.merge(other)
    for actual, value in zip((sums._variance, sums._largest), expected, strict=True):
        torch.testing.assert_close(actual, value, rtol=1e-5, atol=0)
    # Where nothing else is known, the lane with the higher thresholds has the say.
    third = sums.another()
    third._largest += 2 * sums._largest.max()
    sums.merge(third)
    assert torch.equal(sums._largest, third._largest)


@pytest.mark.parametrize("name", NAMES)
def test_tiles_whose_keys_would_mostly_be_kept_are_added_whole(name, monkeypatch):
    q, k = (rows.astype(np.float32) for rows in hard(name, 64))
    v = unit(np.random.default_rng(3).normal(size=(M, 200)) + 0.5).astype(np.float32)
    monkeypatch.setattr(retrieval_sampled, "_keeping", lambda width: np.inf)
    monkeypatch.setattr(retrieval_sampled, "_SAMPLE_SHARE", 1 << 20)  # samples that mislead
    retrieved, n_recomputed = in_tiles(q, k, [k, v], share=2.0**-10)
    assert n_recomputed == 0
    for value, out in zip((k, v), retrieved, strict=True):
        assert errors(out, reference(q, k, value, 1 / 100))[1] < 2e-5


@pytest.mark.parametrize("name", NAMES)
def test_tiles_that_are_added_whole_count_their_whole_weight(name, monkeypatch):
    monkeypatch.setattr(retrieval_sampled, "_keeping", lambda width: np.inf)
    q, k = (torch.from_numpy(unit(rows)).float() for rows in hard(name, 64))
    tiling = Tiling(query_rows=len(q), block_rows=25, key_rows=M // 2)
    sums = SampledTiles(q, k, [k], share=1e-3, scale=SCALE, tiling=tiling)
    for first in (0, M // 2):
        rows = slice(first, first + M // 2)
        sums.add(first, k[rows], [k[rows]])
    weights = torch.logsumexp(100 * q.double() @ k.double().T, dim=1) / np.log(2)
    torch.testing.assert_close(
        sums.total.double().log2() + sums.unit.double(), weights, rtol=0, atol=1e-4
    )
    assert not sums._variance.any()


@pytest.mark.parametrize(("keeping", "n_calls"), [(1.9, 0), (2.1, 1)])
def test_a_tile_is_added_whole_where_keeping_its_keys_takes_longer(keeping, n_calls, monkeypatch):
    calls = []
    monkeypatch.setattr(retrieval_sampled, "_keeping", lambda width: keeping)
    monkeypatch.setattr(SampledTiles, "_add_whole", lambda *arguments: calls.append("whole"))
    # Of 400 keys half weigh something.
    q = np.eye(1, 8, dtype=np.float32)
    k = np.repeat([q[0], -q[0]], 200, axis=0)
    in_tiles(q, k, [k])
    assert len(calls) == n_calls


def test_each_key_has_a_random_number_of_its_own(only_drawn):
    q, k = (torch.from_numpy(rows).float() for rows in hard("near duplicates", 64))
    tiling = Tiling(query_rows=len(q), block_rows=25, key_rows=M // 2)
    sums = SampledTiles(q, k, [k], share=1e-3, scale=SCALE / 5, tiling=tiling)
    same, other = sums.another(), sums.another()
    for first, lane in [(0, sums), (0, same), (M // 2, other)]:
        lane.add(first, k[: M // 2], [k[: M // 2]])
    assert torch.equal(sums.total, same.total)
    assert not torch.equal(sums.total, other.total)


@pytest.mark.parametrize("name", ["near duplicates", "opposite", "isotropic noise"])
def test_the_norm_of_means_is_estimated_from_a_sample_of_keys(name):
    q, k = (torch.from_numpy(rows).float() for rows in hard(name, 64))
    weights, of_sample = (torch.softmax(20 * q @ rows.T, dim=1) for rows in (k, k[::4]))
    expected = float((weights @ k).square().sum(dim=1).mean())
    # A few pairs of noise say less than there is: thresholds are finer than they need be.
    assert 0.6 * expected < _squared_norm(of_sample, k[::4], 4.0) < 1.05 * expected
    assert _squared_norm(torch.eye(60), k[:60], 20.0) == 1.0


def test_neither_other_values_nor_other_queries_change_what_is_drawn():
    q, k = (rows.astype(np.float32) for rows in hard("near duplicates", 64))
    v = unit(np.random.default_rng(3).normal(size=(M, 200)) + 0.5).astype(np.float32)
    together, _ = in_tiles(q, k, [k, v])
    alone, _ = in_tiles(q, k, [v])
    assert np.array_equal(alone[0], together[1])
    few_queries, _ = in_tiles(q[:10], k, [v])
    np.testing.assert_allclose(few_queries[0], alone[0][:10], atol=1e-5)


@pytest.mark.parametrize("row", [7, 700, 1199])
@pytest.mark.parametrize("spoilt", ["keys", "values", "neither"])
def test_rows_of_no_norm_and_of_no_number_come_out_as_in_full_products(spoilt, row):
    q, k = (rows.astype(np.float32) for rows in hard("near duplicates", 64))
    v = np.zeros((M, 40), np.float32)
    if spoilt != "neither":
        k, v = k.copy(), np.ones((M, 40), np.float32)
        (k if spoilt == "keys" else v)[row] = np.nan
    retrieved, _ = in_tiles(q, k, [v, k])
    expected = soft_retrieve(q, k, [v, k], temperature=1 / 100, precision="exact")
    for approximate, other in zip(retrieved, expected, strict=True):
        np.testing.assert_allclose(approximate, other.numpy(), atol=2e-2)


@pytest.mark.parametrize("tile", [16, 400])
def test_a_key_that_weighs_much_is_never_lost(tile):
    """All weight lies in two keys, which may both be in the first tile, or far apart."""
    rng = np.random.default_rng(0)
    k = rng.normal(size=(M, 32))
    k[:, :2] = 0  # what is orthogonal to the queries weighs e^-100
    k = unit(k).astype(np.float32)
    v = unit(rng.normal(size=(M, 24))).astype(np.float32)
    q = np.tile(np.eye(32, dtype=np.float32)[0], (5, 1))
    cosine = 1 - np.log(9) / 100  # a tenth of the weight
    second = np.r_[cosine, (1 - cosine**2) ** 0.5, np.zeros(30)]
    for first, other in [(0, place) for place in range(1, 16)] + [(0, 900), (900, 0), (899, 900)]:
        keys = k.copy()
        keys[first], keys[other] = q[0], second
        (retrieved,), n_recomputed = in_tiles(q, keys, [v], tile=tile)
        assert errors(retrieved, reference(q, keys, v, 1 / 100))[0] < COLUMN_ERROR
        assert n_recomputed == 0


@pytest.mark.parametrize("order", ["first", "last", "between"])
def test_keys_in_the_order_of_their_classes_need_no_second_pass(order):
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(30, 64))
    k = unit(centres[np.arange(M) // 40] + 0.7 * rng.normal(size=(M, 64))).astype(np.float32)
    centre = {"first": 0, "last": 29, "between": 11}[order]
    q = unit(centres[centre] + 0.3 * rng.normal(size=(50, 64))).astype(np.float32)
    (retrieved,), n_recomputed = in_tiles(q, k, [k], share=2.0**-14, tile=32)
    assert errors(retrieved, reference(q, k, k, 1 / 100))[0] < COLUMN_ERROR
    assert n_recomputed == 0


def test_a_key_far_above_all_others_overflows_nothing():
    """Rows that the sample says nothing of: each is a copy of a key, 2^90 above the others."""
    rng = np.random.default_rng(0)
    k = unit(rng.normal(size=(3 * M, 256))).astype(np.float32)
    places = rng.integers(0, len(k), 50)
    (retrieved,), n_recomputed = in_tiles(k[places], k, [k], tile=64)
    assert errors(retrieved, k[places])[0] < 1e-4
    assert n_recomputed == 0


def clustered(n, d, seed):
    """Many rows around many centres, as a corpus is, and in no order."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(300, d))
    return unit(centres[rng.integers(0, 300, n)] + 1.5 * rng.normal(size=(n, d)) + 0.3).astype(
        np.float32
    )


@pytest.fixture
def shares(monkeypatch):
    """A CPU without 16-bit products; the shares that retrievals chose."""
    monkeypatch.setattr(retrieval, "gemm_dtype", lambda device, purpose: None)
    shares = []

    def spy(*arguments, **options):
        shares.append(retrieval_sampled.share_that_pays(*arguments, **options))
        return shares[-1]

    monkeypatch.setattr(retrieval, "share_that_pays", spy)
    return shares


def test_fast_draws_where_that_pays(shares):
    q, k, v = clustered(256, 300, 1), clustered(6000, 300, 2), clustered(6000, 48, 3)
    retrieved = soft_retrieve(q, k, [k, v], temperature=1 / 100)
    assert shares.pop() is not None
    for value, out in zip((k, v), retrieved, strict=True):
        column, _ = errors(out.double().numpy(), reference(q, k, value, 1 / 100))
        assert 1e-5 < column < COLUMN_ERROR
    (alone,) = soft_retrieve(q, k, [v], temperature=1 / 100)
    assert torch.equal(alone, retrieved[1])


def test_short_means_take_finer_thresholds():
    rng = np.random.default_rng(0)
    noise = [unit(rng.normal(size=(n, 300))).astype(np.float32) for n in (256, 20000)]
    assert retrieval_sampled.share_that_pays(*noise, scale=SCALE) <= 2.0**-14


@pytest.mark.parametrize(
    ("n", "m", "d", "temperature", "why"),
    [
        (300, 5000, 64, 1 / 100, "few columns to add"),
        (300, 2000, 300, 1 / 100, "few keys"),
        (40, 5000, 300, 1 / 100, "few queries"),
        (260, 4200, 150, 1 / 100, "as much to prepare as to save"),
        (300, 5000, 300, 1.0, "all keys weigh as much"),
    ],
)
def test_fast_is_exact_where_drawing_does_not_pay(shares, n, m, d, temperature, why):
    q, k, v = clustered(n, d, 1), clustered(m, d, 2), clustered(m, 20, 3)
    (retrieved,) = soft_retrieve(q, k, [v], temperature=temperature)
    (exact,) = soft_retrieve(q, k, [v], temperature=temperature, precision="exact")
    assert shares == [None], why
    assert torch.equal(retrieved, exact)


def test_exact_never_draws_and_neither_do_tiny_temperatures(shares):
    q, k, v = clustered(8, 300, 1), clustered(5000, 300, 2), clustered(5000, 20, 3)
    soft_retrieve(q, k, [v], temperature=1 / 100, precision="exact")
    soft_retrieve(q, k, [v], temperature=1 / 300)
    assert shares == []
