from dataclasses import replace

import numpy as np
import pytest
import torch

import reactions.ops.training as training
from reactions.errors import DataError
from reactions.ops.training import PseudoSet, TrainingSettings, fit

SETTINGS = TrainingSettings(
    hidden_dim=32, temperature=0.05, learning_rate=3e-3, batch_size=64, epochs=6, seed=0
)


def rotation_sets(sizes: tuple[int, ...], seed: int = 0) -> list[PseudoSet]:
    """Targets are a fixed linear image of the sources: a projector can learn it."""
    rng = np.random.default_rng(seed)
    turn = rng.normal(size=(8, 6))
    sets = []
    for n in sizes:
        base = rng.normal(size=(n, 8))
        noisy = [base + 0.1 * rng.normal(size=base.shape) for _ in range(3)]
        sets.append(
            PseudoSet(
                source=[x.astype(np.float32) for x in noisy],
                target=[(x @ turn).astype(np.float32) for x in noisy[:2]],
            )
        )
    return sets


def test_learns_a_linear_map():
    sets = rotation_sets((400, 300))
    projector, history = fit(sets, replace(SETTINGS, epochs=30))
    assert len(history) == 30
    assert history[-1] < 0.5 * history[0]
    x, y = rotation_sets((100,), seed=0)[0].source[0], rotation_sets((100,), seed=0)[0].target[0]
    out = projector(torch.nn.functional.normalize(torch.from_numpy(x), dim=1)).detach().numpy()
    nearest = (out @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T).argmax(axis=1)
    assert (nearest == np.arange(100)).mean() > 0.8


def test_same_seed_same_projector_other_seed_another():
    sets = rotation_sets((200,))
    first, again = fit(sets, SETTINGS)[0].state(), fit(sets, SETTINGS)[0].state()
    assert all(torch.equal(first[k], again[k]) for k in first)
    other = fit(sets, TrainingSettings(32, 0.05, 3e-3, 64, 6, seed=1))[0].state()
    assert not torch.equal(first["0.weight"], other["0.weight"])


def test_streaming_windows_give_the_resident_result(monkeypatch):
    monkeypatch.setattr(training, "BLOCK_ROWS", 32)
    monkeypatch.setattr(training, "WINDOW_ROWS", 128)
    sets = rotation_sets((150, 90))
    resident, history = fit(sets, SETTINGS)
    streamed, other = fit(sets, SETTINGS, resident=False)
    assert history == other
    assert all(torch.equal(resident.state()[k], v) for k, v in streamed.state().items())


def test_every_row_is_seen_once_an_epoch(monkeypatch):
    monkeypatch.setattr(training, "BLOCK_ROWS", 16)
    monkeypatch.setattr(training, "WINDOW_ROWS", 64)
    marks = np.eye(100, dtype=np.float32)
    pool = training._Pool(
        [PseudoSet([marks[:60]], [marks[:60]]), PseudoSet([marks[60:]], [marks[60:]])], None
    )
    seen = [int(r) for x, _ in pool.batches(4, torch.Generator(), "cpu") for r in x[0].argmax(1)]
    assert len(seen) == len(set(seen))
    assert len(seen) >= 100 - 2 * 3  # at most batch - 1 rows dropped in each of two windows


def test_small_sets_and_progress():
    calls: list[tuple[int, int]] = []
    fit(rotation_sets((10,)), SETTINGS, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6)
    with pytest.raises(DataError, match="too few"):
        fit(rotation_sets((1,)), SETTINGS)


def test_divergence_is_an_error_not_a_result():
    sets = rotation_sets((80,))
    bad = PseudoSet([np.full((80, 8), np.nan, np.float32)] * 3, sets[0].target)
    with pytest.raises(DataError, match="not finite"):
        fit([bad], SETTINGS)
