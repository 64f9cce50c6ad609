from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes import Context, unit_rows
from pseudo_sets import BASE_DIM, EXPERT_DIM, SETTINGS, build, column, pseudo
from toy_steps import make_step

from reactions.core.hashing import digest
from reactions.ops import recipes
from reactions.ops.fit import PseudoTable, fit
from reactions.ops.heads import load_head
from reactions.ops.losses import pairwise_info_nce
from reactions.ops.projector import Projector
from reactions.ops.recipes import BUILT_IN
from reactions.steps import train as module
from reactions.steps.train import tensors

# --- equations 7 and 8, literally ---


def info(x, y, temperature=1 / 50):
    """InfoNCE of matched rows in float64, the mean of both directions."""
    total = 0.0
    for queries, keys in ((x, y), (y, x)):
        logits = queries @ keys.T / temperature
        peak = logits.max(axis=1)
        total += np.mean(peak + np.log(np.exp(logits - peak[:, None]).sum(1)) - np.diag(logits))
    return total / 2


def equation_7(Tvt, Vvt, psi_Tu, psi_Vu, psi_Au):
    return (
        info(Tvt, psi_Tu)
        + info(Tvt, psi_Vu)
        + info(Tvt, psi_Au)
        + info(Vvt, psi_Tu)
        + info(Vvt, psi_Vu)
        + info(Vvt, psi_Au)
    )


def equation_8(psi_Tat, psi_Aat, Tu, Vu, Au):
    # The paper writes V^at, which cannot exist: read as A^at.
    return (
        info(psi_Tat, Tu)
        + info(psi_Tat, Vu)
        + info(psi_Tat, Au)
        + info(psi_Aat, Tu)
        + info(psi_Aat, Vu)
        + info(psi_Aat, Au)
    )


def fp32(*rows):
    return torch.from_numpy(np.stack(rows).astype(np.float32))


def test_six_terms_in_one_product_are_equations_7_and_8():
    five = [unit_rows(11, 6, seed, np.float64) for seed in range(5)]
    T, V, *projected = five
    loss = pairwise_info_nce(fp32(*projected), fp32(T, V), temperature=1 / 50)
    # fp32 logits of up to 50 are good to 1e-5.
    assert loss.item() == pytest.approx(equation_7(T, V, *projected), rel=1e-5)
    T, A, *targets = five
    loss = pairwise_info_nce(fp32(T, A), fp32(*targets), temperature=1 / 50)
    assert loss.item() == pytest.approx(equation_8(T, A, *targets), rel=1e-5)


def initial_projection(seed, d_in, d_out, rows):
    """The projector before its first step, in training mode, in float64, by hand.

    Batch statistics are joint: the rows of all modalities go through together.
    """
    state = Projector(d_in, d_out, SETTINGS["hidden_dim"], seed=seed).state()
    weights = {name: value.double().numpy() for name, value in state.items()}

    def batch_norm(x):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)

    x = np.concatenate([r.astype(np.float64) for r in rows])
    x = np.maximum(batch_norm(x @ weights["0.weight"].T + weights["0.bias"]), 0)
    x = batch_norm(x @ weights["3.weight"].T + weights["3.bias"])
    return np.split(x / np.linalg.norm(x, axis=1, keepdims=True), len(rows))


@pytest.mark.parametrize("op", ["dr", "cr"])
@pytest.mark.parametrize("anchors", [("text",), ("audio", "image", "text")])
def test_the_first_loss_is_the_papers(op, anchors):
    step, inputs = build(op, anchors, epochs=1, batch_size=1000)
    context = Context()
    meta = step.run(context, inputs, 0, 1).meta
    assert context.measured == [("loss", meta["loss"][0], 1)]
    rows = {
        name: np.concatenate([column(inputs, anchor, name) for anchor in anchors])
        for name in ("base.text", "base.image", "base.audio", "expert.text", "expert.audio")
    }
    seed = int(digest("seed", [SETTINGS["seed"], op, list(anchors), []])[:12], 16)
    base = [rows["base.text"], rows["base.image"], rows["base.audio"]]
    expert = [rows["expert.text"], rows["expert.audio"]]
    if op == "dr":
        psi = initial_projection(seed, BASE_DIM, EXPERT_DIM, base)
        expected = equation_7(*[e.astype(float) for e in expert], *psi)
    else:
        psi = initial_projection(seed, EXPERT_DIM, BASE_DIM, expert)
        expected = equation_8(*psi, *[b.astype(float) for b in base])
    # fp32 through two batch norms.
    assert meta["loss"] == [pytest.approx(expected, rel=1e-4)]
    assert meta["pairs"] == 20 * len(anchors)


# --- what is read, and what is trained ---


