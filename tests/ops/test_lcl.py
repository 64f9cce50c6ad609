"""A linear layer between items and their descriptions: loss, schedule, training."""

import math

import numpy as np
import pytest
import torch

from reactions.core.described import DescribedItems
from reactions.core.errors import DataError, DimensionMismatch
from reactions.ops import lcl
from reactions.ops.tensors import unit

N, D = 24, 6


def rows(n, d, seed):
    return unit(torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float())


def run(**changes):
    defaults = {
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "temperature": 0.1,
        "symmetric": False,
        "masked": False,
        "init": "default",
        "weight_decay": 0.01,
        "clip_norm": 1.0,
        "seed": 3,
    }
    return lcl.LayerRun(**{**defaults, **changes})


def one_each(n=N, texts=N):
    return DescribedItems.of([[i % texts] for i in range(n)])


def trainer(n=N, texts=N, described=None, is_raw=False, device="cpu", **changes):
    return lcl.LayerTrainer(
        rows(n, D, 1),
        rows(texts, D, 2),
        described or one_each(n, texts),
        run(**changes),
        device=device,
        is_raw=is_raw,
    )


# --- the loss ---


def by_hand(items, texts, temperature, same=None):
    """Cross entropy, one item at a time."""
    total = 0.0
    for i, item in enumerate(items.tolist()):
        logits = {
            j: math.fsum(a * b for a, b in zip(item, text, strict=True)) / temperature
            for j, text in enumerate(texts.tolist())
            if same is None or j == i or same[j] != same[i]
        }
        total += math.log(math.fsum(map(math.exp, logits.values()))) - logits[i]
    return total / len(items)


@pytest.mark.parametrize("same", [None, [0, 1, 0, 2, 0], [0, 1, 2, 3, 4], [7, 7, 7, 7, 7]])
@pytest.mark.parametrize("temperature", [1.0, 0.1])
def test_the_loss_is_that_of_the_definition(same, temperature):
    items, texts = rows(5, D, 3), rows(5, D, 4)
    numbers = None if same is None else torch.tensor(same)
    loss = lcl.description_loss(items, texts, temperature=temperature, same=numbers)
    assert float(loss) == pytest.approx(by_hand(items, texts, temperature, same), rel=1e-5)
    both = lcl.description_loss(items, texts, temperature=temperature, same=numbers, symmetric=True)
    back = by_hand(texts, items, temperature, same)
    assert float(both) == pytest.approx((float(loss) + back) / 2, rel=1e-5)


def test_where_all_have_one_text_nothing_is_left_to_tell_apart():
    loss = lcl.description_loss(
        rows(4, D, 1), rows(4, D, 2), temperature=1.0, same=torch.zeros(4, dtype=torch.int64)
    )
    assert float(loss) == pytest.approx(0, abs=1e-6)


def test_rows_that_do_not_belong_together():
    with pytest.raises(DimensionMismatch):
        lcl.description_loss(rows(4, D, 1), rows(3, D, 2), temperature=1.0)


def test_without_a_temperature_the_loss_cannot_fall_below_a_bound():
    # UniBind's published loss: temperature 1. The figures are ln(1 + (B - 1) e^-2).
    for batch, bound in ((1024, 4.94), (128, 2.91), (64, 2.25)):
        assert lcl.least_loss(batch) == pytest.approx(bound, abs=0.01)
    # Right answers at cosine 1 and all wrong ones at -1: only two rows can lie so.
    rows_ = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    loss = lcl.description_loss(rows_, rows_, temperature=1.0)
    assert float(loss) == pytest.approx(lcl.least_loss(2), rel=1e-6)
    for n, seed in ((2, 1), (16, 2), (64, 3)):
        x = rows(n, D, seed)
        assert float(lcl.description_loss(x, x, temperature=1.0)) > lcl.least_loss(n)
    trained = trainer(temperature=1.0, epochs=60).run()
    assert lcl.least_loss(8) < trained[-1] < trained[0]
    # With a temperature it falls below that.
    told_apart = one_each(D, D)
    for temperature, falls in ((1.0, False), (0.1, True)):
        settings = run(temperature=temperature, batch_size=D, epochs=200, learning_rate=0.1)
        losses = lcl.LayerTrainer(rows(D, D, 1), torch.eye(D), told_apart, settings).run()
        assert (losses[-1] < lcl.least_loss(D)) is falls


def test_a_masked_description_is_no_negative():
    described = one_each(texts=3)
    unmasked, masked = (
        trainer(texts=3, described=described, masked=m).run() for m in (False, True)
    )
    assert masked[0] < unmasked[0]


# --- the schedule and the optimiser ---


