"""What workers hold: encoders and what steps share, loaded seldom and dropped in time."""

import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from toy import TWO, Held, encoding, executor, meeting, whole
from toy_steps import make_step

from reactions.core.step import Artifact
from reactions.run.schedule import needs_of
from reactions.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


@pytest.fixture(autouse=True)
def _nothing_left():
    yield
    assert Held.alive == 0


def test_each_of_two_workers_keeps_to_its_encoder(store):
    loaded = []
    both = meeting()

    def load(spec, device):
        loaded.append(spec.name)
        return Held()

    steps = [
        encoding(space, corpus, lambda context: both.wait()) for space in "ab" for corpus in "xyz"
    ]
    executor(store, device=TWO, load_encoder=load).run(steps)
    assert sorted(loaded) == ["a", "b"]


def test_an_encoder_is_loaded_on_every_worker_that_helps(store):
    loaded, both = [], meeting()

    def load(spec, device):
        loaded.append(threading.current_thread())
        return Held()

    executor(store, device=TWO, load_encoder=load).run(
        [encoding("a", "x", lambda context: both.wait(), rows=8, shard_rows=1)]
    )
    assert len(loaded) == len(set(loaded)) == 2


def test_encoders_are_loaded_one_after_the_other(store):
    inside = threading.Lock()

    def load(spec, device):
        assert inside.acquire(blocking=False)
        # Time for the other worker to come in, were it let in.
        threading.Event().wait(0.05)
        inside.release()
        return Held()

    executor(store, device=TWO, load_encoder=load).run([encoding(s, "x") for s in "abcd"])


def test_an_idle_worker_gives_back_what_nobody_needs(store):
    both = meeting()
    encoded = [encoding(space, "x", lambda context: both.wait()) for space in "ab"]

    def sees_none(context):
        assert Held.alive == 0

    last = whole("last", sees_none, encoded)
    executor(store, device=TWO, load_encoder=lambda *_: Held()).run([last])


def test_what_is_shared_is_built_once_and_dropped_before_another_step(store):
    built, ran = [], []

    def build(name):
        built.append(name)
        return Held()

    def using(name):
        def body(context):
            ran.append(name)
            shared = context.shared(partial(build, name))
            assert context.shared(partial(build, "again")) is shared
            assert Held.alive == 1

        return body

    def without(context):
        ran.append("none")
        assert Held.alive == 0

    steps = [
        whole("1", using("x"), shares="x"),
        whole("2", without),
        whole("3", using("y"), shares="y"),
        whole("4", using("x"), shares="x"),
        whole("5", using("y"), shares="y"),
    ]
    executor(store).run(steps)
    assert built == ["x", "y"]
    assert ran == ["x", "x", "none", "y", "y"]


def test_shards_of_a_step_share_too(store):
    built = []

    def run(context, inputs, start, stop):
        context.shared(lambda: built.append(start) or Held())
        return Artifact({"x": np.zeros((stop - start, 1))})

    step = make_step("collect", "c", {}, (), run, n_rows=6, shard_rows=2, shares="x")
    executor(store).run([step])
    assert built == [0]


def test_steps_that_share_nothing_build_for_themselves(store):
    built = []

    def body(context):
        assert context.shared(lambda: built.append(1) or Held()) is not None
        assert Held.alive == 0

    executor(store).run([whole("a", body), whole("b", body)])
    assert built == [1, 1]


def test_an_encoder_and_something_shared_go_separately(store):
    built = []
    encoder = encoding("a", "x", lambda context: context.shared(lambda: built.append(1) or Held()))
    both = replace(encoder, shares="s")
    assert needs_of(both) > needs_of(encoder) != frozenset()

    def only_shared(context):
        context.shared(lambda: built.append(2) or Held())
        assert Held.alive == 1  # the encoder is gone

    executor(store, load_encoder=lambda *_: Held()).run([both, whole("b", only_shared, shares="s")])
    assert built == [1]
