"""How long a run still takes: the plan's costs, corrected by what was observed."""

import pytest

from reactions.run.events import (
    Expected,
    PartsFinished,
    PartStarted,
    PlanStarted,
    StepFinished,
    StepHit,
    StepProgress,
    StepStarted,
)
from reactions.run.forecast import STEP_S, Forecast
from reactions.run.parts import RunPart, follow

STEPS = tuple(Expected(f"s{i}", "train", 1e11) for i in range(10))


def step(i):
    return f"s{i}", "train", f"train {i}"


def begun(speed):
    forecast = Forecast(STEPS, speed)
    forecast.follow(PlanStarted(10, 0, STEPS), 0.0)
    return forecast


def test_before_anything_ran_it_is_the_plan_at_the_device_s_speed():
    assert begun(1e10).left_s(0.0) == pytest.approx(10 * (10 + STEP_S))


def test_without_a_speed_nothing_is_said_until_something_was_observed():
    forecast = begun(None)
    forecast.follow(StepStarted(*step(0)), 0.0)
    assert forecast.left_s(3.0) is None
    forecast.follow(StepFinished(*step(0), 20.0), 20.0)
    assert forecast.left_s(20.0) == pytest.approx(180.0)


def test_steps_that_take_longer_than_planned_correct_the_others():
    forecast = begun(1e10)
    for i in range(5):
        forecast.follow(StepStarted(*step(i)), 30.0 * i)
        forecast.follow(StepFinished(*step(i), 30.0), 30.0 * (i + 1))
    assert forecast.left_s(150.0) == pytest.approx(150.0, rel=0.05)


def test_progress_within_a_step_counts_and_rows_of_earlier_runs_took_no_time():
    forecast = begun(1e10)
    forecast.follow(StepStarted(*step(0), done=500, total=1000), 0.0)
    forecast.follow(StepProgress(*step(0), 750, 1000, "items"), 100.0)
    # a quarter took 100 s instead of 2.5 s: a whole one takes about 280 s, the shrinkage included
    assert forecast.left_s(100.0) == pytest.approx(9.25 * 291, rel=0.05)


def test_results_of_others_and_steps_side_by_side():
    forecast = begun(1e10)
    forecast.follow(StepHit(*step(9)), 0.0)
    assert forecast.left_s(0.0) == pytest.approx(9 * (10 + STEP_S))
    for i in (0, 1):
        forecast.follow(StepStarted(*step(i)), 0.0)
    assert forecast.left_s(5.0) == pytest.approx((7 * 10.05 + 2 * 5.05) / 2)


def test_at_the_end_nothing_is_left():
    forecast = begun(1e10)
    for i in range(10):
        forecast.follow(StepStarted(*step(i)), 10.0 * i)
        forecast.follow(StepFinished(*step(i), 10.0), 10.0 * (i + 1))
    assert forecast.left_s(100.0) == 0.0


def test_parts_say_what_is_left_and_correct_themselves():
    time_s, reported = [0.0], []
    parts = [RunPart("a", 10.0), RunPart("b", 10.0), RunPart("c", 0.0)]
    for index in follow(parts, reported.append, lambda: time_s[0]):
        time_s[0] += 40.0 if index == 0 else 0.0
    assert reported[0] == PartStarted(1, 3, "a", 20.0)
    assert reported[1].left_s == pytest.approx(10 * 70 / 40)
    assert reported[2].left_s == 0.0
    assert reported[-1] == PartsFinished()


def test_parts_are_over_when_one_fails():
    reported = []
    parts = follow([RunPart("a", 1.0), RunPart("b", 1.0)], reported.append)
    next(parts)
    parts.close()  # as a failure of the loop around it does
    assert reported[-1] == PartsFinished()


def test_a_step_that_waited_first_is_judged_by_what_came_after():
    forecast = begun(1e10)
    forecast.follow(StepStarted(*step(0), total=1000), 0.0)
    forecast.follow(StepProgress(*step(0), 10, 1000, "items"), 60.0)
    forecast.follow(StepProgress(*step(0), 500, 1000, "items"), 65.0)
    for i in range(1, 10):
        forecast.follow(StepHit(*step(i)), 65.0)
    assert forecast.left_s(65.0) == pytest.approx(500 / 98, rel=0.01)


def test_a_run_lasts_as_long_as_its_steps_in_progress():
    """However little the plan has for them: what is shown of a step is part of the whole."""
    small = (Expected("s0", "train", 1e8), *STEPS[1:2])
    forecast = Forecast(small, 1e10)
    forecast.follow(PlanStarted(2, 0, small), 0.0)
    for i in (0, 1):
        forecast.follow(StepStarted(*step(i), total=1000), 0.0)
    forecast.follow(StepProgress(*step(0), 20, 1000, "items"), 16.0)
    assert forecast.left_s(16.0) >= 16.0 / 0.02 * 0.98


def test_kinds_that_have_not_run_follow_the_others_half_way():
    steps = (Expected("s0", "train", 1e11), Expected("s1", "embed", 1e11))
    forecast = Forecast(steps, 1e10)
    forecast.follow(PlanStarted(2, 0, steps), 0.0)
    forecast.follow(StepStarted(*step(0)), 0.0)
    forecast.follow(StepFinished(*step(0), 160.0), 160.0)
    assert forecast.left_s(160.0) == pytest.approx((10 + STEP_S) * (161 / 11) ** 0.5, rel=0.02)
