"""How fast questions are asked, on a clock of the test's own."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.knowledge.generation.pace import Pace, backoff_s, retry_after_s


class Clock:
    """Time that passes only while something sleeps."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds


def times(n, *, tokens=0, **rates):
    clock = Clock()
    pace = Pace(**rates, clock=clock, sleep=clock.sleep)

    async def run():
        times_s = []
        for _ in range(n):
            await pace.take(tokens)
            times_s.append(round(clock.now_s - 100, 6))
        return times_s

    return asyncio.run(run())


def test_without_a_rate_nothing_waits():
    assert times(5) == [0] * 5


def test_requests_are_spread_evenly():
    assert times(4, requests_per_minute=30) == [0, 2, 4, 6]


def test_tokens_are_spread_evenly():
    assert times(3, tokens=100, tokens_per_minute=600) == [0, 10, 20]


def test_the_slower_of_both_counts():
    assert times(3, tokens=100, tokens_per_minute=600, requests_per_minute=60) == [0, 10, 20]


def test_a_pause_holds_everybody():
    clock = Clock()
    pace = Pace(clock=clock, sleep=clock.sleep)

    async def run():
        pace.pause(7)
        pace.pause(3)
        await pace.take(0)
        return clock.now_s

    assert asyncio.run(run()) == 107


def test_what_was_taken_replaces_what_was_expected():
    clock = Clock()
    pace = Pace(tokens_per_minute=60, clock=clock, sleep=clock.sleep)

    async def run():
        await pace.take(10)
        pace.correct(10, 4)
        await pace.take(1)
        return clock.now_s

    assert asyncio.run(run()) == 104


@given(st.integers(0, 200), st.floats(0.01, 10), st.floats(10, 100), st.integers())
def test_waits_double_up_to_a_limit(attempt, first, longest, seed):
    wait_s = backoff_s(attempt, first, longest, random.Random(seed))
    longest_s = min(longest, first * 2**attempt)
    assert longest_s / 2 <= wait_s <= longest_s


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("-1", 0.0),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("Thu, 99 Foo 9999", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value, expected):
    assert retry_after_s(value, now_s=10) == expected
