import io
import re
import subprocess
import sys

import pytest
from toy import Sink, by_rows, counting, executor

from molspace_cli.amounts import duration, rough
from molspace_cli.display import Plain, Quiet
from molspace_cli.live import Live
from molspace_cli.progress import progress
from reactions.run import events as ev
from reactions.store import Store

NAME = ("k", "embed", "embed A text")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def replay(display, clock, events):
    for at, event in events:
        clock.now = at
        display(event)
    return display.stream.getvalue()


STORY = [
    (0, ev.PlanStarted(2, 1)),
    (0, ev.StepHit("h", "embed", "embed B text")),
    (0, ev.StepStarted(*NAME, done=100, total=1000)),
    (1, ev.StepProgress(*NAME, 150, 1000, "items")),
    (9, ev.StepProgress(*NAME, 190, 1000, "items")),
    (10, ev.StepProgress(*NAME, 200, 1000, "items")),
    (11, ev.StepProgress(*NAME, 210, 1000, "items")),
    (20, ev.StepProgress(*NAME, 300, 1000, "items")),
    (90, ev.StepProgress(*NAME, 1000, 1000, "items")),
    (90, ev.StepFinished(*NAME, 90.0)),
    (90, ev.Waiting("t", "train", "train it", 77)),
    (90, ev.StoreWarning("put aside the damaged entry x")),
    (91, ev.StepHit("t", "train", "train it")),
    (91, ev.PlanFinished(1, 91.0)),
]


A, B = ("a", "embed", "embed A"), ("b", "train", "train B")
SIDE_BY_SIDE = [
    (0, ev.PlanStarted(3, 0)),
    (0, ev.StepStarted(*A, total=100)),
    (5, ev.StepStarted(*B)),
    (10, ev.StepProgress(*A, 50, 100, "items")),
    (12, ev.StepProgress(*B, 10, 40, "steps")),
    (15, ev.StepProgress(*B, 20, 40, "steps")),
    (16, ev.StepProgress(*A, 60, 100, "items")),
    (17, ev.StepFinished(*B, 12.0)),
    (18, ev.Waiting("c", "train", "train C", 7)),
    (20, ev.StepProgress(*A, 80, 100, "items")),
    (21, ev.StepFinished(*A, 21.0)),
    (22, ev.Stopping(1)),
    (22, ev.Stopping(2)),
    (23, ev.PlanStopped()),
]


def test_plain_lines_of_steps_side_by_side():
    clock = Clock()
    text = replay(Plain(io.StringIO(), clock), clock, SIDE_BY_SIDE)
    assert text.splitlines() == [
        "3 steps to run, 0 results from the cache",
        "[1/3] embed A: 50 of 100 items, 5/s, 10 s left",
        "[2/3] train B: 20 of 40 steps, 2/s, 10 s left",
        "[2/3] train B: done in 12 s",
        "[3/3] train C: waiting for process 7, which is making it",
        "[1/3] embed A: 80 of 100 items, 4/s, 5.0 s left",
        "[1/3] embed A: done in 21 s",
        "stopping: 1 worker still busy; Ctrl-C again leaves at once",
        "stopping: 2 workers still busy; Ctrl-C again leaves at once",
    ]


