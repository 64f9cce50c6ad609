"""Ft with heads=only, end to end on a lab of rows."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from fakes import IB, VL, dr
from planning import SETTINGS, FakeLab, corpora, lab, plan

from reactions.core.catalogue import Catalogue
from reactions.core.errors import DataError
from reactions.core.settings import TuningSettings
from reactions.core.tuning_options import TuningOptions
from reactions.core.types import Tuned, leaves
from reactions.data.corpora import IdCorpus
from reactions.labs.lab_file import load_lab
from reactions.ops import tuning
from reactions.ops.heads import make_head
from reactions.ops.losses import info_nce
from reactions.ops.projector import project
from reactions.ops.tensors import unit
from reactions.session import Session
from reactions.store import Store


def rows(n, d, seed):
    return unit(torch.from_numpy(np.random.default_rng(seed).normal(size=(n, d))).float())


def run(**changes):
    defaults = {
        "epochs": 3,
        "batch_size": 8,
        "micro_batch": 8,
        "temperature": 0.05,
        "weight_decay": 0.02,
        "warm_up": 0.2,
        "seed": 1,
    }
    return tuning.TuningRun(**{**defaults, **changes})


def tuner(heads, n=20, micro_batch=8, **changes):
    hops = [heads]
    source = tuning.EmbeddedRows(rows(n, 6, 1), hops, "cpu")
    parameters = [p for head in heads for p in head.parameters()]
    settings = run(micro_batch=micro_batch, **changes)
    return tuning.Tuner(source, [(1e-2, parameters)], rows(n, 4, 2), settings)


def heads():
    return [make_head("paper", 6, 4, 5, seed=seed).eval() for seed in (1, 2)]


def test_rows_go_through_as_they_do_in_a_product():
    first, x = heads(), rows(7, 6, 3)
    second = [make_head("paper", 4, 3, 5, seed=3).eval()]
    projected = tuning.through([first, second], x)
    np.testing.assert_array_equal(
        projected.detach().numpy(), project(second, project(first, x)).numpy()
    )


def test_the_learning_rate_is_that_of_torch():
    for steps, warm_up in ((50, 0.2), (7, 0.5), (10, 0.9)):
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimiser = torch.optim.SGD([parameter], lr=1.0)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, 1.0, total_steps=steps, pct_start=warm_up, cycle_momentum=False
        )
        for step in range(steps):
            expected = optimiser.param_groups[0]["lr"]
            assert tuning.one_cycle(step, steps, warm_up) == pytest.approx(expected, rel=1e-9)
            optimiser.step()
            cycle.step()
    assert tuning.one_cycle(0, 1, 0.2) == 1.0


def test_small_micro_batches_give_the_gradient_of_the_whole_batch():
    whole_batch, parts = heads(), heads()
    losses = [
        tuner(tuned_heads, micro_batch=micro).run()
        for tuned_heads, micro in ((whole_batch, 8), (parts, 3))
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    for expected, other in zip(whole_batch, parts, strict=True):
        for name, value in expected.state().items():
            np.testing.assert_allclose(value, other.state()[name], atol=2e-5, err_msg=name)
    x, y = rows(20, 6, 1), rows(20, 4, 2)
    before = info_nce(tuning.through([heads()], x), y, temperature=0.05)
    assert info_nce(tuning.through([whole_batch], x), y, temperature=0.05) < before


def test_a_tuning_that_goes_on_ends_as_one_that_was_not_interrupted():
    uninterrupted = heads()
    expected = tuner(uninterrupted).run()
    for stop in (1, 2, 4, 6):
        first, states = tuner(heads()), {}
        interrupted(first, stop, states)
        resumed = heads()
        second = tuner(resumed)
        second.restore(states)
        assert second.done == stop
        assert second.run() == expected
        for expected_head, other in zip(uninterrupted, resumed, strict=True):
            for name, value in expected_head.state().items():
                np.testing.assert_array_equal(value, other.state()[name], err_msg=name)


def interrupted(running, stop, states):
    def on_step():
        if running.done == stop:
            states.update(running.state())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.run(on_step=on_step)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("done", np.array([99])),
        ("losses", np.zeros(2, np.float32)),
        ("parameter.3", np.zeros(1, np.float32)),
        ("exp_avg_sq.1", None),
        ("step.0", np.zeros(2, np.float32)),
    ],
)
def test_a_state_of_another_tuning_changes_nothing(name, value):
    states = {}
    interrupted(tuner(heads()), 2, states)
    del states[name]
    if value is not None:
        states[name] = value
    fresh = tuner(heads())
    with pytest.raises((LookupError, RuntimeError, ValueError)):
        fresh.restore(states)
    assert fresh.done == 0
    assert fresh.run() == tuner(heads()).run()


def test_a_state_without_the_scale_of_float16_losses():
    states = {}
    interrupted(tuner(heads()), 2, states)
    scaling = tuner(heads())
    scaling._scaler = torch.amp.GradScaler("cpu")
    with pytest.raises(KeyError):
        scaling.restore(states)
    assert scaling.done == 0


# --- the step, planned and run ---


@dataclass(frozen=True)
class Pairs:
    name: str = "pairs"
    modalities: tuple = ("audio", "image")
    digest: str = "d" * 64
    notices: tuple = ("of the pairs 2 were skipped",)

    def __len__(self):
        return 30

    def corpus(self, modality):
        return IdCorpus(f"pairs {modality}", modality, [f"{modality}{i}" for i in range(30)])


@dataclass(frozen=True)
class PairedLab(FakeLab):
    def pairs_of(self, tuned, paired, name=None):
        return Pairs()


def paired_lab(**changes):
    base_lab = lab()
    return PairedLab(
        base_lab.name,
        base_lab.label,
        base_lab.path,
        base_lab.seed,
        Catalogue({}),
        SETTINGS,
        replace(TuningSettings(heads="only", epochs=2, batch_size=8), **changes),
        held=corpora(),
    )


TUNED = Tuned("ft", dr(IB, VL), ("audio", "image"), TuningOptions(heads="only"))


def test_a_plan_names_what_is_tuned_and_on_what():
    planned = plan(TUNED, paired_lab())
    (step,) = (step for step in planned.steps() if step.kind == "tune")
    assert step.label == "tune audio of (ImageBind + Dr(InternVL)) on image"
    assert "of the pairs 2 were skipped" in planned.notices
    assert step.cost.flops > 0
    assert [leaf.label for leaf in leaves(TUNED)] == ["ImageBind", "InternVL"]
    longer = plan(TUNED, paired_lab(epochs=3))
    assert step.key not in {other.key for other in longer.steps()}
    same = plan(TUNED, paired_lab(encoder_learning_rate=0.5, checkpoint_minutes=1, micro_batch=2))
    assert step.key in {other.key for other in same.steps()}


def test_the_encoders_rate_alone_acts_where_projectors_are_not_tuned(monkeypatch):
    monkeypatch.setattr("reactions.planning.tuning.trains", lambda spec: True)

    def keys(**changes):
        node = Tuned("ft", dr(IB, VL), ("audio", "image"), TuningOptions(heads=False))
        planned = plan(node, paired_lab(**changes))
        return [step.key for step in planned.steps() if step.kind == "tune"]

    assert keys() == keys(learning_rate=0.5)
    assert keys() != keys(encoder_learning_rate=0.5)
    assert keys() != keys(micro_batch=2)


def test_pairs_that_are_too_few(monkeypatch):
    monkeypatch.setattr(Pairs, "__len__", lambda self: 1)
    with pytest.raises(DataError, match="1 pair is too few to tune on") as caught:
        plan(TUNED, paired_lab())
    assert caught.value.fix


def test_a_batch_of_more_pairs_than_there_are_is_told():
    message = "pairs: 30 pairs are fewer than a batch of {}: each epoch is one step, 2 in all"
    for batch, expected in ((30, 0), (31, 1)):
        notices = plan(TUNED, paired_lab(batch_size=batch)).notices
        assert sum(notice.startswith(message.format(batch)) for notice in notices) == expected


def folder(path, ids, **dims):
    path.mkdir()
    for modality, dim in dims.items():
        np.save(path / f"{modality}.npy", np.random.default_rng(dim).normal(size=(len(ids), dim)))
        (path / f"{modality}.ids.txt").write_text("\n".join(ids))
    return str(path)


@pytest.mark.parametrize("n_missing", [0, 2])
def test_folders_of_embeddings_are_tuned_by_their_projectors(n_missing, tmp_path, monkeypatch):
    ids = [f"i{k}" for k in range(40)]
    base = folder(tmp_path / "base", ids, audio=6, image=6)
    expert = folder(tmp_path / "expert", ids, image=5)
    paired = [*ids[: 30 - n_missing], *(f"gone{k}" for k in range(n_missing))]

    class OfIds(Pairs):
        def corpus(self, modality):
            return IdCorpus(f"pairs {modality}", modality, paired)

    opened = Session(load_lab("mini"), Store(tmp_path / "store"), "cpu")
    monkeypatch.setattr(type(opened.lab), "pairs_of", lambda *args: OfIds())
    checked = opened.check(f'"{base}" + Dr("{expert}") | Ft(audio~image, batch=8)')
    if n_missing:
        with pytest.raises(DataError, match="2 of 30"):
            opened.plan(checked)
        return
    bundle = opened.react(checked, out=tmp_path / "bundle", current=False)
    assert len(bundle.record["losses"]["part.0"]) == 10
    parts = bundle.parts()
    fusion, tuned = bundle.space.base, parts[bundle.space, None]
    x = rows(4, 6, 7)
    assert not torch.equal(
        tuned.heads[fusion, 0].apply("audio", x), parts[fusion, 0].apply("audio", x)
    )
    assert not [name for name in bundle.record["parts"][0]["about"]["shapes"] if "encoder" in name]
