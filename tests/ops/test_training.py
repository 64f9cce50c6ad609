import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from reactions.core.errors import DataError
from reactions.ops import pairs, precision
from reactions.ops.fit import TrainingSettings, fit
from reactions.ops.losses import pairwise_info_nce
from reactions.ops.pairs import PseudoSet, PseudoTable
from reactions.ops.projector import Projector
from reactions.ops.tensors import unit

SETTINGS = TrainingSettings(
    hidden_dim=32, temperature=0.05, learning_rate=3e-3, batch_size=64, epochs=6, seed=0
)


@pytest.fixture
def bfloat16(monkeypatch):
    """Make any CPU count as one with fast bfloat16."""
    monkeypatch.setattr(precision, "cpu_has_bfloat16", lambda: True)


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


def clustered(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(3, n, 48) and (2, n, 40): items in concepts, a gap between modalities, noise."""
    world, draw = np.random.default_rng(99), np.random.default_rng(seed)
    concepts = world.normal(size=(n // 8, 16))
    items = concepts[draw.integers(len(concepts), size=n)] + 0.6 * draw.normal(size=(n, 16))
    sides = []
    for modalities, dim in ((3, 48), (2, 40)):
        turn = world.normal(size=(16, dim)) / 4
        gaps = 0.5 * world.normal(size=(modalities, 1, dim))
        sides.append(np.tanh(items @ turn) + gaps + 0.3 * draw.normal(size=(modalities, n, dim)))
    return sides[0].astype(np.float32), sides[1].astype(np.float32)


def plain_loop(table: PseudoTable, settings: TrainingSettings) -> tuple[Projector, list[float]]:
    """What one would write: the module, the loss as defined, autograd, Adam; all in float32."""
    projector = Projector(
        table.source_dim, table.target_dim, settings.hidden_dim, seed=settings.seed
    ).train()
    optimiser = torch.optim.Adam(projector.parameters(), lr=settings.learning_rate)
    generator = torch.Generator().manual_seed(settings.seed)
    size = settings.batch_size
    losses = []
    for x, y in table.batches((0,), size, settings.epochs, generator):
        out = projector(x.flatten(0, 1)).view(len(x), size, -1)
        loss = pairwise_info_nce(out, y, temperature=settings.temperature)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    history = np.mean(np.reshape(losses, (settings.epochs, -1)), axis=1)
    return projector.eval(), history.tolist()


def recall_at_1(projector: Projector, source: np.ndarray, target: np.ndarray) -> float:
    """Mean over all pairs of modalities, of rows the projector has not seen."""
    x, y = unit(torch.from_numpy(source)), unit(torch.from_numpy(target))
    with torch.no_grad():
        out = projector(x.flatten(0, 1)).view(len(x), x.shape[1], -1)
    hits = torch.einsum("snd,tmd->stnm", out, y).argmax(3) == torch.arange(x.shape[1])
    return hits.float().mean().item()


def test_learns_a_linear_map():
    sets = rotation_sets((400, 300))
    projector, history = fit(sets, replace(SETTINGS, epochs=30))
    assert len(history) == 30
    assert history[-1] < 0.5 * history[0]
    x, y = rotation_sets((100,), seed=0)[0].source[0], rotation_sets((100,), seed=0)[0].target[0]
    out = projector(torch.nn.functional.normalize(torch.from_numpy(x), dim=1)).detach().numpy()
    nearest = (out @ (y / np.linalg.norm(y, axis=1, keepdims=True)).T).argmax(axis=1)
    assert (nearest == np.arange(100)).mean() > 0.8


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_same_seed_same_projector_other_seed_another(bfloat16, precision):
    sets = rotation_sets((200,))
    runs = [fit(sets, replace(SETTINGS, seed=s), precision=precision)[0].state() for s in (0, 0, 1)]
    first, repeated, other = runs
    assert all(torch.equal(first[k], repeated[k]) for k in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_streaming_windows_give_the_resident_result(bfloat16, monkeypatch, precision):
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 16)
    monkeypatch.setattr(pairs, "WINDOW_ROWS", 64)
    sets = rotation_sets((150, 90))
    resident, history = fit(sets, SETTINGS, precision=precision)
    streamed, other = fit(sets, SETTINGS, precision=precision, resident=False)
    assert history == other
    assert all(torch.equal(resident.state()[k], v) for k, v in streamed.state().items())


def test_a_subset_of_a_shared_table_trains_as_it_would_alone():
    sets = rotation_sets((150, 90, 120))
    shared = PseudoTable(sets)
    for chosen in ((0,), (2,), (0, 2), (0, 1, 2)):
        together, history = fit(shared, SETTINGS, chosen=chosen)
        alone, expected = fit([sets[i] for i in chosen], SETTINGS)
        assert history == expected
        assert all(torch.equal(together.state()[k], v) for k, v in alone.state().items())


def test_exact_is_the_plain_loop():
    source, target = clustered(512)
    table = PseudoTable([PseudoSet(list(source), list(target))])
    settings = TrainingSettings(hidden_dim=64, temperature=1 / 50, batch_size=128, epochs=4, seed=3)
    projector, history = fit(table, settings)
    reference, expected = plain_loop(table, settings)
    # Sixteen steps of Adam; rounding differs from the first on.
    assert history == pytest.approx(expected, rel=2e-3)
    x = unit(torch.from_numpy(source[0]))
    assert (projector(x) * reference(x)).sum(dim=1).min() > 0.999


def test_fast_has_the_loss_curve_and_the_retrieval_score_of_exact(bfloat16):
    source, target = clustered(1024)
    sets = [PseudoSet(list(source[:, :768]), list(target[:, :768]))]
    settings = TrainingSettings(
        hidden_dim=64, temperature=1 / 50, batch_size=128, epochs=12, seed=3
    )
    scores, curves = [], []
    for precision_name in ("exact", "fast"):
        projector, history = fit(sets, settings, precision=precision_name)
        curves.append(history)
        scores.append(recall_at_1(projector, source[:, 768:], target[:, 768:]))
    exact, fast = np.array(curves)
    assert exact[-1] < 0.2 * exact[0]
    # Six terms; each may wander by a hundredth of its size and of a nat.
    np.testing.assert_allclose(fast, exact, rtol=0.01, atol=0.06)
    untrained = recall_at_1(Projector(48, 40, 64, seed=3).eval(), source[:, 768:], target[:, 768:])
    assert scores[0] > untrained + 0.3
    # 256 items, the same for both: half of the standard error of sqrt(0.25 / 256).
    assert scores[1] == pytest.approx(scores[0], abs=0.016)


def test_small_sets_and_progress():
    calls: list[tuple[int, int]] = []
    fit(rotation_sets((10,)), SETTINGS, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (6, 6)
    with pytest.raises(DataError, match="too few"):
        fit(rotation_sets((1,)), SETTINGS)


def test_progress_counts_every_step_also_when_streamed(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 16)
    monkeypatch.setattr(pairs, "WINDOW_ROWS", 64)
    calls: list[tuple[int, int]] = []
    settings = replace(SETTINGS, batch_size=33)
    fit(
        rotation_sets((150, 90)),
        settings,
        resident=False,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(i + 1, 6 * (240 // 33)) for i in range(6 * (240 // 33))]


def test_each_epochs_loss_is_reported_and_in_long_epochs_that_of_every_few_steps(monkeypatch):
    settings = replace(SETTINGS, batch_size=20, epochs=2)

    def points(n: int) -> tuple[list[tuple[str, float, int]], list[float]]:
        measured: list[tuple[str, float, int]] = []
        _, history = fit(
            rotation_sets((n,)), settings, measure=lambda *point: measured.append(point)
        )
        return measured, history

    measured, history = points(140)
    assert measured == [("loss", history[0], 1), ("loss", history[1], 2)]
    monkeypatch.setattr("reactions.ops.fit.LOSS_EVERY_STEPS", 3)
    measured, second_history = points(
        140
    )  # 7 steps: two of 3, and one that counts in the epoch's alone
    assert second_history == history
    assert [(name, at) for name, _, at in measured] == [
        *[("loss by step", 3), ("loss by step", 6), ("loss", 1)],
        *[("loss by step", 10), ("loss by step", 13), ("loss", 2)],
    ]
    assert measured[0][1] > measured[1][1] > measured[3][1]  # the loss falls
    measured, history = points(120)
    assert np.mean([value for name, value, at in measured if at in (3, 6)]) == pytest.approx(
        history[0]
    )
    assert [name for name, _, _ in points(100)[0]] == ["loss", "loss"]  # 5 steps: a short epoch


@pytest.mark.parametrize("precision", ["exact", "fast"])
def test_divergence_is_an_error_not_a_result(bfloat16, precision):
    sets = rotation_sets((80,))
    bad = PseudoSet([np.full((80, 8), np.nan, np.float32)] * 3, sets[0].target)
    with pytest.raises(DataError, match="not finite"):
        fit([bad], SETTINGS, precision=precision)


def test_stopping_a_streamed_run_stops_its_thread(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 16)
    monkeypatch.setattr(pairs, "WINDOW_ROWS", 64)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(rotation_sets((300,)), SETTINGS, resident=False, progress=stop)
    assert not [t for t in threading.enumerate() if t.name.startswith("window")]


@pytest.mark.parametrize(("least", "threads_used"), [(0.0, 2), (1e30, 1)])
def test_small_steps_are_left_to_one_thread(monkeypatch, least, threads_used):
    threads = []
    monkeypatch.setattr("reactions.ops.threads.LEAST_FLOPS_FOR_THREADS", least)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        fit(
            rotation_sets((70,)),
            SETTINGS,
            progress=lambda done, total: threads.append(torch.get_num_threads()),
        )
        assert set(threads) == {threads_used}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