def test_a_bar_for_each_step_in_progress(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    clock = Clock()
    display = Live(Terminal(), clock)

    def bars():
        return [(task.description, task.completed, task.total) for task in display._bars.tasks]

    replay(display, clock, SIDE_BY_SIDE[:6])
    assert bars() == [("steps", 0, 3), ("embed A", 50, 100), ("train B", 20, 40)]
    replay(display, clock, SIDE_BY_SIDE[6:8])
    assert bars() == [("steps", 1, 3), ("embed A", 60, 100)]
    assert display._bars.tasks[1].fields["note"] == "60 of 100 items, 3.75/s, 11 s left"
    replay(display, clock, SIDE_BY_SIDE[8:11])
    assert bars() == [("steps", 2, 3)]
    text = replay(display, clock, SIDE_BY_SIDE[11:])
    assert "stopping: 2 workers still busy" in text
    assert display._bars is None


def test_plain_lines():
    clock = Clock()
    text = replay(Plain(io.StringIO(), clock), clock, STORY)
    assert text.splitlines() == [
        "2 steps to run, 1 result from the cache",
        "[1/2] embed A text: resumes at row 100 of 1000",
        "[1/2] embed A text: 200 of 1000 items, 10/s, 1 min 20 s left",
        "[1/2] embed A text: 300 of 1000 items, 10/s, 1 min 10 s left",
        "[1/2] embed A text: done in 1 min 30 s",
        "[2/2] train it: waiting for process 77, which is making it",
        "warning: put aside the damaged entry x",
        "[2/2] train it: made by another process",
        "1 step run in 1 min 31 s",
    ]


def test_no_rate_from_the_first_few_rows():
    clock = Clock()
    reported = [(0, ev.StepStarted(*NAME)), (10, ev.StepProgress(*NAME, 1, 1000, "steps"))]
    text = replay(Plain(io.StringIO(), clock), clock, reported)
    assert text == "[0/0] embed A text: 1 of 1000 steps\n"


def test_nothing_to_run():
    clock = Clock()
    text = replay(
        Plain(io.StringIO(), clock),
        clock,
        [(0, ev.PlanStarted(0, 3)), (0, ev.PlanFinished(0, 0.1))],
    )
    assert text == "nothing to run: the cache has the results\n"


def test_quiet_shows_warnings_only():
    clock = Clock()
    text = replay(Quiet(io.StringIO(), clock), clock, STORY)
    assert text == "warning: put aside the damaged entry x\n"


def test_the_display_suits_the_stream(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert type(progress(stream=Terminal())) is Live
    assert type(progress(stream=io.StringIO())) is Plain
    assert type(progress(stream=Terminal(), quiet=True)) is Quiet
    monkeypatch.setenv("TERM", "dumb")
    assert type(progress(stream=Terminal())) is Plain


@pytest.mark.parametrize("no_color", [False, True])
def test_live_bars(monkeypatch, no_color):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    clock = Clock()
    display = Live(Terminal(), clock)
    middle = replay(display, clock, STORY[:9])
    assert display._bars.tasks[1].completed == 1000
    assert display._bars.tasks[1].fields["note"] == "1000 of 1000 items, 10/s, 0.0 s left"
    text = replay(display, clock, STORY[9:])
    assert "waiting for process 77" in text
    assert "warning: put aside" in text
    assert display._bars is None
    assert text.endswith("1 step run in 1 min 31 s\n")
    assert "\x1b[?25l" in middle  # the cursor is hidden
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # and shown again
    coloured = re.search(r"\x1b\[[0-9;]*(3[0-7]|38;[0-9;]+)m", text) is not None
    assert coloured is not no_color


def test_bars_go_when_a_run_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")

    def interrupt(start):
        raise KeyboardInterrupt

    stream = Terminal()
    sink = progress(stream=stream)
    with pytest.raises(KeyboardInterrupt):
        executor(Store(tmp_path), events=Sink(sink)).run([by_rows([], 4, 2, hook=interrupt)])
    assert sink._bars is None
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


def test_two_plans_in_one_sink(tmp_path):
    stream = io.StringIO()
    sink = Sink(progress(stream=stream))
    for seed in range(2):
        executor(Store(tmp_path), events=sink).run([counting([], "a", seed)])
    text = re.sub(r"\d\.\d s", "T", stream.getvalue())
    assert (
        text == "1 step to run, 0 results from the cache\n[1/1] a: done in T\n1 step run in T\n" * 2
    )


def test_a_closed_stream_does_not_stop_the_run(tmp_path):
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    step = counting([], "a")
    artifacts = executor(Store(tmp_path), events=Sink(progress(stream=Closed()))).run([step])
    assert step.key in artifacts


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0.0 s"),
        (0.44, "0.4 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.7, "1 h 0 min"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_importing_it_is_cheap():
    code = (
        "import sys, molspace_cli.progress, molspace_cli.live\n"
        "assert not {'torch', 'rich', 'numpy'} & set(sys.modules), sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_a_step_that_waited_says_so():
    clock = Clock()
    waits = [(9, ev.StepFinished(*NAME, 0.6, 41.0)), (9, ev.StepFinished(*NAME, 20.0, 3.0))]
    text = replay(Plain(io.StringIO(), clock), clock, waits)
    assert text.splitlines() == [
        "[0/0] embed A text: done in 0.6 s, after waiting 41 s",
        "[0/0] embed A text: done in 20 s",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.3, "a few seconds"),
        (9.4, "a few seconds"),
        (9.6, "about 10 s"),
        (12.4, "about 10 s"),
        (54, "about 55 s"),
        (56, "about 1 min"),
    ],
)
def test_an_estimate_is_as_exact_as_it_can_be(seconds, text):
    assert rough(seconds) == text
