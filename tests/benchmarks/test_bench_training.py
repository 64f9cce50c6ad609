"""Contenders must train the same projector, or their times cannot be compared."""

import pytest
import torch
import train
from training_contenders import (
    Problem,
    compiled,
    endless,
    naive,
    ours,
    products,
    recall_at_1,
    running,
)


@pytest.fixture(scope="module")
def problem():
    return Problem(64, 3, 2, (32, 48, 24), torch.device("cpu"), rows=512)


@pytest.fixture(autouse=True)
def _one_step_a_round(monkeypatch):
    monkeypatch.setattr(train, "ROUND_FLOPS", {"cpu": 1})


@pytest.fixture
def uncompiled(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)


def trained(problem, make, steps=6, precision="exact"):
    projector = problem.projector()
    step = make(projector)
    batches = endless(problem, precision)
    return projector, [float(step(*next(batches))) for _ in range(steps)]


def test_contenders_train_the_same_projector(problem, uncompiled):
    reference, expected = trained(problem, naive)
    x = torch.nn.functional.normalize(torch.randn(9, 32, generator=torch.Generator()))
    for make in (lambda p: ours(p, problem, "exact"), compiled):
        projector, losses = trained(problem, make)
        assert losses == pytest.approx(expected, rel=1e-3)
        # Parameters and running statistics: six steps of Adam apart by rounding.
        cosines = (projector.eval()(x) * reference.eval()(x)).sum(1)
        assert cosines.min() > 0.999
    _, rounded = trained(problem, lambda p: naive(p, autocast=torch.bfloat16))
    assert rounded == pytest.approx(expected, rel=0.02)


def test_the_same_layers_are_multiplied_as_are_counted(problem, monkeypatch):
    flops = 0
    multiply = torch.mm

    def counted(a, b, out):
        nonlocal flops
        flops += 2 * a.shape[0] * a.shape[1] * b.shape[1]
        return multiply(a, b, out=out)

    call = products(problem, torch.float32)
    monkeypatch.setattr(torch, "mm", counted)
    call()
    assert flops == problem.flops
    flops = 0
    running(problem, "exact", ours(problem.projector(), problem, "exact"))()
    assert flops == problem.flops


def test_training_raises_the_score_of_unseen_items(problem):
    untrained = recall_at_1(problem.projector(), problem, rows=128)
    projector, _ = trained(problem, lambda p: ours(p, problem, "exact"), steps=80)
    assert recall_at_1(projector, problem, rows=128) > 3 * untrained


def test_tables_are_made(problem, uncompiled):
    table, timings = train.compare(problem, rounds=1)
    assert table.rows[0][2] == 1.0
    assert len(table.rows) == len(timings.rounds) == 8
    assert len(train.grown([(problem, timings)]).rows) == 1


def test_a_missing_compiler_is_told_below_the_table(problem, monkeypatch):
    def missing(function, **options):
        def fail(*inputs):
            raise RuntimeError("no compiler")

        return fail

    monkeypatch.setattr(torch, "compile", missing)
    table, _ = train.compare(problem, rounds=1)
    assert len(table.rows) == 7
    assert "left out" in table.notes[0]