@pytest.mark.parametrize(
    ("op", "source", "target"),
    [
        ("dr", ["base.audio", "base.image", "base.text"], ["expert.audio", "expert.text"]),
        ("cr", ["expert.audio", "expert.text"], ["base.audio", "base.image", "base.text"]),
    ],
)
def test_dr_projects_the_base_and_cr_the_expert(monkeypatch, op, source, target):
    step, inputs = build(op, ("audio", "text"))
    sets_seen = []
    monkeypatch.setattr("reactions.ops.fit.PseudoTable", spying(sets_seen))
    step.run(Context(), inputs, 0, 1)
    # The image anchor is announced by its number of rows: another projector brings it.
    assert sets_seen[0][1] == 20
    for pseudo_set, anchor in zip(
        (sets_seen[0][0], sets_seen[0][2]), ("audio", "text"), strict=True
    ):
        for columns, names in ((pseudo_set.source, source), (pseudo_set.target, target)):
            expected = [column(inputs, anchor, name) for name in names]
            assert [id(rows) for rows in columns] == [id(rows) for rows in expected]


def spying(sets_seen):
    """A PseudoTable that notes what it is made of."""

    class Spy(PseudoTable):
        def __init__(self, sets, **options):
            sets_seen.append(sets)
            super().__init__(sets, **options)

    return Spy


def test_the_projectors_of_a_mixture_load_each_anchor_once(monkeypatch):
    loads, built = [], []
    monkeypatch.setattr(
        PseudoTable,
        "_fill",
        lambda self, anchors_read: loads.append(anchors_read) or FILL(self, anchors_read),
    )

    class Sharing(Context):
        def shared(self, build):
            if not built:
                built.append(build())
            return built[0]

    context, alone = Sharing(), Context()
    steps = [build(anchors=a) for a in (("text",), ("audio", "text"), ("audio", "image", "text"))]
    assert len({step.shares for step, _ in steps}) == 1
    together = [step.run(context, inputs, 0, 1) for step, inputs in steps]
    assert sorted(loads) == [0, 1, 2]
    for (step, inputs), artifact in zip(steps, together, strict=True):
        expected = step.run(alone, inputs, 0, 1)
        for name, rows in expected.arrays.items():
            np.testing.assert_array_equal(rows, artifact.arrays[name])


FILL = PseudoTable._fill


def test_tables_are_shared_by_what_is_in_them():
    shares = build()[0].shares
    assert build(anchors=("audio", "text"), epochs=9, seed=3)[0].shares == shares
    assert build(sets={"image": pseudo("image", seed=1)})[0].shares != shares
    assert build(op="dr")[0].shares != shares
    assert build(precision="fast")[0].shares != shares


@pytest.mark.parametrize(("op", "d_in", "d_out"), [("dr", 7, 5), ("cr", 5, 7)])
def test_shapes_of_the_projector(op, d_in, d_out):
    step, inputs = build(op)
    artifact = step.run(Context(), inputs, 0, 1)
    assert {name: rows.shape for name, rows in artifact.arrays.items()} == {
        "0.weight": (9, d_in),
        "0.bias": (9,),
        **{f"1.{name}": (9,) for name in ("weight", "bias", "running_mean", "running_var")},
        "3.weight": (d_out, 9),
        "3.bias": (d_out,),
        **{f"4.{name}": (d_out,) for name in ("weight", "bias", "running_mean", "running_var")},
    }
    assert len(artifact.meta["loss"]) == SETTINGS["epochs"]
    # The published projector stores its parameters and statistics: what the estimate counts.
    assert step.cost.size_bytes == sum(4 * rows.size for rows in artifact.arrays.values())
    projector = load_head("paper", tensors(artifact))
    assert projector(torch.from_numpy(unit_rows(3, d_in, 0))).shape == (3, d_out)


def test_training_is_reproducible_and_learns():
    step, inputs = build(epochs=15, learning_rate=1e-2, hidden_dim=64)
    first, repeated = (step.run(Context(), inputs, 0, 1) for _ in range(2))
    for name, rows in first.arrays.items():
        np.testing.assert_array_equal(rows, repeated.arrays[name])
    assert first.meta["loss"][-1] < 0.8 * first.meta["loss"][0]


def test_settings_reach_the_optimiser(monkeypatch):
    tables = []

    def spy(table, settings, **options):
        tables.append((table, settings))
        return fit(table, settings, **options)

    monkeypatch.setattr("reactions.ops.fit.fit", spy)
    for op, anchors in (("dr", ("text",)), ("cr", ("text",)), ("cr", ("image",))):
        step, inputs = build(op, anchors)
        context = Context()
        step.run(context, inputs, 0, 1)
        assert context.reports[-1] == (2, 2, "steps")
    monkeypatch.setattr(module, "budget_bytes", lambda device, share: 100)
    step.run(Context(), inputs, 0, 1)
    for table, settings in tables:
        assert (table.device.type, table.dtype) == ("cpu", torch.float32)
        for name, value in SETTINGS.items():
            assert name in ("seed", "precision") or getattr(settings, name) == value
    assert len({settings.seed for _, settings in tables}) == 3  # the fourth repeats the third
    assert [table.resident for table, _ in tables] == [True, True, True, False]


# --- recipes ---


