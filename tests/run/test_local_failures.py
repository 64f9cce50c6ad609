"""What fails in a run: named, refused, and what was finished is kept."""

import signal
from pathlib import Path

import numpy as np
import pytest
from toy import counting, executor
from toy_steps import make_step

from reactions.core.errors import (
    DataError,
    MediaError,
    MolspaceError,
    StepError,
    StoreError,
)
from reactions.core.step import Artifact, Cost
from reactions.run import events as ev
from reactions.store import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "cache")


def failing(error, cost=None):
    def run(context, inputs, start, stop):
        raise error

    return make_step("train", "train it", {}, (), run, cost=cost or Cost())


def test_known_errors_pass_with_the_step_named(store):
    events, error = [], MediaError("cannot decode 'x.wav'", id="x")
    with pytest.raises(MediaError) as caught:
        executor(store, events).run([failing(error)])
    assert caught.value is error
    assert error.fields == {"id": "x", "step": "train it"}
    assert events[-2].error == "cannot decode 'x.wav'"
    assert events[-1] == ev.PlanStopped()


def test_unknown_errors_are_wrapped(store):
    with pytest.raises(StepError, match="'train it' failed: ZeroDivisionError: by zero") as caught:
        executor(store).run([failing(ZeroDivisionError("by zero"))])
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert caught.value.fields["step"] == "train it"


def test_no_memory_gives_the_estimate(store):
    error = MemoryError("Unable to allocate 3 TiB")
    with pytest.raises(StepError, match="out of memory on cpu in 'train it'") as caught:
        executor(store).run([failing(error, Cost(memory_bytes=3_500_000_000))])
    assert "estimated to need 3.5 GB" in caught.value.why
    assert caught.value.fix
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("kind", ["cuda", "host"])
def test_no_memory_in_torch(store, kind):
    torch = pytest.importorskip("torch")
    error = (
        torch.cuda.OutOfMemoryError("CUDA out of memory")
        if kind == "cuda"
        else RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    )
    with pytest.raises(StepError, match="out of memory"):
        executor(store).run([failing(error)])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_values_that_are_not_finite_are_refused(store, bad, dtype, monkeypatch):
    monkeypatch.setattr("reactions.run.validate._BLOCK_ELEMENTS", 4)

    def run(context, inputs, start, stop):
        x = np.zeros((stop - start, 2), dtype)
        if start <= 7 < stop:
            x[7 - start, 1] = bad
            x[-1] = bad
        return Artifact({"x": x})

    step = make_step("embed", "e", {}, (), run, n_rows=20, shard_rows=5)
    with pytest.raises(DataError, match="row 7 of 'x' holds NaN or infinity") as caught:
        executor(store).run([step])
    assert caught.value.fields["row"] == 7
    assert caught.value.fields["step"] == "e"
    assert store.partial(step).finished == [(0, 5)]
    assert not store.has(step.key)


@pytest.mark.parametrize(
    ("result", "why"),
    [
        (Artifact({"x": np.zeros((3, 2))}), "3 rows, not 4"),
        (Artifact({"x": np.zeros(())}), "of shape ()"),
        (Artifact({"x": np.array([{}] * 4)}), "object"),
        (Artifact({}, {"p": Path("x")}), "is not JSON"),
        (Artifact({}, {"p": float("nan")}), "is not JSON"),
    ],
)
def test_results_that_cannot_be_stored(store, result, why):
    step = make_step("embed", "e", {}, (), lambda *_: result, n_rows=4, shard_rows=4)
    with pytest.raises(StepError) as caught:
        executor(store).run([step])
    assert why in caught.value.why
    assert not store.has(step.key)


def test_finished_steps_survive_a_failure(store):
    ran = []
    a = counting(ran, "a")

    def fail(*_):
        raise ValueError("no")

    for _ in range(2):
        with pytest.raises(MolspaceError):
            executor(store).run([make_step("train", "b", {}, [("a", a)], fail)])
    assert ran == ["a"]


def test_warnings_of_the_store_go_where_they_went_before(store):
    warnings = []
    store.warn = warnings.append
    executor(store).run([counting([], "a")])
    store.warn("later")
    assert warnings == ["later"]


def test_the_handlers_of_signals_are_given_back(store):
    executor(store).run([counting([], "a")])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_arrives_in_a_finaliser_ends_the_run(store, number, error):
    class Finalised:
        def __del__(self):
            signal.raise_signal(number)  # whose exception Python can only ignore here

    def drop(*_):
        Finalised()
        return Artifact({"x": np.zeros(1)})

    ran = []
    first = make_step("train", "a", {}, (), drop)
    last = make_step("train", "b", {}, [("a", first)], lambda *_: ran.append("b"))
    with pytest.raises(error):
        executor(store).run([last])
    assert ran == []  # at once, not when all is done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_signal_that_is_dropped_at_the_very_end_is_raised(store):
    class Finalised:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    class Events(list):
        def append(self, event):
            if isinstance(event, ev.PlanFinished):
                Finalised()

    with pytest.raises(KeyboardInterrupt):
        executor(store, Events()).run([counting([], "a")])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_store_that_cannot_be_written_is_refused_before_anything_runs(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    ran: list[str] = []
    step = make_step("train", "t", {}, (), lambda *_: ran.append("x"))
    events: list[object] = []
    run = executor(Store(blocked), events)
    with pytest.raises(StoreError):
        run.run([step])
    assert ran == []
    assert events == [ev.PlanStopped()]
