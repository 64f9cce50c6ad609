import numpy as np
import pytest
import torch

from reactions.ops import weighted_ranks as module
from reactions.ops.weighted_ranks import WeightedRows, count_above, gram


def side(n, d, k, v, seed):
    """Rows at v weightings of k extremes; some rows are there twice."""
    rng = np.random.default_rng(seed)
    extremes = []
    for _ in range(k):
        rows = rng.normal(size=(n, d)) + 0.3
        rows[n // 2] = rows[0]
        extremes.append(torch.from_numpy(rows / np.linalg.norm(rows, axis=1)[:, None]).float())
    weights = rng.dirichlet(np.ones(k), size=v)
    weights[0] = np.eye(k)[0]
    squared = np.einsum("va,nab,vb->vn", weights, gram(extremes), weights)
    return WeightedRows(extremes, weights, np.sqrt(squared))


def fused(rows, setting):
    total = sum(
        w * x.double().numpy() for w, x in zip(rows.weights[setting], rows.extremes, strict=True)
    )
    return total / np.linalg.norm(total, axis=1)[:, None]


def brute(queries, keys, cells, positives, margin):
    q, k = positives
    out = np.zeros((len(cells), queries.n), int)
    for cell, (i, j) in enumerate(cells):
        scores = fused(queries, i) @ fused(keys, j).T
        for query in range(queries.n):
            right = k[q == query]
            wrong = np.setdiff1d(np.arange(keys.n), right)
            out[cell, query] = (scores[query, wrong] > scores[query, right].max() + margin).sum()
    return out


@pytest.mark.parametrize("margin", [-1e-6, 1e-6])
@pytest.mark.parametrize("extremes", [(2, 2), (1, 3), (3, 1)])
@pytest.mark.parametrize("tile", [64, 1 << 20])
def test_counts_are_those_of_all_pairs(monkeypatch, tile, extremes, margin):
    monkeypatch.setattr(module, "_TILE_ELEMENTS", tile)
    monkeypatch.setattr(module, "_PAIR_ELEMENTS", tile)
    queries, keys = side(40, 6, extremes[0], 5, seed=1), side(23, 6, extremes[1], 4, seed=2)
    cells = np.array([(i, j) for i in range(5) for j in range(4)])
    owner = np.random.default_rng(3).permutation(np.arange(40) % 23)
    order = np.argsort(owner)
    for x, y, chosen, pairs in (
        (queries, keys, cells, (np.arange(40), owner)),
        (keys, queries, cells[:, ::-1], (owner[order], order)),
    ):
        counts = count_above(x, y, chosen, pairs, margin=margin, rounding=3e-7)
        exact = brute(x, y, chosen, pairs, margin)
        assert (counts.least <= exact).all()
        assert (exact <= counts.most).all()
        assert (counts.least == counts.most).mean() > 0.9


def test_twins_are_ties_not_undecided():
    queries = side(40, 6, 2, 3, seed=1)
    pairs = np.arange(40), np.arange(40)
    cells = np.array([(0, 0), (1, 1), (2, 2)])
    strict = count_above(queries, queries, cells, pairs, margin=-1e-6, rounding=3e-7)
    lenient = count_above(queries, queries, cells, pairs, margin=1e-6, rounding=3e-7)
    for query in (0, 20):  # each the other's twin, so that nothing else scores as high
        assert list(strict.least[:, query]) == list(strict.most[:, query]) == [1, 1, 1]
        assert list(lenient.most[:, query]) == [0, 0, 0]


def test_few_pairs_are_looked_at_closely(monkeypatch):
    looked = []
    values = module._Scores.values

    def counted(self, answers, products):
        looked.append(len(answers))
        return values(self, answers, products)

    monkeypatch.setattr(module._Scores, "values", counted)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 32))
    near = [rows + 0.2 * rng.normal(size=rows.shape) for _ in range(2)]
    stored = [torch.from_numpy(x / np.linalg.norm(x, axis=1)[:, None]).float() for x in near]
    weights = np.array([[1 - t, t] for t in np.linspace(0, 1, 11)])
    norms = np.sqrt(np.einsum("va,nab,vb->vn", weights, gram(stored), weights))
    weighted = WeightedRows(stored, weights, norms)
    cells = np.array([(i, j) for i in range(11) for j in range(11)])
    count_above(weighted, weighted, cells, (np.arange(300),) * 2, margin=-1e-6, rounding=3e-7)
    assert sum(looked) < 300 * 300 / 20


@pytest.mark.parametrize("precision", ["medium", "highest"])
def test_products_are_float32_whatever_the_process_asked_for(precision, monkeypatch):
    precisions = []
    values = module._Scores.values

    def looked(self, answers, products):
        precisions.append(torch.get_float32_matmul_precision())
        return values(self, answers, products)

    monkeypatch.setattr(module._Scores, "values", looked)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        queries = side(40, 6, 2, 3, seed=1)
        pairs = np.arange(40), np.arange(40)
        count_above(queries, queries, np.array([(0, 0)]), pairs, margin=-1e-6, rounding=3e-7)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)
    assert set(precisions) == {"highest"}
