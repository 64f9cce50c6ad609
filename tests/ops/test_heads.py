"""The heads and losses of other recipes, against their formulas written out in float64."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from reactions.exchange.import_mcr import OURS
from reactions.ops import mcr as module
from reactions.ops.architectures import CONSTANTS, size
from reactions.ops.fit import TrainingSettings, fit
from reactions.ops.heads import load_head, make_head
from reactions.ops.mcr import (
    McrTrainer,
    add_noise,
    cmcr_loss,
    connected,
    exmcr_loss,
    gap,
    within,
)
from reactions.ops.pairs import PseudoSet
from reactions.ops.recipes import recipe_of
from reactions.ops.tensors import unit

RECIPES = ["cmcr", "exmcr"]


def rows(*shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return unit(torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)


# --- losses ---


def info(x, y, temperature):
    """InfoNCE of matched rows in float64, the mean of both directions."""
    total = 0.0
    for queries, keys in ((x, y), (y, x)):
        logits = queries @ keys.T / temperature
        peak = logits.max(axis=1)
        total += np.mean(peak + np.log(np.exp(logits - peak[:, None]).sum(1)) - np.diag(logits))
    return total / 2


def distance(x, y):
    return np.mean(np.sqrt(((x - y) ** 2).sum(axis=1)))


def test_cmcr_loss_as_its_paper_has_it():
    # Two spaces of two modalities that share one, as in C-MCR: text and audio, text and image.
    projected, targets = rows(2, 11, 6, seed=1), rows(2, 11, 6, seed=2)
    (text, audio), (other_text, image) = projected.double().numpy(), targets.double().numpy()
    expected = info(text, other_text, 1 / 100) + info(audio, image, 1 / 100)
    expected += 0.1 * distance(text, audio) / 2
    # float32 logits of up to 100 are good to 1e-5.
    assert cmcr_loss(projected, targets, [(0, 0)]).item() == pytest.approx(expected, rel=1e-5)


def test_exmcr_loss_as_its_paper_has_it():
    within, projected, targets = (rows(2, 11, d, seed=d) for d in (5, 6, 7))
    targets = rows(2, 11, 6, seed=7)
    (text, audio), (other_text, image) = projected.double().numpy(), targets.double().numpy()
    terms = [info(a, b, 1 / 50) for a in (text, audio) for b in (other_text, image)]
    expected = sum(terms) / 4 + 0.1 * distance(*within.double().numpy()) / 2
    loss = exmcr_loss(within, projected, targets).item()
    assert loss == pytest.approx(expected, rel=1e-5)


def test_three_modalities_have_three_gaps_and_one_has_none():
    x = rows(3, 9, 4, dtype=torch.float64)
    expected = sum(distance(a, b) / 2 for a, b in itertools.combinations(x.numpy(), 2))
    assert gap(x).item() == pytest.approx(expected, rel=1e-12)
    assert gap(x[:1]).item() == 0.0


@pytest.mark.parametrize(
    ("sources", "targets", "shared", "others"),
    [
        (2, 2, [(0, 0)], [(1, 1)]),  # C-MCR's own case
        (2, 3, [(0, 0), (1, 2)], [(0, 1), (1, 1)]),  # CLAP into ImageBind: image meets both
        (3, 2, [(1, 0), (2, 1)], [(0, 0), (0, 1)]),  # ImageBind into InternVL: audio meets both
        (2, 2, [(0, 0), (1, 1)], []),
        (3, 3, [(0, 0)], [(1, 1), (1, 2), (2, 1), (2, 2)]),
    ],
)
def test_which_modalities_meet(sources, targets, shared, others):
    assert sorted(connected(sources, targets, shared)) == sorted([*shared, *others])


def test_noise_has_the_variance_asked_for_and_leaves_unit_rows():
    x = rows(4000, 8)
    noisy = add_noise(x, 0.004, torch.Generator().manual_seed(0))
    torch.testing.assert_close(noisy.norm(dim=1), torch.ones(4000))
    # Across the row, where scaling back changes second order alone: 7 of 8 coordinates.
    orthogonal = noisy - (noisy * x).sum(dim=1, keepdim=True) * x
    assert orthogonal.square().sum(dim=1).mean().item() == pytest.approx(7 * 0.004, rel=0.05)


# --- heads ---


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_head_is_rebuilt_from_its_state(recipe):
    head = make_head(recipe, 6, 4, seed=3)
    McrTrainer(head, recipe, [], learning_rate=0.1, seed=0).step(rows(2, 9, 6), rows(2, 9, 4))
    head.eval()
    rebuilt = load_head(recipe, head.state())
    assert not rebuilt.training
    assert rebuilt.widths == (6, 4)
    x = rows(5, 6, seed=9)
    assert torch.equal(rebuilt(x), head(x))
    torch.testing.assert_close(head(x).norm(dim=1), torch.ones(5))
    assert size(recipe_of(recipe).layers(6, 4, 99)) == sum(v.numel() for v in head.state().values())


def test_published_widths():
    assert [layer.n_out for layer in recipe_of("cmcr").layers(512, 512, 2048)] == [1024, 512]
    assert [layer.n_out for layer in recipe_of("exmcr").layers(512, 512, 0)] == [
        512,
        1024,
        512,
        1024,
        512,
    ]


def mlp(x, w, first):
    def batch_norm(y, layer):
        y = (y - w[f"{layer}.running_mean"]) / np.sqrt(w[f"{layer}.running_var"] + 1e-5)
        return y * w[f"{layer}.weight"] + w[f"{layer}.bias"]

    y = batch_norm(x @ w[f"{first}.weight"].T + w[f"{first}.bias"], first + 1)
    y = np.maximum(y, 0) @ w[f"{first + 3}.weight"].T + w[f"{first + 3}.bias"]
    return batch_norm(y, first + 4)


def shaken(head, seed=0):
    """Give every tensor values of its own, so that none may be mistaken for another."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        name: value + 0.3 * torch.rand(value.shape, generator=generator)
        for name, value in head.state().items()
    }
    return load_head("exmcr", state)