@pytest.mark.parametrize("recipe", ["cmcr", "exmcr"])
@pytest.mark.parametrize(("op", "d_in", "d_out"), [("dr", 7, 5), ("cr", 5, 7)])
def test_another_recipe_trains_its_own_head(recipe, op, d_in, d_out):
    step, inputs = build(op, recipe=recipe)
    artifact = step.run(Context(), inputs, 0, 1)
    assert step.cost.size_bytes == sum(4 * rows.size for rows in artifact.arrays.values())
    assert len(artifact.meta["loss"]) == SETTINGS["epochs"]
    head = load_head(recipe, tensors(artifact))
    assert head.widths == (d_in, d_out)
    # A C-MCR head is twice as wide inside as what enters, whatever the paper's is.
    assert artifact.arrays["0.weight"].shape == {"cmcr": (2 * d_in, d_in)}.get(recipe, (d_in, d_in))
    assert head(torch.from_numpy(unit_rows(3, d_in, 0))).shape == (3, d_out)
    repeated = step.run(Context(), inputs, 0, 1)
    for name, rows in artifact.arrays.items():
        np.testing.assert_array_equal(rows, repeated.arrays[name])


def test_a_recipe_enters_the_key_with_what_it_uses_alone(monkeypatch):
    keys = {recipe: build(recipe=recipe)[0].key for recipe in ("paper", "cmcr", "exmcr")}
    assert len(set(keys.values())) == 3
    assert keys["paper"] == build()[0].key
    for unused in ({"hidden_dim": 8}, {"temperature": 1 / 3}, {"precision": "fast"}):
        assert build(recipe="cmcr", **unused)[0].key == keys["cmcr"]
    for used in ({"epochs": 3}, {"learning_rate": 1e-2}, {"batch_size": 8}, {"seed": 1}):
        assert build(recipe="cmcr", **used)[0].key != keys["cmcr"]
    cmcr = BUILT_IN["cmcr"]
    changed = replace(cmcr, constants={**cmcr.constants, "noise_variance": 0.1})
    monkeypatch.setattr(recipes, "BUILT_IN", {**BUILT_IN, "cmcr": changed})
    assert build(recipe="cmcr")[0].key != keys["cmcr"]


def test_the_estimate_counts_what_autograd_keeps():
    paper, cmcr, exmcr = (
        build(recipe=recipe, hidden_dim=2 * EXPERT_DIM)[0].cost.memory_bytes
        for recipe in ("paper", "cmcr", "exmcr")
    )
    # The same head, by hand and by autograd: 20 rows, 2 modalities by 3, layers of 10 and 7.
    activations = 20 * 2 * (2 * (10 + 7) + 2 * 10)
    assert cmcr - paper == 4 * (activations + 2 * 20 * 20 * 6)
    assert exmcr > cmcr


@pytest.mark.parametrize(("op", "expected"), [("cr", [(0, 0), (1, 2)]), ("dr", [(0, 0), (2, 1)])])
def test_shared_modalities_are_given_by_their_places(monkeypatch, op, expected):
    shared = []

    def spy(table, settings, **options):
        shared.append(options["shared"])
        return fit(table, settings, **options)

    monkeypatch.setattr("reactions.ops.fit.fit", spy)
    step, inputs = build(op, recipe="cmcr")
    step.run(Context(), inputs, 0, 1)
    assert shared == [expected]


# --- keys and costs ---


@pytest.mark.parametrize(
    "change",
    [
        {"hidden_dim": 10},
        {"temperature": 0.03},
        {"learning_rate": 2e-3},
        {"batch_size": 32},
        {"epochs": 3},
        {"seed": 1},
        {"op": "dr"},
        {"anchors": ("image",)},
        {"anchors": ("image", "text")},
        {"modalities": (["image", "text"], ["audio", "text"])},
        {"precision": "fast"},
        {"sets": {"text": pseudo("text", seed=1)}},
    ],
    ids=str,
)
def test_keys_change_with_whatever_can_change_the_projector(change):
    assert build(**change)[0].key != build()[0].key


def test_keys_ignore_labels_and_the_rows_a_shard():
    steps, artifacts = pseudo("text")
    sharded = {
        slot: make_step(
            "collect", "other", step.preimage["params"], (), step.run, n_rows=20, shard_rows=3
        )
        for slot, step in steps.items()
    }
    assert build(label="C + D", sets={"text": (sharded, artifacts)})[0].key == build()[0].key


def test_costs_grow_with_the_work():
    small = build(batch_size=10)[0].cost
    assert build(batch_size=10, epochs=4)[0].cost.flops == 2 * small.flops
    assert build(batch_size=10, anchors=("audio", "text"))[0].cost.flops == 2 * small.flops
    # Forward and backward: six operations a parameter and row, four a logit's dimension.
    parameters = 5 * 9 + 9 * 7 + 5 * (9 + 7)
    assert small.flops == 2 * 20 * (6 * parameters * 2 + 4 * 10 * 2 * 3 * 7)
