"""What a CPU without bfloat16 cannot run well is left out of the benchmarks, and they say so."""

import argparse

import pytest
import retrieval
import torch
import train
from hardware import fast_half, left_out
from training_contenders import Problem

from reactions.ops import precision

CPU = torch.device("cpu")


@pytest.fixture(params=[False, True], ids=["without", "with"])
def halved(request, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: request.param)
    return request.param


def chosen(**options):
    return argparse.Namespace(
        **{"device": "cpu", "rounds": 1, "quick": False, **options}, within=None
    )


def test_the_type_is_the_product_s_own(halved):
    for purpose in ("retrieval", "training"):
        assert fast_half("cpu", purpose) is (torch.bfloat16 if halved else None)
    assert "This CPU has no fast 16-bit products" in left_out("cpu", "a")


def test_soft_retrieval_leaves_16_bits_out(halved, capsys):
    tables = list(retrieval.measured(chosen(sizes=[(4, 64)])))
    names = [str(row[0]) for row in tables[0].rows]
    assert any("bf16" in name or "bfloat16" in name for name in names) is halved
    assert {retrieval.FAST, retrieval.EXACT} <= set(names)
    assert ("Left out: what multiplies in 16 bits" in " ".join(tables[0].notes)) is not halved
    assert ("Left out" in capsys.readouterr().err) is not halved
    ours = [retrieval.NAIVE, retrieval.FAST, retrieval.EXACT]
    assert [row[0] for row in tables[1].rows] == ours


def test_a_gpu_without_16_bits_has_one_precision(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert list(retrieval.ours_on(torch.device("cuda:0"))) == ["exact"]
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0))
    assert list(retrieval.ours_on(torch.device("cuda:0"))) == ["fast", "exact"]


def test_without_16_bits_the_sizes_are_smaller(halved, monkeypatch):
    problems = []

    def compare(problem, rounds):
        problems.append(problem)
        raise StopIteration

    monkeypatch.setattr(retrieval.Problem, "make", lambda n, m, *more: (n, m))
    monkeypatch.setattr(retrieval, "compare", compare)
    with pytest.raises(RuntimeError):
        list(retrieval.measured(chosen(sizes=None)))
    largest = max(n * m for n, m in retrieval.SIZES["cpu" if halved else "cpu without 16 bits"])
    assert (largest == 1024 * 262_144) is halved


def test_one_pass_is_timed_in_what_there_is(halved):
    table = retrieval.one_pass(4, 64, CPU, 1)
    assert {row[1] for row in table.rows} == {"fast", "exact"}


def test_training_leaves_16_bits_out(halved, monkeypatch):
    monkeypatch.setattr(train, "ROUND_FLOPS", {"cpu": 1})
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    problem = Problem(64, 3, 2, (32, 48, 24), CPU, rows=512)
    table, timings = train.compare(problem, 1)
    names = [str(row[0]) for row in table.rows]
    assert any("bfloat16" in name for name in names) is halved
    assert (train.FAST in names) is halved
    assert ("Left out: what multiplies in 16 bits" in " ".join(table.notes)) is not halved
    (row,) = train.grown([(problem, timings)]).rows
    assert (row[3] is not None) is halved


def test_without_16_bits_the_largest_training_is_left_out(halved):
    assert len(train.sizes_on(CPU, quick=False)) == len(train.SIZES) - (not halved)
    assert train.sizes_on(CPU, quick=True) == train.SIZES[:2]
