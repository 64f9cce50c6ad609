"""The fastest way that agrees is taken, kept and reported; wrong, slow and broken ones are not."""

import json
import logging

import pytest
import torch
from pretend_cuda import pretend_cuda

from reactions.core.kept_choices import KeptChoices
from reactions.ops.kernels import choice
from reactions.ops.kernels.choice import (
    DeviceKind,
    Operation,
    apart,
    chosen,
    computed,
    forget,
    tried,
)
from reactions.ops.kernels.operations import OPERATIONS
from reactions.ops.losses import InfoNCEGradient
from reactions.ops.retrieval import soft_retrieve

COST_S = {"eager": 3.0, "fast": 1.0, "slow": 5.0, "wrong": 0.1}


@pytest.fixture(autouse=True)
def _forgotten():
    forget()
    yield
    forget()


def kind(seconds, versions="torch 9.9, triton 3"):
    name = "Stand-In GPU (80 GB)"
    return DeviceKind(name, versions, KeptChoices("kernels", name), seconds)


class Watch:
    """Stand-in kernels, and a clock that each of them moves."""

    def __init__(self):
        self.now_s, self.calls, self.prepared = 0.0, [], []

    def way(self, name, body):
        def compute(*arguments):
            self.calls.append(name)
            self.now_s += COST_S[name]
            return body(*arguments)

        return compute

    def prepare(self, name, body):
        def make():
            self.prepared.append(name)
            return self.way(name, body)

        return make

    def seconds(self, call):
        before = self.now_s
        call()
        return self.now_s - before


def doubled(x):
    return (2 * x,)


def broken():
    raise ImportError("no compiler\nand more lines")


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def operation(watch):
    others = {
        "slow": watch.prepare("slow", doubled),
        "fast": watch.prepare("fast", lambda x: (x + x * (1 + 1e-6),)),
        "wrong": watch.prepare("wrong", lambda x: (2.1 * x,)),
        "broken": broken,
    }
    return Operation("doubling", watch.way("eager", doubled), others, apart=1e-3)


@pytest.fixture
def place(watch):
    return kind(watch.seconds)


X = torch.ones(8, 8)


def test_the_fastest_that_agrees_is_taken(operation, place, watch, caplog):
    with caplog.at_level(logging.INFO, logger="reactions.kernels"):
        compute = chosen(operation, [X], place)
    watch.calls.clear()
    compute(X)
    assert watch.calls == ["fast"]
    (message,) = caplog.messages
    assert "doubling on Stand-In GPU (80 GB): fast (eager 3e+03 ms, slow 5e+03 ms" in message
    assert "wrong left out: 5.0e-02 apart, more than 3.8e-06" in message
    assert "broken left out: ImportError: no compiler" in message
    assert "more lines" not in message


def test_what_16_bits_may_be_apart_float32_may_not(watch, place):
    rounding = watch.prepare("fast", lambda x: (2 * x * (1 + 2.0**-12),))
    operation = Operation("doubling", watch.way("eager", doubled), {"fast": rounding}, apart=1e-3)
    for dtype, left_out in ((torch.float16, set()), (torch.float32, {"fast"})):
        trial, timed = tried(operation, [X.to(dtype)], place.seconds)
        assert set(trial.left_out) == left_out
        assert set(timed) == {"eager", "fast"} - left_out
        chosen(operation, [X.to(dtype)], place)
    names = [name for name in place.choices.all() if "doubling" in name]
    assert sorted(name.split(", ")[1] for name in names) == ["float16", "float32"]


def test_eager_where_nothing_else_is_faster(watch, place):
    others = {name: watch.prepare(name, doubled) for name in ("slow",)}
    operation = Operation("doubling", watch.way("eager", doubled), others, apart=1e-3)
    assert chosen(operation, [X], place) is operation.eager
    watch.calls.clear()
    assert chosen(operation, [X], place) is operation.eager
    assert watch.calls == []


def test_a_choice_is_kept_by_device_and_versions(operation, place, watch):
    chosen(operation, [X], place)
    assert place.choices.path.name == "Stand-In-GPU-80-GB.json"
    (entry,) = json.loads(place.choices.path.read_text())["choices"].values()
    assert entry["fastest"] == "fast"
    assert set(entry["left_out"]) == {"wrong", "broken"}
    watch.prepared.clear()
    chosen(operation, [X], place)
    assert watch.prepared == ["fast"]
    chosen(operation, [X], kind(watch.seconds, "torch 10, triton 3"))
    assert watch.prepared == ["fast", "slow", "fast", "wrong"]
    assert len(json.loads(place.choices.path.read_text())["choices"]) == 2


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 9, "choices": {}}', '{"format": 1, "choices": [3]}'],
)
def test_a_damaged_file_of_choices_is_made_anew(operation, place, text):
    place.choices.path.parent.mkdir(parents=True)
    place.choices.path.write_text(text)
    chosen(operation, [X], place)
    assert json.loads(place.choices.path.read_text())["format"] == 1


