import os
import weakref
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from toy import SPEC, by_rows, counting, executor
from toy_steps import make_step

from reactions.core.errors import MissingError
from reactions.core.step import Artifact
from reactions.run import events as ev
from reactions.run.schedule import schedule
from reactions.store import ShardedRows, Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def diamond(ran, seed=0):
    a = counting(ran, "a", 1 + seed)
    b = counting(ran, "b", 2, [("base", a)])
    c = counting(ran, "c", 3, [("base", a)])
    return a, b, c, counting(ran, "d", 4, [("left", b), ("right", c)])


def test_a_plan_runs_once_in_order(store):
    ran, events = [], []
    steps = diamond(ran)
    d = steps[-1]
    artifacts = executor(store, events).run([d])
    # a: 1; b: 2 + 4 * 1; c: 3 + 4 * 1; d: 4 + 4 * (6 + 7)
    assert np.array_equal(artifacts[d.key].arrays["x"][:], np.full((2, 2), 56.0))
    assert artifacts[d.key].meta == {"label": "d"}
    assert ran == ["a", "b", "c", "d"]
    expected = tuple(ev.Expected(step.key, "train", 0.0) for step in steps)
    assert events[0] == ev.PlanStarted(4, 0, expected)
    assert [e.label for e in events if isinstance(e, ev.StepFinished)] == ran
    assert isinstance(events[-1], ev.PlanFinished)
    assert events[-1].executed == 4


def test_the_second_run_executes_nothing(store):
    ran, events = [], []
    first = executor(store).run(diamond(ran)[-1:])
    ran.clear()
    *_, d = diamond(ran)
    second = executor(Store(store.root), events).run([d])
    assert ran == []
    assert events[:2] == [ev.PlanStarted(0, 1), ev.StepHit(d.key, "train", "d")]
    assert type(second[d.key].arrays["x"]) is type(first[d.key].arrays["x"]) is ShardedRows
    assert np.array_equal(second[d.key].arrays["x"][:], first[d.key].arrays["x"][:])
    assert second[d.key].meta == first[d.key].meta


def test_nothing_upstream_of_a_hit_is_touched(store):
    ran = []
    a, b, c, d = diamond(ran)
    executor(store).run([b, c])
    store.gc(keep={b.key, c.key})
    assert not store.has(a.key)
    ran.clear()
    executor(store).run([d])
    assert ran == ["d"]


def test_a_damaged_hit_is_made_again_with_what_it_needs(store):
    ran, events = [], []
    *_, b, _c, d = diamond(ran)
    executor(store).run([d])
    store.gc(keep={b.key, d.key})
    for entry in (store.root / "entries").glob("*/*"):
        if entry.name == d.key:
            os.truncate(entry / "0.npy", 10)
    ran.clear()
    executor(store, events).run([d])
    assert ran == ["a", "c", "d"]
    assert any(isinstance(e, ev.StoreWarning) and d.key[:12] in e.message for e in events)


def test_order_depends_on_nothing_but_the_plan(store, tmp_path):
    orders = []
    for i in range(3):
        ran = []
        *_, d = diamond(ran)
        extra = counting(ran, "extra", 9)
        executor(Store(tmp_path / str(i))).run([d, extra, d])
        orders.append(ran)
    assert orders == [["a", "b", "c", "d", "extra"]] * 3


def test_the_same_step_built_twice_runs_once(store):
    ran = []
    artifacts = executor(store).run([counting(ran, "a"), counting(ran, "a")])
    assert ran == ["a"]
    assert len(artifacts) == 1


def test_plans_deeper_than_the_recursion_limit(store):
    step, ran = counting([], "0", 0), []
    for i in range(1, 1500):
        step = counting(ran, str(i), i, [("x", step)])
    plan = schedule([step], {}.get)
    assert [s.label for s in plan.pending] == [str(i) for i in range(1500)]


def test_no_targets(store):
    assert executor(store).run([]) == {}
    assert not store.root.exists()


# --- rows ----------------------------------------------------------------------------