def test_an_extending_head_by_hand():
    fresh = make_head("exmcr", 6, 4, seed=1)
    x = rows(7, 6)
    torch.testing.assert_close(within(fresh, x), x)  # starts as the identity
    head = shaken(fresh)
    w = {name: value.double().numpy() for name, value in head.state().items()}
    y = x.double().numpy() @ w["0.weight"].T + w["0.bias"]
    inside = y / np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(within(head, x).detach().numpy(), inside, atol=1e-6)
    y = mlp(mlp(y, w, 1), w, 6)
    expected = y / np.linalg.norm(y, axis=1, keepdims=True)
    np.testing.assert_allclose(head(x).detach().numpy(), expected, atol=1e-5)


# --- training ---


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_tensor_gets_a_finite_gradient(recipe):
    head = make_head(recipe, 6, 4)
    McrTrainer(head, recipe, [(0, 0)], learning_rate=0.0, seed=0).step(
        rows(2, 16, 6), rows(3, 16, 4, seed=1)
    )
    for name, parameter in head.named_parameters():
        assert parameter.grad.isfinite().all(), name
        if name.endswith("weight"):
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("recipe", RECIPES)
def test_gradients_match_finite_differences(recipe):
    head = make_head(recipe, 4, 3).double()
    x, y = rows(2, 6, 4, dtype=torch.float64), rows(2, 6, 3, seed=1, dtype=torch.float64)
    trainer = McrTrainer(head, recipe, [(0, 1)], learning_rate=0.0, seed=0)

    def loss(x):
        return trainer._loss(unit(x), y)

    assert torch.autograd.gradcheck(loss, x.requires_grad_())


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_step_adds_noise_to_both_sides_and_updates(recipe, monkeypatch):
    noised = []
    monkeypatch.setattr(
        module, "add_noise", lambda x, v, g: noised.append((x.shape[-1], v)) or add_noise(x, v, g)
    )
    head = make_head(recipe, 6, 4)
    before = head.state()
    loss = McrTrainer(head, recipe, [], learning_rate=1e-3, seed=0).step(
        rows(2, 16, 6), rows(3, 16, 4, seed=1)
    )
    assert noised == [(6, 0.004), (4, 0.004)]
    assert loss.isfinite()
    assert not loss.requires_grad
    assert all(not torch.equal(head.state()[n], v) for n, v in before.items() if "weight" in n)


def toy(n, seed=0):
    """Sources are a nonlinear image of the targets' own latents, with a gap between modalities."""
    world, draw = np.random.default_rng(9), np.random.default_rng(seed)
    items = draw.normal(size=(n, 12))
    sides = []
    for modalities, dim in ((2, 24), (3, 20)):
        turn = world.normal(size=(12, dim)) / 3
        gaps = 0.3 * world.normal(size=(modalities, 1, dim))
        side = np.tanh(items @ turn) + gaps + 0.1 * draw.normal(size=(modalities, n, dim))
        sides.append(unit(torch.from_numpy(side.astype(np.float32))))
    return sides


def recall_at_1(head, x, y):
    with torch.no_grad():
        out = head(x.flatten(0, 1)).view(*x.shape[:2], -1)
    hits = torch.einsum("snd,tmd->stnm", out, y).argmax(3) == torch.arange(x.shape[1])
    return hits.float().mean().item()