@pytest.mark.parametrize("fastest", ["of a later version", "broken", 3, None])
def test_a_kept_way_that_does_not_run_is_tried_again(operation, place, watch, fastest):
    chosen(operation, [X], place)
    text = json.dumps(json.loads(place.choices.path.read_text()))
    place.choices.path.write_text(
        text.replace('"fastest": "fast"', f'"fastest": {json.dumps(fastest)}')
    )
    watch.calls.clear()
    chosen(operation, [X], place)(X)
    assert watch.calls[-1] == "fast"
    assert "eager" in watch.calls


def test_a_cache_that_cannot_be_written_is_no_failure(operation, place, watch):
    folder = place.choices.path.parent
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file, where a folder belongs")
    chosen(operation, [X], place)(X)
    assert watch.calls[-1] == "fast"


def test_arguments_that_are_written_count_as_outputs_and_stay_as_they_are(watch, place):
    def halve(x, by=0.5):
        x.mul_(by)
        return ()

    others = {
        "wrong": watch.prepare("wrong", lambda x: halve(x, 0.6)),
        "fast": watch.prepare("fast", halve),
    }
    operation = Operation("halving", watch.way("eager", halve), others, apart=1e-3, changed=(0,))
    x = torch.ones(4)
    compute = chosen(operation, [x], place)
    assert torch.equal(x, torch.ones(4))
    compute(x)
    assert torch.equal(x, torch.full((4,), 0.5))
    assert watch.calls[-1] == "fast"


def test_kinds_and_infinities_are_compared():
    x = torch.tensor([1.0, torch.inf, 0.0])
    assert apart([x], [x.clone()]) == 0
    assert apart([x], [torch.tensor([1.0, 2.0, 0.0])]) == torch.inf
    assert apart([x], [x.half()]) == torch.inf
    assert apart([x], [x[:2]]) == torch.inf
    assert apart([x, torch.zeros(2)], [x, torch.full((2,), 0.5)]) == pytest.approx(0.5**0.5)
    assert apart([x], [torch.tensor([1.1, torch.inf, 0.0])]) == pytest.approx(0.1)


def test_the_cpu_and_small_tiles_are_computed_eagerly(operation, watch, monkeypatch):
    computed(operation, torch.ones(1 << 12, 1 << 10))
    with pretend_cuda(monkeypatch):
        computed(operation, torch.ones(4, device="cuda:0"))
    assert watch.calls == ["eager", "eager"]
    assert watch.prepared == []


def test_on_a_device_the_first_tile_decides_for_the_rest(operation, watch, monkeypatch):
    with pretend_cuda(monkeypatch):
        monkeypatch.setattr(choice, "LEAST_ELEMENTS", 4)
        monkeypatch.setattr(DeviceKind, "of", lambda device: kind(watch.seconds))
        x = torch.ones(4, device="cuda:0")
        for _ in range(3):
            computed(operation, x)
        computed(operation, torch.ones(1, device="cuda:0"))
    assert watch.calls[-4:] == ["fast"] * 4
    assert watch.prepared == ["slow", "fast", "wrong"]


def test_retrieval_and_training_compute_in_the_chosen_ways(monkeypatch):
    """On a pretended device, with stand-ins that count and agree."""
    counted = dict.fromkeys((operation.name for operation in OPERATIONS), 0)

    def stand_in(operation):
        def compute(*arguments):
            counted[operation.name] += 1
            return operation.eager(*arguments)

        return compute

    def seconds(call):
        before = dict(counted)
        call()
        return 0.0 if counted != before else 1.0

    for operation in OPERATIONS:
        for name in operation.others:
            monkeypatch.setitem(operation.others, name, lambda o=operation: stand_in(o))
    with pretend_cuda(monkeypatch):
        monkeypatch.setattr(choice, "LEAST_ELEMENTS", 1)
        monkeypatch.setattr(DeviceKind, "of", lambda device: kind(seconds))
        rows = torch.randn(30, 16)
        soft_retrieve(rows, rows, [rows], temperature=0.05, device="cuda:0")
        engine = InfoNCEGradient(
            2, 2, 8, 16, temperature=0.05, dtype=torch.bfloat16, device="cuda:0"
        )
        x = torch.randn(16, 16, device="cuda:0")
        engine.gradient(x, torch.nn.functional.normalize(x, dim=1).bfloat16().view(2, 8, 16))
    assert all(counted.values())
    choices = json.loads(kind(seconds).choices.path.read_text())["choices"]
    assert {entry["fastest"] for entry in choices.values()} == {"torch.compile"}
    assert len(choices) == len(OPERATIONS)
