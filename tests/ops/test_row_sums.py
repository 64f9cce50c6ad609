"""Lanes: threads that sum tiles of their own."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hard_retrieval import M, hard, reference, unit

from reactions.ops import retrieval
from reactions.ops.retrieval import soft_retrieve
from reactions.ops.retrieval_exact import ExactTiles
from reactions.ops.row_sums import sum_up
from reactions.ops.tiles import Tiling

SCALE = float(np.log2(np.e)) * 100  # of temperature 1/100


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    assert torch.get_num_threads() == 4
    torch.set_num_threads(before)


@pytest.fixture(params=["exact", "drawing", "bfloat16"])
def precision(request, monkeypatch):
    """Have ``fast`` take one of the three ways; return the precision to ask for."""
    dtype = torch.bfloat16 if request.param == "bfloat16" else None
    monkeypatch.setattr(retrieval, "gemm_dtype", lambda device, purpose: dtype)
    monkeypatch.setattr(retrieval, "MIN_16BIT_QUERIES", 0)
    monkeypatch.setattr(retrieval, "MIN_16BIT_WORK", 0)
    monkeypatch.setattr(retrieval, "share_that_pays", lambda *rest, scale: 1e-4)
    return "exact" if request.param == "exact" else "fast"


@pytest.mark.parametrize("order", ["ascending", "descending", "any"])
@pytest.mark.parametrize("name", ["near duplicates", "isotropic noise", "one dominating key"])
def test_lanes_agree_with_float64(name, order, precision, four_threads):
    q, k = (rows.astype(np.float32) for rows in hard(name, 64))
    if order != "any":
        # The largest weights all lie in the last or first tiles: lanes differ in their units.
        places = np.argsort(k @ q[0])
        k = k[places if order == "ascending" else places[::-1]].copy()
    v = unit(np.random.default_rng(3).normal(size=(M, 20)) + 0.5).astype(np.float32)
    alone, among = (
        soft_retrieve(
            *(q, k, [k, v]),
            temperature=1 / 100,
            precision=precision,
            tiling=Tiling(len(q), 20, 50, lanes),
        )
        for lanes in (1, 4)
    )
    for value, out, single in zip((k, v), among, alone, strict=True):
        expected = reference(q, k, value, 1 / 100)
        errors = np.linalg.norm(out.double().numpy() - expected, axis=1)
        allowed = np.linalg.norm(single.double().numpy() - expected, axis=1)
        assert np.linalg.norm(errors) < 1.5 * np.linalg.norm(allowed) + 1e-4


def test_the_same_lanes_give_the_same_bits(precision, four_threads):
    q, k = (rows.astype(np.float32) for rows in hard("near duplicates", 64))
    tiling = Tiling(len(q), 20, 50, 4)
    first, *others = (
        soft_retrieve(q, k, [k], temperature=1 / 100, precision=precision, tiling=tiling)[0]
        for _ in range(3)
    )
    assert all(torch.equal(first, other) for other in others)


@pytest.mark.parametrize("row", [7, 75, 1199])
def test_a_value_of_no_number_is_lost_in_no_lane(row, precision, four_threads):
    q, k = (rows.astype(np.float32) for rows in hard("near duplicates", 64))
    v = np.ones((M, 20), np.float32)
    v[row, 3] = np.nan
    tiling = Tiling(len(q), 20, 50, 4)
    options = {"temperature": 1 / 100, "precision": precision, "tiling": tiling}
    spoilt, good = soft_retrieve(q, k, [v, k], **options)
    assert spoilt[:, 3].isnan().all()
    assert good.isfinite().all()


def exact(q, rows=4):
    return ExactTiles(torch.from_numpy(unit(q)).float(), [q.shape[1]], scale=SCALE, block_rows=rows)


def test_lanes_are_no_more_than_tiles():
    """One without a tile would hold its rows relative to 1: of e^-10,000 nothing would be left."""
    k = unit(np.random.default_rng(0).normal(size=(30, 8)) + 4).astype(np.float32)
    (retrieved,) = soft_retrieve(-k, k, [k], temperature=1e-4, tiling=Tiling(30, 30, 16, 192))
    np.testing.assert_allclose(retrieved, reference(-k, k, k, 1e-4), atol=1e-3)


def test_lanes_of_units_far_apart_lose_nothing():
    """At temperature 1/10,000 logits lie 14,000 octaves apart."""
    k = np.eye(8, dtype=np.float32)[[0, 1, 0, 2, 3, 4, 5, 6]]
    q = np.concatenate([np.eye(8), -np.eye(8)]).astype(np.float32)
    results = [
        soft_retrieve(q, k, [k], temperature=1e-4, tiling=Tiling(16, 5, 1, lanes))[0]
        for lanes in (1, 8)
    ]
    np.testing.assert_allclose(results[1], reference(q, k, k, 1e-4), atol=1e-5)
    np.testing.assert_allclose(results[0], results[1], atol=1e-6)


def test_lanes_share_the_threads_of_torch(four_threads, monkeypatch):
    lanes = set()

    def add(self, first, keys, values):
        lanes.add((threading.get_ident(), torch.get_num_threads()))

    monkeypatch.setattr(ExactTiles, "add", add)
    k = np.ones((400, 8), np.float32)
    sum_up(exact(k), [k, k], Tiling(40, 40, 1, 2), torch.device("cpu"))
    assert len(lanes) == 2
    assert {threads for _, threads in lanes} == {2}


def test_threads_that_torch_sees_first_amid_a_retrieval_keep_its_setting(four_threads):
    k = np.ones((40, 8), np.float32)
    threads_of_torch = []

    def progress(rows):
        with ThreadPoolExecutor(1) as first_seen:
            threads_of_torch.append(first_seen.submit(torch.get_num_threads).result())
            tiling = Tiling(4, 4, 10, 2)
            first_seen.submit(soft_retrieve, k, k, [k], temperature=1, tiling=tiling).result()
            threads_of_torch.append(first_seen.submit(torch.get_num_threads).result())

    sum_up(exact(k), [k, k], Tiling(40, 40, 10, 4), torch.device("cpu"), progress)
    progress(40)
    assert set(threads_of_torch) == {4}


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_lanes_take_over_the_mode_of_autograd(mode, precision, four_threads):
    q, k = (torch.from_numpy(rows).float() for rows in hard("near duplicates", 64))
    options = {"temperature": 1 / 100, "precision": precision, "tiling": Tiling(60, 20, 50, 4)}
    (expected,) = soft_retrieve(q, k, [k], **options)
    with mode():
        k.requires_grad_()
        (retrieved,) = soft_retrieve(q, k, [k], **options)
    assert torch.equal(retrieved, expected)
    assert not retrieved.requires_grad


@pytest.mark.parametrize("failing", [0, 3, "progress"])
def test_an_error_of_a_lane_is_raised_and_ends_the_others(failing, four_threads, monkeypatch):
    added, fails = [], threading.Event()

    def add(self, first, keys, values):
        if first == failing:
            fails.set()
            raise ValueError(f"tile {first}")
        if failing != "progress":
            assert fails.wait(120)
        if fails.is_set():
            added.append(first)
            threading.Event().wait(1e-3)

    def progress(rows):
        if failing == "progress":
            fails.set()
            raise ValueError("tile progress")

    monkeypatch.setattr(ExactTiles, "add", add)
    k = np.ones((4000, 8), np.float32)
    with pytest.raises(ValueError, match=f"tile {failing}"):
        sum_up(exact(k), [k, k], Tiling(40, 40, 1, 4), torch.device("cpu"), progress)
    assert len(added) < 2000


def test_progress_counts_the_tiles_of_all_lanes(four_threads):
    k = np.ones((40, 8), np.float32)
    reports = []
    sum_up(exact(k), [k, k], Tiling(40, 40, 3, 4), torch.device("cpu"), reports.append)
    assert reports == sorted(reports)
    assert reports[-1] == 40
    assert len(reports) == 14  # tiles
