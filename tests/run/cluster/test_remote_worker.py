"""A cluster's worker without the cluster: what it refuses to start with, and what it reports."""

import errno
import os
import pickle
import platform
from dataclasses import dataclass, replace

import pytest
from buckets import in_memory, names
from plain_steps import Encoded, load_encoder, plan

from reactions.core.errors import MolspaceError, StepError
from reactions.core.step import Step
from reactions.modalities import noticed
from reactions.run.backend import Progress
from reactions.run.cluster import actor
from reactions.run.cluster.actor import RemoteWorker, WorkerRecipe, companions, portable, versions
from reactions.run.cluster.executor import _probe
from reactions.store import Store, clocks, heartbeats, locks
from reactions.store.heartbeats import Holder
from reactions.store.objects import ObjectError, Objects


@pytest.fixture
def recipe(tmp_path):
    store = Store(tmp_path / "store")
    with _probe(store) as probe:
        yield recipe_of(store, probe, tmp_path)


def recipe_of(store, probe, tmp_path):
    return WorkerRecipe(
        root=store.address,
        probe=probe,
        load_encoder=load_encoder,
        versions=versions(),
        companions=companions(),
        environment={},
        folder=str(tmp_path),
        device="cpu",
        threads=0,
    )


def worker(recipe, target=None):
    return RemoteWorker(recipe, pickle.dumps([target or plan()]))


def problem(remote):
    label, error, remarks = remote.prepare()
    assert label.startswith("cpu on ")
    assert remarks == []
    return error


