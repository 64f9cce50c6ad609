"""The same results on a CUDA device: pretended on any machine, and a GPU where there is one.

Tests of real GPUs are skipped without one, which the run's summary says. ``pretend_cuda`` says what
the pretended device checks; docs/measurements.md what it cannot.
"""

import numpy as np
import pytest
import torch

from reactions.core.described import DescribedItems
from reactions.ops import pairs
from reactions.ops.centres import class_scores, fixed_point, medoids, nearest
from reactions.ops.closed_form import fit_map
from reactions.ops.fit import PseudoSet, TrainingSettings, fit
from reactions.ops.heads import make_head
from reactions.ops.kernels.choice import DeviceKind, tried
from reactions.ops.kernels.operations import EXPONENTIALS, LOGIT_GRADIENTS, WEIGHTS
from reactions.ops.lcl import LayerRun, LayerTrainer
from reactions.ops.losses import InfoNCEGradient
from reactions.ops.projector import project
from reactions.ops.retrieval import soft_retrieve
from reactions.ops.tiles import Tiling
from reactions.ops.tuning import EmbeddedRows, Tuner, TuningRun


def unit_rows(n: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(n, d)) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("precision", "tolerance"), [("exact", 1e-5), ("fast", 6e-4)])
def test_soft_retrieval_agrees_with_the_cpu(precision, tolerance, cuda):
    q, k, v = unit_rows(300, 768, 0), unit_rows(1000, 768, 1), unit_rows(1000, 48, 2)
    expected = soft_retrieve(q, k, [k, v], temperature=0.01, precision="exact")
    tiling = Tiling(query_rows=200, block_rows=96, key_rows=128)  # several of each
    options = {"temperature": 0.01, "precision": precision, "device": cuda, "tiling": tiling}
    for on_cpu, other in zip(expected, soft_retrieve(q, k, [k, v], **options), strict=True):
        assert other.device.type == "cpu"
        assert (on_cpu - other).norm() / on_cpu.norm() < tolerance


def test_a_peak_outside_the_sample_moves_the_shift(cuda):
    # Two thousand keys far away, and each query itself where the sample does not look.
    k = unit_rows(2304, 64, 1)
    places = np.arange(40, 2304, 72)[:24]
    q = k[places]
    expected = soft_retrieve(q, k, [k], temperature=0.01, precision="exact")
    rows = soft_retrieve(q, k, [k], temperature=0.01, device=cuda)
    assert (expected[0] - rows[0]).norm() / expected[0].norm() < 3e-3


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_memory_stays_within_the_budget():
    q, k = (torch.from_numpy(unit_rows(4096, 256, s)).half() for s in (0, 1))
    budget = 32 << 20
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    soft_retrieve(q, k, [k, k], temperature=0.01, device="cuda:0", memory_bytes=budget)
    assert torch.cuda.max_memory_allocated() - before <= budget


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_all_kernels_agree_and_are_timed():
    pytest.importorskip("triton")
    kind = DeviceKind.of(torch.device("cuda:0"))
    n, t = 512, 2
    logits = torch.randn(n, t * n, device="cuda:0") * 4
    weights = logits.bfloat16().exp2()
    per_row, per_column, match = (
        torch.rand(shape, device="cuda:0").bfloat16() for shape in ((1, n, t), (1, t, n), (1, t, n))
    )
    for operation, arguments in (
        (WEIGHTS, (logits, torch.float16)),
        (EXPONENTIALS, (logits.bfloat16(), t, n, 0)),
        (LOGIT_GRADIENTS, (weights, per_row, per_column, match, 0, torch.empty_like(weights))),
    ):
        trial, _ = tried(operation, arguments, kind.seconds)
        assert "triton" in trial.milliseconds, trial