SETTINGS = TrainingSettings(
    hidden_dim=8, temperature=0.05, learning_rate=3e-3, batch_size=128, epochs=12, seed=0
)


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_learns_and_repeats(recipe):
    x, y = toy(640)
    sets = [PseudoSet(list(x[:, :512].numpy()), list(y[:, :512].numpy()))]
    shared = [(0, 0), (1, 2)]
    head, history = fit(sets, SETTINGS, recipe=recipe, shared=shared)
    assert not head.training
    assert len(history) == SETTINGS.epochs
    assert history[-1] < 0.5 * history[0]
    untrained = make_head(recipe, 24, 20, seed=0).eval()
    x, y = x[:, 512:], y[:, 512:]
    assert recall_at_1(head, x, y) > recall_at_1(untrained, x, y) + 0.3
    repeated, same = fit(sets, SETTINGS, recipe=recipe, shared=shared)
    assert same == history
    assert all(torch.equal(repeated.state()[name], value) for name, value in head.state().items())
    other, _ = fit(sets, replace(SETTINGS, seed=1, epochs=1), recipe=recipe, shared=shared)
    assert not torch.equal(other.state()["1.weight"], head.state()["1.weight"])


def test_fit_hands_on_what_the_trainer_needs(monkeypatch):
    calls = []

    def spy(head, *arguments, **options):
        calls.append((*arguments, options))
        return McrTrainer(head, *arguments, **options)

    monkeypatch.setattr(module, "McrTrainer", spy)
    x, y = toy(32)
    settings = replace(SETTINGS, seed=5, epochs=1)
    fit([PseudoSet(list(x.numpy()), list(y.numpy()))], settings, recipe="cmcr", shared=[(0, 2)])
    assert calls == [("cmcr", [(0, 2)], {"learning_rate": 3e-3, "seed": 5})]


def test_the_gap_within_a_space_is_closed(monkeypatch):
    x, y = toy(512)
    sets = [PseudoSet(list(x.numpy()), list(y.numpy()))]
    gaps = []
    for weight in (0.0, 10.0):
        constants = {**CONSTANTS, "exmcr": replace(CONSTANTS["exmcr"], intra_weight=weight)}
        monkeypatch.setattr(module, "CONSTANTS", constants)
        head, _ = fit(sets, replace(SETTINGS, epochs=4), recipe="exmcr")
        with torch.no_grad():
            gaps.append(gap(within(head, x.flatten(0, 1)).view(x.shape)).item())
    assert gaps[1] < 0.8 * gaps[0]


# --- published checkpoints ---

MLP_SHAPES = {
    "net1.0.weight": (1024, 512),
    "net1.0.bias": (1024,),
    **{f"net1.1.{n}": (1024,) for n in ("weight", "bias", "running_mean", "running_var")},
    "net1.1.num_batches_tracked": (),
    "net2.0.weight": (512, 1024),
    "net2.0.bias": (512,),
    **{f"net2.1.{n}": (512,) for n in ("weight", "bias", "running_mean", "running_var")},
    "net2.1.num_batches_tracked": (),
}
PUBLISHED_SHAPES = {
    "cmcr": {f"{h}.{n}": s for h in ("Head_A", "Head_B") for n, s in MLP_SHAPES.items()},
    "exmcr": {
        "Head1.weight": (512, 512),
        "Head1.bias": (512,),
        **{f"Head2.{m}.{n}": s for m in ("mlp1", "mlp2") for n, s in MLP_SHAPES.items()},
    },
}


def published(recipe):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.rand(shape, generator=generator) / shape[-1] if shape else torch.tensor(7)
        for name, shape in PUBLISHED_SHAPES[recipe].items()
    }


def from_published(recipe, state):
    """Rebuild published heads by the table of names that importing uses."""
    return {
        head: load_head(recipe, {ours: state[name] for name, ours in names.items()})
        for head, names in OURS[recipe].items()
    }


def published_mlp(x, state, prefix):
    w = {n.removeprefix(f"{prefix}."): v.double().numpy() for n, v in state.items()}

    def batch_norm(y, name):
        y = (y - w[f"{name}.running_mean"]) / np.sqrt(w[f"{name}.running_var"] + 1e-5)
        return y * w[f"{name}.weight"] + w[f"{name}.bias"]

    y = batch_norm(x @ w["net1.0.weight"].T + w["net1.0.bias"], "net1.1")
    return batch_norm(np.maximum(y, 0) @ w["net2.0.weight"].T + w["net2.0.bias"], "net2.1")


def test_a_published_cmcr_checkpoint():
    state = published("cmcr")
    x = rows(3, 512)
    heads = from_published("cmcr", state)
    assert list(heads) == ["Head_A", "Head_B"]
    for name, head in heads.items():
        y = published_mlp(x.double().numpy(), state, name)
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        np.testing.assert_allclose(head(x).detach().numpy(), y, atol=1e-6)


def test_a_published_exmcr_checkpoint():
    state = published("exmcr")
    x = rows(3, 512)
    y = x.double().numpy() @ state["Head1.weight"].double().numpy().T
    y = y + state["Head1.bias"].double().numpy()
    y = published_mlp(published_mlp(y, state, "Head2.mlp1"), state, "Head2.mlp2")
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    (head,) = from_published("exmcr", state).values()
    np.testing.assert_allclose(head(x).detach().numpy(), y, atol=1e-6)
