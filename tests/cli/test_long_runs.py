from dataclasses import replace
from types import SimpleNamespace

import pytest
import typer

from molspace_cli import confirm, opening, progress
from molspace_cli.quality import training_line
from reactions.core.errors import StoreError, UsageError
from reactions.core.step import Cost
from reactions.labs import inventory, pairs_audit
from reactions.labs.lab_file import load_lab
from reactions.planning import throughput
from reactions.planning.estimate import LONG_BYTES, LONG_FLOPS, Estimate
from reactions.planning.plan import Plan
from reactions.run import device
from reactions.session import Session
from reactions.store import Store


@pytest.fixture
def answers(monkeypatch):
    """A person at a terminal; what they are asked and what they say."""
    questions: list[str] = []
    says = [True]
    monkeypatch.setattr(confirm, "_somebody_is_there", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda text, **_: questions.append(text) or says[0])
    monkeypatch.setattr(inventory, "leaks", lambda lab: lab.leaks)
    return questions, says


class LongRun:
    """What a run would take, as a session reports it."""

    lab = SimpleNamespace(leaks=("3 of 9 texts are captions of coco",))
    store = SimpleNamespace(try_writing=lambda: None)
    executor, has_other_workers = "local", False

    def __init__(self, flops=0.0, size_bytes=0, free_bytes=10**13, corpus="audio"):
        cost = Cost(flops=flops, size_bytes=size_bytes)
        self._estimate = Estimate(3, cost, free_bytes, ((corpus, 1200, 1234),), ("Huge",))

    def estimate(self, plan):
        return self._estimate

    def seconds(self, estimate):
        return 7500.0


def ask(session, *, yes, quiet=False):
    confirm.confirm(session, Plan(()), yes=yes, quiet=quiet)


def test_short_runs_ask_nothing(answers, capsys):
    ask(LongRun(LONG_FLOPS, LONG_BYTES), yes=False)
    assert answers[0] == []
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("long", [LongRun(2 * LONG_FLOPS), LongRun(0, 2 * LONG_BYTES)])
def test_long_runs_ask_unless_yes_is_given(answers, long, capsys):
    questions, says = answers
    ask(long, yes=True)
    assert questions == []
    ask(long, yes=False)
    assert questions == ["go on?"]
    messages = capsys.readouterr().err
    assert "audio: 1,200 usable items of 1,234" in messages
    assert "3 steps" in messages
    assert "about 2 h 5 min at the speed of this device, not counting decoding, Huge;" in messages
    says[0] = False
    with pytest.raises(typer.Exit) as caught:
        ask(long, yes=False)
    assert caught.value.exit_code == 130
    assert capsys.readouterr().err.endswith("interrupted; nothing was run\n")


def test_the_speed_of_this_machine_is_not_that_of_a_cluster(answers, capsys):
    run = LongRun(2 * LONG_FLOPS)
    run.executor, run.has_other_workers = "ray:head:6379", True
    ask(run, yes=False)
    messages = " ".join(capsys.readouterr().err.split())
    assert (
        "(the workers of --executor ray:head:6379 may be other devices), not counting" in messages
    )


def test_of_other_workers_this_machine_need_not_have_the_devices(tmp_path, monkeypatch):
    def resolved(device):
        if device != "cpu":
            raise UsageError("no CUDA device")
        return ("cpu",)

    monkeypatch.setattr(device, "resolve_devices", resolved)
    monkeypatch.setattr(throughput, "_speed", lambda device, precision: 1e12)
    expected = Estimate(1, Cost(flops=6e12), 10**12)
    session = Session(load_lab("mini"), Store(tmp_path), "cuda", executor="ray")
    assert session.seconds(expected) == pytest.approx(10)
    with pytest.raises(UsageError):
        replace(session, executor="local").seconds(expected)


def test_how_fast_other_workers_are_is_not_said_before_they_work(monkeypatch):
    speeds = []
    monkeypatch.setattr(progress, "progress", lambda **options: speeds.append(options["speed"]()))
    monkeypatch.setattr(opening, "_speed", lambda device, precision: 1e12)
    for executor in ("local", "ray"):
        opening.open_session("mini", device="cpu", executor=executor)
    assert speeds == [1e12, None]


def test_a_store_that_cannot_be_written_is_refused_before_anything_is_asked(answers):
    def refuse():
        raise StoreError("cannot write to the store")

    run = LongRun(2 * LONG_FLOPS)
    run.store = SimpleNamespace(try_writing=refuse)
    with pytest.raises(StoreError):
        ask(run, yes=False)
    assert answers[0] == []


def test_leaks_are_reported_where_texts_are_embedded(answers, capsys):
    ask(LongRun(), yes=True)
    ask(LongRun(corpus="text"), yes=True, quiet=True)
    assert capsys.readouterr().err == ""
    ask(LongRun(corpus="text"), yes=True)
    assert capsys.readouterr().err == "note: 3 of 9 texts are captions of coco\n"


def test_leaks_are_reported_of_the_pairs_that_are_tuned_on(answers, capsys, monkeypatch):
    leaks = {"mine": ("2 of 9 pairs are in vggss",), "other": ()}
    monkeypatch.setattr(pairs_audit, "leaked_pairs", lambda lab, pairs: leaks[pairs.name])
    planned = Plan((), pairs=(SimpleNamespace(name="mine"), SimpleNamespace(name="other")))
    confirm.confirm(LongRun(), planned, yes=True, quiet=True)
    assert capsys.readouterr().err == ""
    confirm.confirm(LongRun(), planned, yes=True, quiet=False)
    assert capsys.readouterr().err == "note: 2 of 9 pairs are in vggss\n"


def test_a_plan_names_the_pairs_that_it_tunes_on(tmp_path):
    session = Session(load_lab("mini"), Store(tmp_path), "cpu")
    planned = session.plan(session.check("ImageBind + Dr(InternVL) + Ft(audio~image, heads=only)"))
    assert [pairs.name for pairs in planned.pairs] == ["mini pairs scenes"]
    n = len(planned.pairs[0])
    assert training_line(planned).endswith(f"(mini text); {n:,} pairs (mini pairs scenes)")
    assert session.plan(session.check("ImageBind + Dr(InternVL)")).pairs == ()


def test_in_a_script_nobody_is_asked(answers, monkeypatch):
    monkeypatch.undo()
    assert not confirm._somebody_is_there()
    monkeypatch.setattr(typer, "confirm", None)
    ask(LongRun(2 * LONG_FLOPS), yes=False)
    assert answers[0] == []


def test_what_does_not_fit_on_the_disk_is_refused(answers):
    with pytest.raises(StoreError, match="do not fit on the disk"):
        ask(LongRun(size_bytes=2, free_bytes=1), yes=True)


def test_time_is_estimated_from_the_speed_of_the_devices(tmp_path, monkeypatch):
    monkeypatch.setattr(throughput, "_speed", lambda device, precision: 1e12)
    session = Session(load_lab("mini"), Store(tmp_path), "cpu")
    planned = session.plan(session.check("ImageBind + Cr(CLAP_m)"))
    estimate = session.estimate(planned)
    assert estimate.cost.flops == planned.cost.flops
    assert {modality for modality, _, _ in estimate.corpora} == {"audio", "image", "text"}
    assert all(usable == n_items > 0 for _, usable, n_items in estimate.corpora)
    assert session.seconds(estimate) == estimate.cost.flops / (throughput.EFFICIENCY * 1e12)


def test_the_speed_of_a_device_is_measured():
    flops = throughput.pace(("cpu",), "exact")
    assert 1e6 < flops < 1e16