def test_the_rate_falls_linearly_without_a_warm_up():
    assert [lcl.linear_rate(step, 4) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def test_steps_are_whole_batches():
    assert trainer(n=24, batch_size=8).steps == 12
    assert trainer(n=23, batch_size=8).steps == 8
    # The published schedule has no step here, and so a learning rate of 0.
    assert trainer(n=24, batch_size=100).steps == 4
    with pytest.raises(ValueError, match="two are the least"):
        trainer(n=1, texts=1)


def published(n, batch, epochs, rate):
    """Train as UniBind's code does, by torch's own parts; return weight and bias."""
    items, texts = rows(n, D, 1), rows(n, D, 2)
    ours = trainer(n=n, texts=n, batch_size=batch, epochs=epochs, learning_rate=rate)
    layer = torch.nn.Linear(D, D)
    layer.load_state_dict(ours.layer)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=rate, eps=1e-8, weight_decay=0.01)
    steps = n // batch * epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: (steps - s) / steps)
    generator = torch.Generator().manual_seed(run().seed + 1)
    for _ in range(epochs):
        order = torch.randperm(n, generator=generator)
        torch.rand(n, generator=generator, dtype=torch.float64)
        for first in range(0, n - batch + 1, batch):
            chosen = order[first : first + batch]
            x = torch.nn.functional.normalize(layer(items[chosen]), dim=1)
            logits = x @ texts[chosen].T / 0.1
            loss = torch.nn.functional.cross_entropy(logits, torch.arange(batch))
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(layer.parameters(), 1.0)
            optimiser.step()
            schedule.step()
    ours.run()
    return ours.layer, layer.state_dict()


def test_training_is_that_of_torchs_own_parts():
    layer, expected = published(n=21, batch=8, epochs=5, rate=3e-2)
    for name in ("weight", "bias"):
        np.testing.assert_allclose(layer[name], expected[name], atol=2e-6, err_msg=name)


def test_how_a_layer_begins():
    identity = trainer(init="identity").layer
    assert torch.equal(identity["weight"], torch.eye(D))
    assert not identity["bias"].any()
    drawn = trainer().layer
    assert torch.equal(drawn["weight"], trainer().layer["weight"])
    assert not torch.equal(drawn["weight"], trainer(seed=4).layer["weight"])
    bound = 1 / math.sqrt(D)  # that of torch's Linear
    for name, value in drawn.items():
        assert 0.5 * bound < value.abs().max() <= bound, name
    x = rows(5, D, 9)
    assert torch.allclose(lcl.align(x, *identity.values()), x, atol=1e-6)


def test_rows_may_keep_their_norm():
    loud = lcl.LayerTrainer(20 * rows(N, D, 1), rows(N, D, 2), one_each(), run(), is_raw=True)
    told_apart = lcl.LayerTrainer(20 * rows(N, D, 1), rows(N, D, 2), one_each(), run())
    plain = trainer()
    assert told_apart.run() == pytest.approx(plain.run(), rel=1e-5)
    assert loud.run() != pytest.approx(plain.run(), rel=1e-3)


def test_a_rate_that_is_too_high():
    diverging = lcl.LayerTrainer(
        torch.full((4, D), torch.nan), rows(4, D, 2), one_each(4, 4), run(batch_size=2)
    )
    with pytest.raises(DataError, match="diverged") as caught:
        diverging.run()
    assert "lr=" in caught.value.fix


# --- several descriptions of an item ---


def test_one_of_several_descriptions_is_drawn_each_epoch():
    described = DescribedItems.of([[0, 1, 2], [3], [4, 5]])
    for shares, texts in (
        ([0.0, 0.0, 0.0], [0, 3, 4]),
        ([0.34, 0.9, 0.5], [1, 3, 5]),
        ([1 - 2**-53] * 3, [2, 3, 5]),
    ):
        assert described.drawn(np.array(shares)).tolist() == texts
    assert len(described) == 3
    several = DescribedItems.of([[i, (i + 1) % N] for i in range(N)])
    assert trainer(described=several).run() == trainer(described=several).run()
    assert trainer(described=several).run() != trainer().run()


def test_what_describes_what_is_in_the_digest():
    descriptions = [[[0], [1]], [[1], [0]], [[0, 1], [1]], [[0], [0, 1]]]
    assert len({DescribedItems.of(texts).digest for texts in descriptions}) == len(descriptions)
    assert DescribedItems.of([[0], [1]]).digest == one_each(2, 2).digest


# --- going on after an interruption ---


def interrupted(running, stop):
    states = {}

    def on_step():
        if running.done == stop:
            states.update(running.state())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.run(on_step=on_step)
    return states


def test_a_training_that_goes_on_ends_as_one_that_was_not_interrupted():
    uninterrupted = trainer()
    expected = uninterrupted.run()
    for stop in (1, 3, 4, 11):
        second = trainer()
        second.restore(interrupted(trainer(), stop))
        assert second.done == stop
        assert second.run() == expected
        for name, value in uninterrupted.layer.items():
            np.testing.assert_array_equal(value, second.layer[name], err_msg=name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("done", np.array([99])),
        ("losses", np.zeros(2, np.float32)),
        ("parameter.1", np.zeros(1, np.float32)),
        ("exp_avg_sq.1", None),
        ("step.0", np.zeros(2, np.float32)),
    ],
)
def test_a_state_of_another_training_changes_nothing(name, value):
    states = interrupted(trainer(), 2)
    del states[name]
    if value is not None:
        states[name] = value
    fresh = trainer()
    with pytest.raises((LookupError, RuntimeError, ValueError)):
        fresh.restore(states)
    assert fresh.done == 0
    assert fresh.run() == trainer().run()