def test_a_closed_form_agrees_with_the_cpu(cuda):
    sets = [PseudoSet([unit_rows(900, 48, s)], [unit_rows(900, 32, s + 5)]) for s in range(2)]
    maps = [
        fit_map(
            sets,
            ["text"],
            ["text"],
            recipe="procrustes",
            name="A + Dr(B)",
            modalities=["text"],
            device=device,
        )[0]
        for device in ("cpu", cuda)
    ]
    for name, tensor in maps[0].state().items():
        torch.testing.assert_close(maps[1].state()[name], tensor, rtol=0, atol=1e-5)


def test_training_agrees_with_the_cpu(cuda):
    sets = [
        PseudoSet(
            [unit_rows(512, 24, s) for s in range(3)], [unit_rows(512, 16, s + 5) for s in range(2)]
        )
    ]
    settings = TrainingSettings(hidden_dim=32, temperature=0.02, batch_size=128, epochs=2, seed=0)
    on_cpu, cpu_loss = fit(sets, settings)
    on_cuda, cuda_loss = fit(sets, settings, device=cuda)
    np.testing.assert_allclose(cpu_loss, cuda_loss, rtol=1e-2)
    x = torch.from_numpy(unit_rows(50, 24, 9))
    cosine = (project([on_cpu], x) * project([on_cuda], x.to(cuda)).cpu()).sum(dim=1)
    assert cosine.min() > 0.99


def pseudo_sets() -> list[PseudoSet]:
    return [
        PseudoSet(
            [unit_rows(n, 48, s) for s in range(3)], [unit_rows(n, 40, s + 5) for s in range(2)]
        )
        for n in (700, 300)
    ]


@pytest.mark.parametrize("precision", ["fast", "exact"])
def test_streamed_training_is_resident_training(monkeypatch, precision, cuda):
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 16)
    monkeypatch.setattr(pairs, "WINDOW_ROWS", 256)
    settings = TrainingSettings(hidden_dim=64, temperature=0.02, batch_size=96, epochs=3, seed=0)
    options = {"device": cuda, "precision": precision}
    resident, history = fit(pseudo_sets(), settings, **options)
    streamed, other = fit(pseudo_sets(), settings, **options, resident=False)
    assert history == other
    assert all(torch.equal(resident.state()[k], v) for k, v in streamed.state().items())


def test_bfloat16_training_agrees_with_float32(cuda):
    settings = TrainingSettings(hidden_dim=64, temperature=0.02, batch_size=128, epochs=3, seed=0)
    exact, expected = fit(pseudo_sets(), settings, device=cuda, precision="exact")
    fast, losses = fit(pseudo_sets(), settings, device=cuda, precision="fast")
    np.testing.assert_allclose(losses, expected, rtol=1e-2)
    x = torch.from_numpy(unit_rows(50, 48, 9)).to(cuda)
    assert (project([exact], x) * project([fast], x)).sum(dim=1).min() > 0.98


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
def test_other_recipes_train_much_as_on_the_cpu(recipe, cuda):
    settings = TrainingSettings(hidden_dim=16, temperature=0.02, batch_size=300, epochs=1, seed=0)
    losses = [
        fit(pseudo_sets(), settings, recipe=recipe, shared=[(0, 0)], device=device)[1]
        for device in ("cpu", cuda)
    ]
    np.testing.assert_allclose(*losses, rtol=0.05)  # a GPU draws other noise


def test_tiny_temperatures_train_as_on_the_cpu(cuda):
    settings = TrainingSettings(hidden_dim=16, temperature=0.01, batch_size=300, epochs=1, seed=0)
    losses = [fit(pseudo_sets(), settings, device=device)[1] for device in ("cpu", cuda)]
    np.testing.assert_allclose(*losses, rtol=1e-3)