@pytest.fixture(autouse=True)
def stay(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


ODD = noticed.Kind("{n} items are odd", "1 item is odd")


@dataclass(frozen=True, eq=False, kw_only=True)
class Noted(Encoded):
    """Rows of items that are odd."""

    def run(self, context, inputs, start, stop):
        for row in range(start, stop):
            noticed.note(ODD, f"item {row}")
        return super().run(context, inputs, start, stop)


def test_what_is_noted_of_items_goes_along(recipe):
    step = Noted(n_rows=5, seed=0, bad=3)
    remote = worker(recipe, step)
    assert problem(remote) is None
    outcomes = [remote.perform(number, [step.key], (number, number + 2)) for number in (0, 2)]
    assert [type(outcome.error).__name__ for outcome in outcomes] == ["NoneType", "DataError"]
    assert noticed.take() == []  # in the worker's process
    for outcome in outcomes:
        for signal in outcome.signals:
            if isinstance(signal, noticed.Notes):
                noticed.note_all(pickle.loads(pickle.dumps(signal)))
    assert noticed.take() == ["4 items are odd, first 'item 0'"]


def test_it_works_by_keys_and_rows(recipe):
    remote = worker(recipe)
    assert problem(remote) is None
    step = Encoded(n_rows=5, seed=0)
    outcome = remote.perform(0, [step.key], (2, 4))
    assert (outcome.result, outcome.error, outcome.first) == (True, None, 0)
    assert outcome.signals == (Progress(2, 2, "items"),)
    assert Store(recipe.root).partial(step).finished == [(2, 4)]


def test_signals_are_fetched_once_and_only_those_of_the_order(recipe):
    remote = worker(recipe)
    assert problem(remote) is None
    remote.perform(3, [Encoded(n_rows=5, seed=0).key], (0, 2))
    assert remote.poll(2, 0) == (0, ())
    assert remote.poll(3, 0) == (0, (Progress(2, 2, "items"),))
    assert remote.poll(3, 1) == (1, ())


def test_an_error_comes_back(recipe):
    remote = worker(recipe, plan(bad=1))
    assert problem(remote) is None
    outcome = remote.perform(0, [Encoded(n_rows=5, seed=0, bad=1).key], (0, 2))
    assert outcome.result is None
    assert outcome.error.what == "row 1 is bad"
    assert outcome.error.why == f"so it says; on the node {platform.node()}"


def test_a_store_of_its_own_is_refused(recipe, tmp_path):
    error = problem(worker(replace(recipe, root=tmp_path / "elsewhere")))
    assert "does not see the store" in error.what
    assert "MOLSPACE_CACHE" in error.fix


def test_another_prefix_of_a_bucket_is_refused(tmp_path, monkeypatch):
    store = Store(in_memory(monkeypatch))
    with _probe(store) as probe:
        recipe = recipe_of(store, probe, tmp_path)
        assert problem(worker(recipe)) is None
        error = problem(worker(replace(recipe, root=f"{store.address}/deeper")))
    assert "does not see the store" in error.what
    assert f"{store.address}/deeper is another store there" in error.why
    assert "AWS_ENDPOINT_URL" in error.fix


def test_a_store_that_is_read_only_there_is_refused(recipe, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system", "store")

    monkeypatch.setattr(clocks, "touch_once", refuse)
    error = problem(worker(recipe))
    assert "cannot write to the store" in error.what
    assert f"read-only: {recipe.root}; on the node {platform.node()}" in error.why


def test_a_bucket_that_may_only_be_read_there_is_refused(tmp_path, monkeypatch):
    store = Store(in_memory(monkeypatch))
    with _probe(store) as probe:
        recipe = recipe_of(store, probe, tmp_path)
        before = names(store)
        assert problem(worker(recipe)) is None
        assert names(store) == before

        def refuse(self, name, data):
            raise ObjectError("the service refuses it", "check your credentials")

        monkeypatch.setattr(Objects, "write", refuse)
        error = problem(worker(recipe))
    assert error.why == f"the service refuses it; on the node {platform.node()}"
    assert error.fix == "check your credentials"


@pytest.mark.parametrize("is_remote", [False, True])
def test_what_a_killed_run_was_known_by_is_cleaned_up(tmp_path, monkeypatch, is_remote):
    store = Store(in_memory(monkeypatch) if is_remote else tmp_path / "store")
    with _probe(store) as probe:
        assert [path.name for path in store.gc().debris] == []  # it is in use
        # As a process that is no more would have left it.
        monkeypatch.setattr(Holder, "is_dead", True)
        monkeypatch.setattr(heartbeats.pulse, "holds", lambda token: False)
        monkeypatch.setattr(locks, "_fcntl", None)
        assert [path.name for path in store.gc().debris] == [f"{probe}.lock"]
        assert not store.has_lock(probe)


def test_files_that_earlier_versions_were_known_by_go_when_they_are_old(tmp_path):
    store = Store(tmp_path / "store")
    store.prepare()
    old, new = (store.root / f"cluster-{name}.probe" for name in ("a", "b"))
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    assert [path.name for path in store.gc(dry_run=True).debris] == ["cluster-a.probe"]
    assert [path.name for path in store.gc().debris] == ["cluster-a.probe"]
    assert list(store.root.glob("*.probe")) == [new]


def test_other_packages_are_refused(recipe):
    other = {**recipe.versions, "molspace": "99.0", "numpy": recipe.versions["numpy"]}
    error = problem(worker(replace(recipe, versions=other)))
    assert "instead of 99.0" in error.why
    assert "numpy" not in error.why


def test_other_packages_that_decode_are_reported(recipe):
    decoder_versions = {**recipe.companions, "pillow": "0.1", "no-such-package": "1"}
    label, error, remarks = worker(replace(recipe, companions=decoder_versions)).prepare()
    assert error is None
    (remark,) = remarks
    assert remark.startswith(f"the worker {label} has pillow ")
    assert remark.endswith("instead of 0.1: its rows can differ in details")


def test_a_build_of_torch_for_another_device_is_no_other_version(recipe, monkeypatch):
    real_version = actor.metadata.version
    build = {"torch": f"{real_version('torch').partition('+')[0]}+cu999"}
    monkeypatch.setattr(
        actor.metadata, "version", lambda name: build.get(name) or real_version(name)
    )
    assert problem(worker(recipe)) is None


def test_a_plan_that_means_something_else_here_is_refused(recipe, monkeypatch):
    graph = pickle.dumps([plan()])
    monkeypatch.setattr(Encoded, "VERSION", 2)
    error = problem(RemoteWorker(recipe, graph))
    assert "would make another 'encode" in error.what
    assert "version: 1 -> 2" in error.why


def test_a_plan_that_cannot_be_read_is_refused(recipe):
    graph = pickle.dumps([plan()]).replace(b"plain_steps", b"plain_stepz")
    error = problem(RemoteWorker(recipe, graph))
    assert "cannot read the plan" in error.what
    assert "plain_stepz" in error.what


@dataclass(frozen=True, eq=False, kw_only=True)
class Odd(Step):
    KIND, VERSION = "embed", 1

    def run(self, context, inputs, start, stop):
        raise Unsendable(open)


class Unsendable(Exception):
    def __init__(self, function):
        super().__init__("cannot be sent")
        self.function = lambda: function


def test_an_error_that_cannot_be_sent_is_replaced(recipe):
    remote = worker(recipe, Odd())
    assert problem(remote) is None
    error = remote.perform(0, [Odd().key], None).error
    assert str(error) == "Unsendable: cannot be sent"
    refusal = StepError("what", why="why", fix="fix", field=lambda: 0)
    sent = portable(refusal)
    assert isinstance(sent, MolspaceError)
    assert (sent.what, sent.why, sent.fix, sent.fields) == ("what", "why", "fix", {})


def test_it_stops(recipe):
    remote = worker(recipe)
    assert problem(remote) is None
    remote.stop()
    assert remote.perform(0, [Encoded(n_rows=5, seed=0).key], (0, 2)).result is False
    remote.release()