@pytest.mark.parametrize("shard_rows", [1, 3, 4, 10, 64])
def test_the_shard_size_changes_nothing(store, shard_rows):
    ran = []
    step = by_rows(ran, 10, shard_rows, seed=5)
    rows = executor(store).run([step])[step.key].arrays["x"]
    assert np.array_equal(rows.to_array().ravel(), np.arange(10) + 5)
    assert len(ran) == -(-10 // shard_rows)
    assert not any((store.root / "partial").iterdir())


def test_an_interrupted_step_resumes_at_the_shard(store):
    ran, events = [], []

    def interrupt(start):
        if start == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        executor(store).run([by_rows(ran, 10, 3, hook=interrupt)])
    assert ran == [(0, 3), (3, 6)]
    assert list((store.root / "tmp").iterdir()) == []
    assert list((store.root / "locks").iterdir()) == []
    step = by_rows(ran, 10, 3)
    rows = executor(store, events).run([step])[step.key].arrays["x"]
    assert ran == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert np.array_equal(rows.to_array().ravel(), np.arange(10))
    started = next(e for e in events if isinstance(e, ev.StepStarted))
    assert (started.done, started.total) == (6, 10)


def test_progress_counts_rows_of_the_whole_step(store):
    events = []
    executor(store, events).run([by_rows([], 10, 4)])
    reported = [(e.done, e.total, e.unit) for e in events if isinstance(e, ev.StepProgress)]
    assert list(dict.fromkeys(reported)) == [
        (4, 10, "items"),
        (8, 10, "items"),
        (10, 10, "items"),
    ]


def test_progress_is_throttled_but_the_end_is_reported(store):
    def run(context, inputs, start, stop):
        for i in range(1, 1001):
            context.progress(i, 1000, "steps")
        return Artifact({"x": np.zeros((1, 1))})

    events = []
    executor(store, events).run([make_step("train", "t", {}, (), run)])
    reported = [e for e in events if isinstance(e, ev.StepProgress)]
    assert reported[-1].done == reported[-1].total == 1000
    assert len(reported) < 100


# --- values --------------------------------------------------------------------------


def test_values_are_freed_after_their_last_use(store):
    refs, alive = {}, {}

    def run(name, context, inputs, start, stop):
        alive[name] = sorted(other for other, ref in refs.items() if ref() is not None)
        result = np.zeros((1, 1))
        refs[f"{name} in memory"] = weakref.ref(result)
        for source, artifact in inputs.items():
            refs[source] = weakref.ref(artifact.arrays["x"])
        return Artifact({"x": result})

    def step(name, *inputs):
        return make_step("train", name, {}, [(i.label, i) for i in inputs], partial(run, name))

    a = step("a")
    b = step("b", a)
    c = step("c", a, b)
    executor(store).run([step("e", step("d", c))])
    assert alive == {"a": [], "b": [], "c": ["a"], "d": [], "e": []}


def test_hits_are_freed_after_their_last_use(store):
    a = counting([], "a")
    executor(store).run([a])
    refs = []

    def use(context, inputs, start, stop):
        refs.append(weakref.ref(inputs["a"].arrays["x"]))
        return Artifact({"x": np.zeros((1, 1))})

    def check(context, inputs, start, stop):
        assert refs[0]() is None
        return Artifact({"x": np.zeros((1, 1))})

    b = make_step("train", "b", {}, [("a", a)], use)
    c = make_step("train", "c", {}, [("b", b)], check)
    executor(store).run([c])
    assert len(refs) == 1


# --- encoders ------------------------------------------------------------------------


class FakeEncoder:
    alive = 0

    def __init__(self, spec):
        self.spec = spec
        type(self).alive += 1

    def __del__(self):
        type(self).alive -= 1

    def embed(self, modality, items):
        return np.ones((len(items), self.spec.dim), np.float32)


def embed(space, modality):
    spec = replace(SPEC, name=space, weights_digest=space * 64)

    def run(context, inputs, start, stop):
        encoder = context.encoder(spec)
        return Artifact({"x": encoder.embed(modality, range(stop - start))})

    params = {"space": {**spec.identity(modality), "preprocessing": modality}, "corpus": modality}
    options = {"n_rows": 4, "shard_rows": 2, "space": spec}
    return make_step("embed", f"{space} {modality}", params, (), run, **options)


def test_each_encoder_is_loaded_once_and_freed(store):
    loaded = []

    def load(spec, device):
        assert FakeEncoder.alive == 0  # one at a time
        loaded.append((spec.name, device))
        return FakeEncoder(spec)

    def sees_none(context, inputs, start, stop):
        assert FakeEncoder.alive == 0
        return Artifact({"x": np.zeros((1, 1))})

    sources = [embed(space, m) for m in ("text", "image") for space in ("a", "b")]
    first = make_step("collect", "c", {}, [(s.label, s) for s in sources[:2]], sees_none)
    last = make_step(
        "collect", "d", {}, [("c", first), *((s.label, s) for s in sources[2:])], sees_none
    )
    executor(store, load_encoder=load).run([last])
    assert loaded == [("a", "cpu"), ("b", "cpu")]
    assert FakeEncoder.alive == 0


def test_what_encoders_lack_is_raised_before_anything_runs(store):
    ran, names_asked = [], []

    def check(spec):
        names_asked.append(spec.name)
        if spec.name == "b":
            raise MissingError("no weights for space 'b'")

    steps = [embed("a", "text"), counting(ran, "first")]
    executor(store, check_space=check, load_encoder=lambda spec, device: FakeEncoder(spec)).run(
        steps
    )
    assert names_asked == ["a"]
    second_steps = [embed("b", "text"), counting(ran, "second")]
    with pytest.raises(MissingError, match="space 'b'"):
        executor(store, check_space=check).run([*steps, *second_steps])
    assert names_asked == ["a", "b"]  # what is in the store needs no encoder
    assert ran == ["first"]