@pytest.mark.parametrize("half", [None, torch.bfloat16, torch.float16])
def test_projectors_are_tuned_much_as_on_the_cpu(half, cuda):
    rows, targets = (torch.from_numpy(unit_rows(64, width, width)) for width in (24, 16))
    run = TuningRun(
        epochs=3,
        batch_size=32,
        micro_batch=12,
        temperature=0.05,
        weight_decay=0.01,
        warm_up=0.2,
        seed=0,
    )
    losses, states = [], []
    for device, half_type in (("cpu", None), (cuda, half)):
        head = make_head("paper", 24, 16, 32, seed=0).eval().to(device)
        source = EmbeddedRows(rows, [[head]], device)
        groups = [(1e-3, list(head.parameters()))]
        tuner = Tuner(source, groups, targets, run, device=device, half=half_type)
        losses.append(tuner.run())
        states.append(tuner.state())
        tuner.restore(states[-1])
    # The casts of a whole forward pass to 8 bits of mantissa, at logits of 20.
    np.testing.assert_allclose(*losses, rtol=1e-4 if half is None else 0.03)
    assert ("scaler" in states[1]) == (half is torch.float16)


def test_tiles_of_logits_agree_with_the_cpu(cuda):
    rows, targets = (
        torch.randn(2 * 150, 24),
        torch.from_numpy(unit_rows(300, 24, 1)).view(2, 150, 24),
    )
    results = []
    for device in ("cpu", cuda):
        engine = InfoNCEGradient(
            2, 2, 150, 24, temperature=0.02, dtype=torch.float32, device=device, tile_bytes=1
        )
        loss, gradient = engine.gradient(rows.to(device, copy=True), targets.to(device))
        results.append((loss.cpu(), gradient.cpu()))
    torch.testing.assert_close(*results, rtol=1e-3, atol=1e-3)


def test_a_layer_is_aligned_as_on_the_cpu(cuda):
    rows, texts = (torch.from_numpy(unit_rows(256, 64, seed)) for seed in (1, 2))
    described = DescribedItems.of([[i] for i in range(256)])
    settings = LayerRun(
        epochs=3,
        batch_size=32,
        learning_rate=1e-3,
        temperature=0.1,
        symmetric=True,
        masked=True,
        init="default",
        weight_decay=0.01,
        clip_norm=1.0,
        seed=5,
    )
    on_cpu, on_gpu = (
        LayerTrainer(rows, texts, described, settings, device=device) for device in ("cpu", cuda)
    )
    assert torch.equal(on_cpu.layer["weight"], on_gpu.layer["weight"])
    np.testing.assert_allclose(on_cpu.run(), on_gpu.run(), rtol=1e-4)  # float32, summed otherwise
    resumed = LayerTrainer(rows, texts, described, settings, device=cuda)
    resumed.restore(on_gpu.state())
    for name, value in on_cpu.layer.items():
        np.testing.assert_allclose(value, on_gpu.layer[name], atol=1e-4, err_msg=name)
        assert torch.equal(resumed.layer[name], on_gpu.layer[name])


@pytest.mark.parametrize("rule", ["mean", "nearest-row", "sum", "top-m"])
def test_centres_are_the_same_and_score_the_same(rule, cuda):
    rows = torch.from_numpy(unit_rows(300, 256, 0)).half()
    on_cpu, on_gpu = fixed_point(rows), fixed_point(rows.to(cuda))
    assert torch.equal(on_cpu, on_gpu.cpu())
    assert torch.equal(nearest(on_cpu, on_cpu, 50), nearest(on_gpu, on_gpu, 50).cpu())
    assert torch.equal(medoids(on_cpu, 20, seed=1), medoids(on_gpu, 20, seed=1).cpu())
    centres, counts = rows.float().view(10, 30, 256), torch.full((10,), 30)
    items = torch.from_numpy(unit_rows(64, 256, 2))
    scores = class_scores(items, centres, counts, rule=rule, m=5)
    other = class_scores(items.to(cuda), centres.to(cuda), counts.to(cuda), rule=rule, m=5)
    assert torch.allclose(scores, other.cpu(), atol=1e-5)
