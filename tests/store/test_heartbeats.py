"""The threads that let others see that holders live."""

import threading

import pytest

from reactions.store.heartbeats import BEAT_S, Pulse


class Clock:
    def __init__(self):
        self.now_s = 0.0

    def __call__(self):
        return self.now_s


def idle_pulse(clock):
    """Return a pulse whose threads call nothing: for tests that ask what is next."""
    pulse = Pulse(clock=clock)
    pulse._n_threads = 99
    return pulse


def test_beats_that_take_long_do_not_hold_up_others():
    pulse = Pulse(beat_s=0.01)
    together = threading.Barrier(8)  # that none passes alone
    passed = threading.Event()

    def slow():
        together.wait(120)
        passed.set()

    for n in range(40):
        pulse.start(str(n), slow)
    assert passed.wait(120)
    for n in range(40):
        pulse.drop(str(n))
    together.abort()
    assert pulse._n_threads <= 16


def test_who_was_not_heard_of_for_longest_is_next():
    clock = Clock()
    pulse = idle_pulse(clock)
    for name in "abc":
        pulse.start(name, lambda: None)
        clock.now_s += 1
    assert pulse.next_due() is None
    clock.now_s = 3 * BEAT_S
    order = []
    while (due := pulse.next_due()) is not None:
        order.append(due[0])
        if due[0] != "b":  # which is still waiting for an answer
            pulse._call(*due)
    assert order == ["a", "b", "c"]
    clock.now_s += BEAT_S
    assert pulse.next_due()[0] == "b"


def test_a_beat_that_fails_is_tried_again_soon():
    clock = Clock()
    pulse = idle_pulse(clock)
    tried = []

    def fail():
        tried.append(clock.now_s)
        raise OSError("the network is down")

    pulse.start("x", fail)
    clock.now_s = BEAT_S
    pulse._call(*pulse.next_due())
    assert pulse.next_due() is None
    clock.now_s += BEAT_S / 2
    pulse._call(*pulse.next_due())
    assert tried == [BEAT_S, 1.5 * BEAT_S]


class _NoMore(threading.Thread):
    """Threads of a system that allows so many."""

    allowed = 0

    def start(self):
        if not type(self).allowed:
            raise RuntimeError("can't start new thread")
        type(self).allowed -= 1
        super().start()


def test_a_system_that_allows_no_more_threads_does_not_end_the_beats(monkeypatch):
    monkeypatch.setattr("reactions.store.heartbeats.threading.Thread", _NoMore)
    pulse = Pulse(beat_s=0.01)
    with pytest.raises(RuntimeError):
        pulse.start("a", lambda: None)
    assert not pulse.holds("a")
    _NoMore.allowed = 1  # for the first; none helps it
    beaten = {token: threading.Semaphore(0) for token in "abc"}
    for token, beat in beaten.items():
        pulse.start(token, beat.release)
    for _ in range(3):
        assert all(beat.acquire(timeout=120) for beat in beaten.values())
    for token in beaten:
        pulse.stop(token)
