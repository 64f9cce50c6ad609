"""Steps with a computation in common are run at once, to the same results."""

import numpy as np
import pytest
from toy import TWO, executor
from toy_steps import make_step

from reactions.core.errors import DataError
from reactions.core.step import Artifact
from reactions.run.events import StepFinished, StepProgress, StepStarted
from reactions.store import Store

N, SHARD = 10, 4


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def value(ran, seed, inputs=(), name="pass", n=N, fail=None):
    """A step by rows whose row i holds i + seed; ``ran`` notes every call with its members."""

    def run(context, members, start, stop):
        seeds = [int(inputs["seed"].meta["seed"]) for inputs in members]
        ran.append((start, stop, seeds))
        if fail is not None:
            fail(start)
        context.progress(stop - start, stop - start, "pairs")
        return [Artifact({"x": np.arange(start, stop)[:, None] + 1.0 * s}) for s in seeds]

    step = make_step(
        "train", f"seed {seed}", {"s": seed}, (), lambda *_: Artifact({}, {"seed": seed})
    )
    return make_step(
        "collect",
        f"value {seed}",
        {"seed": seed},
        [("seed", step), *inputs],
        lambda context, inputs, start, stop: run(context, [inputs], start, stop)[0],
        n_rows=n,
        shard_rows=SHARD,
        together=name,
        make_together=run,
    )


def run_all(store, steps, events=None, **options):
    """Run steps whose inputs are there, so that all of them are ready at once."""
    executor(store).run([step.inputs[0][1] for step in steps])
    return executor(store, events, **options).run(steps)


@pytest.mark.parametrize("device", ["cpu", TWO])
def test_one_pass_serves_all(store, device):
    ran, events = [], []
    steps = [value(ran, seed) for seed in (0, 100, 200)]
    artifacts = run_all(store, steps, events, device=device)
    assert sorted(ran) == [(0, 4, [0, 100, 200]), (4, 8, [0, 100, 200]), (8, 10, [0, 100, 200])]
    for step, seed in zip(steps, (0, 100, 200), strict=True):
        np.testing.assert_array_equal(
            artifacts[step.key].arrays["x"][:].ravel(), np.arange(N) + seed
        )
        own_events = [type(e) for e in events if getattr(e, "key", "") == step.key]
        assert (own_events[0], own_events[-1]) == (StepStarted, StepFinished)
        assert [e.done for e in events if isinstance(e, StepProgress) and e.key == step.key][
            -1
        ] == N
    assert executor(store).run(steps).keys() == artifacts.keys()
    assert len(ran) == 3


def test_results_are_those_of_steps_run_alone(store, tmp_path):
    ran = []
    together = run_all(store, [value(ran, 0), value(ran, 1)])
    alone = Store(tmp_path / "alone")
    for seed in (0, 1):
        step = value(ran, seed)
        (artifact,) = executor(alone).run([step]).values()
        np.testing.assert_array_equal(artifact.arrays["x"][:], together[step.key].arrays["x"][:])


def test_only_shards_that_are_missing_are_made(store):
    ran = []

    def stop_late(start):
        if start == SHARD:
            raise DataError("enough")

    with pytest.raises(DataError, match="enough"):
        executor(store).run([value(ran, 0, fail=stop_late)])
    ran.clear()
    run_all(store, [value(ran, 1), value(ran, 0)])
    assert sorted(ran) == [(0, 4, [1]), (4, 8, [1, 0]), (8, 10, [1, 0])]


def test_what_is_not_ready_does_not_wait_nor_hold_up(store):
    # The second needs the first: they share a name, but cannot be run at once.
    ran = []
    first = value(ran, 0)
    second = value(ran, 1, inputs=[("first", first)])
    executor(store).run([second])
    assert [seeds for _, _, seeds in ran] == [[0]] * 3 + [[1]] * 3


def test_other_names_are_other_passes(store):
    ran = []
    run_all(store, [value(ran, 0, name="a"), value(ran, 1, name="b")])
    assert [seeds for _, _, seeds in ran] == [[0]] * 3 + [[1]] * 3


def test_a_failure_stops_all_and_keeps_finished_shards(store):
    ran, events = [], []

    def fail_last(start):
        if start == 2 * SHARD:
            raise DataError("broken")

    steps = [value(ran, seed, fail=fail_last) for seed in (0, 1)]
    with pytest.raises(DataError) as caught:
        run_all(store, steps, events)
    assert caught.value.fields["step"] == "value 0"
    ran.clear()
    run_all(store, [value(ran, seed) for seed in (0, 1)])
    assert ran == [(8, 10, [0, 1])]
