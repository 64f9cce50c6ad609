"""Bars at 40, 60, 80 and 120 columns: nothing wider, no clock cut, no two names alike."""

import io
import itertools

import pytest
from rich.console import Console
from rich.progress import Progress

from molspace_cli.bars import elide, rows
from molspace_cli.live import Live
from reactions.run import events as ev

PRODUCT = "(ImageBind + Dr(InternVL))"
NAMES = (
    "embed ImageBind text",
    f"embed {PRODUCT} audio",
    f"embed {PRODUCT} text",
    "collect ImageBind image for text",
    f"collect {PRODUCT} audio for text by CLAP_m",
    f"collect {PRODUCT} audio for text by CLAP_g",
    f"collect {PRODUCT} text for audio by CLAP_m",
    f"collect CLAP_m audio for image by {PRODUCT}",
    f"collect CLAP_m text for image by {PRODUCT}",
    f"collect CLAP_g text for image by {PRODUCT}",
    "train ImageBind + Dr(InternVL) on TVA",
    *(f"train {PRODUCT} + Cr({x}) on {s}" for x in ("CLAP_m", "CLAP_g") for s in ("T", "TVA")),
    "assemble the bundle",
)
WIDTHS = (40, 60, 80, 120)


@pytest.mark.parametrize("width", [38, 40, 48])
def test_names_keep_what_distinguishes_them(width):
    short = [elide(name, width) for name in NAMES]
    assert max(map(len, short)) <= width
    assert len(set(short)) == len(NAMES)


def test_brackets_of_products_go_first_and_then_the_middle():
    assert elide("embed A text", 40) == "embed A text"
    name = "train (ImageBind + Dr(InternVL)) + Cr(CLAP_m) on TVA"
    assert elide(name, 44).endswith(") + Cr(CLAP_m) on TVA")
    assert elide(name, 44).startswith("train (Image")
    assert elide("a" * 30 + "b" * 30, 11) == "aaaaa…bbbbb"
    assert [elide("abcdef", width) for width in (0, 1, 2)] == ["", "…", "…f"]


def display(width):
    console = Console(file=io.StringIO(), width=width)
    progress = Progress(console=console)
    both_notes = ("23 of 60, 1 min 5 s so far, about 2 min left", "23 of 60, about 2 min left")
    progress.add_task("steps", total=60, completed=23, notes=both_notes)
    for name in NAMES[4:8]:
        notes = ("1720 of 4000 items, 1,720/s, 1 min 20 s left", "43 %, 1 min 20 s left")
        progress.add_task(name, total=4000, completed=1720, notes=notes)
    return progress


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_fit_their_width_and_keep_bar_clock_and_name(width):
    progress = display(width)
    console = Console(file=io.StringIO(), width=width, record=True)
    for row in rows(progress.tasks, width):
        console.print(row)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= width
    per_task = 2 if width < 80 else 1
    assert len(lines) == 5 * per_task
    tasks = [" ".join(lines[i : i + per_task]) for i in range(0, len(lines), per_task)]
    assert all("━━━━" in task for task in tasks)
    assert "about 2 min left" in tasks[0]
    assert all("1 min 20 s left" in task for task in tasks[1:])
    assert all("…" not in task.partition("━")[2] for task in tasks)
    names = [task.partition("━")[0] for task in tasks]
    assert all(name != other for name, other in itertools.combinations(names, 2))
    if width >= 80:  # columns
        assert len({line.index("━") for line in lines}) == 1


@pytest.mark.parametrize("width", range(1, 200, 7))
def test_no_width_breaks_it(width):
    for row in rows(display(width).tasks, width):
        assert all(len(line) <= max(width, 26) for line in row.plain.split("\n"))
    assert rows([], width) == []


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("columns", WIDTHS)
def test_bars_are_still_there_late_in_a_run(monkeypatch, columns):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    clock = [0.0]
    live = Live(Terminal(), lambda: clock[0], speed=lambda: 1e9)
    expected = tuple(ev.Expected(name, "collect", 1e10) for name in NAMES)
    live(ev.PlanStarted(len(NAMES), 0, expected))
    for name in NAMES:
        step = (name, "collect", name)
        live(ev.StepStarted(*step, total=4000))
        clock[0] += 100
        live(ev.StepProgress(*step, 2000, 4000, "items"))
        screen = io.StringIO()
        Console(file=screen, width=columns).print(live._bars.get_renderable())
        lines = screen.getvalue().splitlines()
        assert max(map(len, lines)) <= columns
        assert sum("━━━━" in line for line in lines) == 2
        assert sum(line.rstrip().endswith("left") for line in lines) == 2
        clock[0] += 100
        live(ev.StepFinished(*step, 200.0))
    live(ev.PlanFinished(len(NAMES), clock[0]))
    assert live._bars is None


def test_several_runs_have_one_bar_for_all_of_them(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    clock = [0.0]
    live = Live(Terminal(), lambda: clock[0])

    def lines():
        return [row.plain.strip() for row in rows(live._bars.tasks, 100)]

    for number in (1, 2):
        live(ev.PartStarted(number, 2, f"seed 5: {number}", 130.0))
        live(ev.PlanStarted(1, 0))
        live(ev.StepStarted("k", "embed", "embed A", total=10))
        clock[0] += 10
        live(ev.StepProgress("k", "embed", "embed A", 5, 10, "items"))
        parts, steps, step = lines()
        assert parts.startswith(f"seed 5: {number}")
        assert f"{number} of 2" in parts
        assert "about 2 min left" in parts
        assert steps.startswith("steps")
        assert step.startswith("embed A")
        live(ev.StepFinished("k", "embed", "embed A", 10.0))
        live(ev.PlanFinished(1, 10.0))
        assert len(lines()) == 1
    live(ev.PartsFinished())
    assert live._bars is None
